"""Lines of an audit file, each with the hash of the one before.

A line is JSON with the keys `at`, `content`, `hash`, `kind`, `number` and `previous`: sorted, without spaces, in UTF-8.
`hash` is the SHA-256 of the line's bytes without `"hash":"...",`. `previous` is the hash of the line before, that of
the last line of the file that this one continues, or '' in the first line of a first file. So a line that was changed,
left out, moved or added breaks the chain, unless all lines after it are computed again: then the last hash differs from
the one that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

BEGIN, END = "begin", "end"
"""Kinds of the first and the last line."""


class Line(Struct, frozen=True, kw_only=True):
    """A line of an audit file. `at` is when it happened on the server's clock; `number` counts from 1."""

    at: datetime
    content: Raw
    hash: str
    kind: str
    number: int
    previous: str


class _Unhashed(Struct, frozen=True, kw_only=True):
    at: datetime
    content: Raw
    kind: str
    number: int
    previous: str


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Line, strict=True)


class Chain:
    """Numbers and hashes of the next line."""

    def __init__(self, previous: str = "") -> None:
        self.number = 0
        self.previous = previous

    def line(self, kind: str, at: datetime, content: Any) -> Line:
        """Return the next line. `content` is any value that msgspec can encode."""
        self.number += 1
        made = hashed(at, Raw(_encoder.encode(content)), kind, self.number, self.previous)
        self.previous = made.hash
        return made


def hashed(at: datetime, content: Raw, kind: str, number: int, previous: str) -> Line:
    """Return a line with its hash."""
    bare = _Unhashed(at=at, content=content, kind=kind, number=number, previous=previous)
    digest = hashlib.sha256(_encoder.encode(bare)).hexdigest()
    return Line(at=at, content=content, hash=digest, kind=kind, number=number, previous=previous)


def encode_line(line: Line) -> bytes:
    """Return a line as it is written to a file, without its line feed."""
    return _encoder.encode(line)


def canonical(content: bytes | Raw) -> bytes:
    """Return JSON in the one form that a line may have. Raises msgspec.DecodeError or RecursionError."""
    return _encoder.encode(msgspec.json.decode(content))


def decode_line(text: bytes) -> Line:
    """Read a line as `encode_line` writes it. Raises ValueError if it is not exactly that, or its hash is another."""
    try:
        line = _decoder.decode(text)
        as_written = canonical(line.content) == bytes(line.content) and encode_line(line) == text
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no line of an audit file ({error})") from error
    if not as_written:
        raise ValueError("its text is not as it was written")
    check_hash(line)
    return line


def check_hash(line: Line) -> None:
    """Check the hash of a line. Raises ValueError."""
    expected = hashed(line.at, line.content, line.kind, line.number, line.previous).hash
    if line.hash != expected:
        raise ValueError(f"its hash is {line.hash[:12]}..., that of its content is {expected[:12]}...")
