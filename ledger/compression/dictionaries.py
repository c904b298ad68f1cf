"""The dictionaries of compressed values. `python -m ledger.compression.build_dictionary` has made them.

A dictionary never changes, because stored values need it. A better one gets the next id and a new format in
`ledger.compression.stored_values`; the earlier ones stay.
"""

from __future__ import annotations

from pathlib import Path

DICTIONARY_ID = 40_001
"""Id of the dictionary that is written: outside of the ranges that the zstandard format reserves."""
_FOLDER = Path(__file__).parent / "dictionaries"


def dictionary_path(dictionary_id: int) -> Path:
    """Return the file of a dictionary."""
    return _FOLDER / f"{dictionary_id}.zdict"


def read_dictionary(dictionary_id: int) -> bytes:
    """Return a dictionary. Raises FileNotFoundError if this version has none of this id."""
    return dictionary_path(dictionary_id).read_bytes()
