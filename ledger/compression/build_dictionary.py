"""Make the dictionary of compressed values.

    python -m ledger.compression.build_dictionary FILE

The same version of zstandard gives the same bytes. A dictionary that has been released never changes: see
`ledger.compression.dictionaries`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger.compression.dictionaries import DICTIONARY_ID
from ledger.compression.packed_text import pack
from ledger.compression.sample_cards import SampleCards
from ledger.contracts import codec
from ledger.contracts.provenance import encode_provenance

SIZE_BYTES = 16_384
CARDS = 120
LEVEL = 9


def samples() -> Iterator[bytes]:
    """Yield payloads, reports and provenances of cards as they are compressed."""
    source = SampleCards(seed=1)
    for number in range(CARDS):
        card = source.card(fights=1 + number % 14, books=1 + number % 9)
        yield pack(codec.encode_canonical(card))
        report = source.report(card)
        yield pack(codec.encode(report))
        yield encode_provenance(source.provenance(report))


def build() -> bytes:
    """Return the dictionary."""
    import zstandard

    made = zstandard.train_dictionary(SIZE_BYTES, [*samples()], dict_id=DICTIONARY_ID, level=LEVEL)
    return bytes(made.as_bytes())


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the dictionary into a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.parse_args(arguments).file.write_bytes(build())


if __name__ == "__main__":
    main()
