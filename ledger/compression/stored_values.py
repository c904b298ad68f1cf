"""Payloads and reports as the server stores them: JSON, or a zstandard frame that holds exactly that JSON.

All reads and writes go through this module. A frame is recognised by its first bytes, with which no JSON begins, and
names its dictionary, so that frames of earlier dictionaries stay readable. What a frame holds is the JSON itself, or
packed text (`ledger.compression.packed_text`).

Every process of a ledger has to read its values, so the ledger keeps the number of the format in which they are written
(`stored_format` in prelude.lua). Every version reads all formats up to its `NEWEST_FORMAT`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ledger.compression.dictionaries import DICTIONARY_ID, read_dictionary
from ledger.compression.packed_text import is_packed, pack, unpack
from ledger.contracts.failures import LedgerError

if TYPE_CHECKING:
    import zstandard

PLAIN_FORMAT = 1
"""JSON, as all versions read it."""
COMPRESSED_FORMAT = 2
"""Frames of the dictionary `DICTIONARY_ID` for values that become smaller."""
NEWEST_FORMAT = COMPRESSED_FORMAT

MIN_COMPRESSED_BYTES = 300
"""Smaller values are stored as they are: compressing them takes longer than it is worth."""
MAX_VALUE_BYTES = 64 * 2**20
"""Largest value that is read: a frame states its length, and a damaged one must not fill the memory."""
_LEVEL = 1  # higher ones take longer than the bytes that they save are worth
_MAGIC = b"\x28\xb5\x2f\xfd"


class UnreadableValueError(LedgerError, ValueError):
    """A stored value is damaged, or a newer version has written it."""


class _Codecs(threading.local):
    """The compressor and the decompressors of one thread."""

    def __init__(self) -> None:
        self.compressor: zstandard.ZstdCompressor | None = None
        self.decompressors: dict[int, zstandard.ZstdDecompressor] = {}


_codecs = _Codecs()


def compress(value: bytes, stored_format: int = NEWEST_FORMAT, *, fast: bool = False) -> bytes:
    """Return a value as it is stored in a ledger of this format: equal values give equal bytes.

    Parameters
    ----------
    value
        JSON of a payload or a report.
    stored_format
        Format of the ledger's values.
    fast
        True for payloads, of which one producer writes thousands a second: without packing.

    Returns
    -------
    bytes
        A frame, or the value itself if the format is the plain one or the value would not become smaller.
    """
    if stored_format < COMPRESSED_FORMAT or len(value) < MIN_COMPRESSED_BYTES or not value.startswith(b"{"):
        return value
    frame = _compressor().compress(value if fast else pack(value))
    return frame if len(frame) < len(value) else value


def decompress(stored: bytes, max_bytes: int = MAX_VALUE_BYTES) -> bytes:
    """Return the JSON of a stored value.

    Parameters
    ----------
    stored
        A frame; anything else is returned as it is.
    max_bytes
        Largest content of a frame.

    Raises
    ------
    UnreadableValueError
        The frame is damaged or too large, or its dictionary is unknown.
    """
    if not stored.startswith(_MAGIC):
        return stored
    import zstandard  # only in processes that meet compressed values

    try:
        frame = zstandard.get_frame_parameters(stored)
        if not 0 < frame.content_size <= max_bytes:
            raise UnreadableValueError(
                f"a stored value has {frame.content_size:,} bytes, the limit is {max_bytes:,}: it was not written by "
                "this software"
            )
        content = _decompressor(frame.dict_id).decompress(stored)
        return unpack(content) if is_packed(content) else content
    except UnreadableValueError:
        raise
    except (zstandard.ZstdError, ValueError) as error:
        raise UnreadableValueError(f"a stored value is damaged: {error}") from error


def is_compressed(stored: bytes) -> bool:
    """Return True if a stored value is a frame."""
    return stored.startswith(_MAGIC)


def _compressor() -> zstandard.ZstdCompressor:
    found = _codecs.compressor
    if found is None:
        import zstandard

        dictionary = zstandard.ZstdCompressionDict(read_dictionary(DICTIONARY_ID))
        dictionary.precompute_compress(level=_LEVEL)
        found = zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary, write_checksum=True)
        _codecs.compressor = found
    return found


def _decompressor(dictionary_id: int) -> zstandard.ZstdDecompressor:
    found = _codecs.decompressors.get(dictionary_id)
    if found is None:
        import zstandard

        try:
            content = read_dictionary(dictionary_id)
        except FileNotFoundError:
            raise UnreadableValueError(
                f"a stored value needs dictionary {dictionary_id}, which this version lacks: update this process"
            ) from None
        found = zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(content))
        _codecs.decompressors[dictionary_id] = found
    return found
