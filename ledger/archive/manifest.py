"""The manifest of an archive: which files it has, where each id can be, and what is not finished yet.

    manifest.json                      the latest, for readers without the server, such as a SQL engine
    manifests/<version>-<token>.json   each version; the server names the current one
    month=<year-month>/<token>.parquet rows sorted by key: the first 8 bytes of the BLAKE2b digest of the id
    month=<year-month>/<token>.keys    the keys of the rows, 8 bytes each, big-endian

Files never change. A version lists the files that count; all others are left over from something that was killed.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from ledger.contracts.lazy_decoder import LazyDecoder

MANIFEST = "manifest.json"
VERSIONS = "manifests"
KEY_BYTES = 8
KEYS_IN_A_BLOCK = 2_048
"""How many keys have a checksum together; a search reads two or three blocks."""
CHECKSUM_DIGITS = 8


class ArchivedFile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file of an archive. Times are milliseconds since 1970; keys are hexadecimal.

    Attributes
    ----------
    name
        Its path below the folder of the archive.
    rows, bytes, raw_bytes
        Number of outcomes, size of the file, and size of its rows before compression.
    sha256
        Digest of the file.
    group_rows
        Rows of each row group; the last may have fewer.
    level, run
        How often its rows were merged, and the merge that wrote it: the files of one run have no key in common.
    first, last
        Lowest and highest key.
    submitted_from, submitted_to, settled_from, settled_to
        When its jobs were submitted and settled.
    pending
        Its outcomes may still be on the server, too.
    key_checksums
        Those of its keys, see `checksums_of`; empty if an earlier version has written the file.
    """

    name: str
    rows: int
    bytes: int
    raw_bytes: int
    sha256: str
    group_rows: int
    level: int
    run: str
    first: str
    last: str
    submitted_from: int
    submitted_to: int
    settled_from: int
    settled_to: int
    pending: bool = False
    key_checksums: str = ""

    @property
    def month(self) -> str:
        """Month in which its jobs were settled, such as `2026-08`."""
        return self.name.partition("/")[0].removeprefix("month=")

    @property
    def keys_name(self) -> str:
        """Path of the file of its keys."""
        return self.name.removesuffix(".parquet") + ".keys"


class ReplacedFile(Struct, frozen=True, kw_only=True):
    """A file whose rows are in other files, or are past the retention; it is removed when no reader may need it."""

    name: str
    at: int


class Manifest(Struct, frozen=True, kw_only=True):
    """One version of an archive. `ledger` is the id of the ledger that it belongs to."""

    schema_version: int = 1
    version: int
    ledger: str
    written_at: int
    files: tuple[ArchivedFile, ...] = ()
    replaced: tuple[ReplacedFile, ...] = ()

    @property
    def outcomes(self) -> int:
        """Number of outcomes."""
        return sum(file.rows for file in self.files)

    @property
    def size(self) -> int:
        """Size of the files in bytes."""
        return sum(file.bytes for file in self.files)

    def may_have(self, key: bytes) -> Iterator[ArchivedFile]:
        """Yield the files that may have a key."""
        digits = key.hex()
        return (file for file in self.files if file.first <= digits <= file.last)


_decoder: LazyDecoder[Manifest] = LazyDecoder(Manifest)


def encode_manifest(manifest: Manifest) -> bytes:
    """Return a manifest as JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)


def decode_manifest(text: bytes) -> Manifest:
    """Read a manifest. Raises msgspec.DecodeError."""
    return _decoder.decode(text)


def checksums_of(keys: bytes) -> str:
    """Return the CRC-32 of each block of keys, `CHECKSUM_DIGITS` hexadecimal digits each."""
    size = KEYS_IN_A_BLOCK * KEY_BYTES
    return "".join(f"{zlib.crc32(keys[start : start + size]):08x}" for start in range(0, len(keys), size))


def key_of(job_id: str) -> bytes:
    """Return the key of a job's id."""
    return hashlib.blake2b(job_id.encode(), digest_size=KEY_BYTES).digest()
