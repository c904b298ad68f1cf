"""Compressed payloads and reports: the same bytes come back, whatever they are, and damage is named."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
import zstandard

from ledger.compression import build_dictionary
from ledger.compression.dictionaries import DICTIONARY_ID, read_dictionary
from ledger.compression.packed_text import is_packed, pack, unpack
from ledger.compression.sample_cards import SampleCards
from ledger.compression.stored_values import PLAIN_FORMAT, UnreadableValueError, compress, decompress, is_compressed
from ledger.contracts import codec

GOLDEN = [*(Path(__file__).parents[2] / "golden").glob("*.json")]
SOURCE = SampleCards(seed=77, bookmakers=("Alder", "Birch & Sons", "Cedar", "Dogwood"))
CARD = SOURCE.card(12, 4)
PAYLOAD = codec.encode_canonical(CARD)
REPORT = codec.encode(SOURCE.report(CARD))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_kind_of_job_and_report_comes_back_to_the_byte(path: Path) -> None:
    text = path.read_bytes()
    assert decompress(compress(text)) == text


def test_a_card_and_its_report_take_a_ninth() -> None:
    for text, share in ((PAYLOAD, 0.2), (REPORT, 0.1)):
        stored = compress(text)
        assert is_compressed(stored)
        assert decompress(stored) == text
        assert len(stored) < share * len(text)


def test_equal_values_give_equal_bytes() -> None:
    assert compress(REPORT) == compress(bytes(bytearray(REPORT)))


def test_what_would_not_become_smaller_is_stored_as_it_is() -> None:
    for text in (b"", b"{}", b'{"kind":"check_health","schema_version":1}', bytes(range(256)) * 2, b"\x01" + REPORT):
        assert compress(text) == text
        assert decompress(text) == text
    assert compress(REPORT, PLAIN_FORMAT) == REPORT


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b",".join(b"0.%d" % (10**16 + number) for number in range(20)) + b"]",
        b"[" + b",".join(b"-0.%d" % (10**12 + 7 * number) for number in range(20)) + b"]",
        b'{"a":"\x02","b":[' + b",".join([b"0.1234567891"] * 20) + b"]}",
        REPORT.replace(b"0.", b"0.00000000000"),
        REPORT[: len(REPORT) // 2],
        b'{"price":1.000000000001,"x":[' + b",".join([b"0.2222222222222222", b"0.7777777777777778"] * 9) + b"]}",
        b'{"price":3.7692307692307692,"x":[' + b",".join([b"1.7692307692307692"] * 9) + b"]}",
    ],
)
def test_unusual_text_comes_back_to_the_byte(text: bytes) -> None:
    assert decompress(compress(text)) == text
    packed = pack(text)
    assert (unpack(packed) if is_packed(packed) and packed != text else packed) == text


@pytest.mark.parametrize("place", [10, 100, 1_000, -1])
def test_a_damaged_value_is_named_and_not_read(place: int) -> None:
    stored = bytearray(compress(REPORT))
    stored[place] ^= 0xFF
    with pytest.raises(UnreadableValueError, match=r"damaged|bytes"):
        decompress(bytes(stored))


def test_a_truncated_value_is_named() -> None:
    for length in (5, 50, 500):
        with pytest.raises(UnreadableValueError):
            decompress(compress(REPORT)[:length])


def test_a_value_beyond_the_limit_is_not_unpacked() -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(2**20))
    with pytest.raises(UnreadableValueError, match="the limit is 1,000"):
        decompress(bomb, max_bytes=1_000)


def test_a_value_of_a_later_dictionary_says_what_to_do() -> None:
    later = zstandard.ZstdCompressionDict(_with_id(read_dictionary(DICTIONARY_ID), DICTIONARY_ID + 7))
    frame = zstandard.ZstdCompressor(dict_data=later).compress(REPORT)
    with pytest.raises(UnreadableValueError, match=f"needs dictionary {DICTIONARY_ID + 7}.*update this process"):
        decompress(frame)


def _with_id(dictionary: bytes, dictionary_id: int) -> bytes:
    return dictionary[:4] + struct.pack("<I", dictionary_id) + dictionary[8:]


def test_a_released_dictionary_never_changes() -> None:
    content = read_dictionary(DICTIONARY_ID)
    assert zstandard.ZstdCompressionDict(content).dict_id() == DICTIONARY_ID
    assert hashlib.sha256(content).hexdigest() == DIGEST
    assert build_dictionary.build() == content


DIGEST = "0ec1f401a3261f91acb946983f487007de1b0b48927940f78d76d20df5fc1deb"
