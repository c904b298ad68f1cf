"""Dumps of a feed: payloads in files, in folders or on the standard input, and those that a runner has kept.

A dump's moment is in its name if a runner has kept it; else it is the `timestamp` of its content, or else the newest
`last_update` in it. A file is one document, or JSON lines with one document each; also compressed by gzip.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct

from ledger.feeds.feed_store import DumpMark
from producer.feed.envelopes import MAX_FEED_BYTES, unwrap
from producer.feed.parsing import ParseError, parse_datetime
from producer.feed_runner.reading import Retrieval
from producer.feed_runner.sources.odds_api import snapshot_moments

SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
MAX_FILE_BYTES = 512_000_000
_NONE = "none"
_KEPT = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6}Z)_([0-9]{8}T[0-9]{6}\.[0-9]{6}Z|none)_[0-9a-f]{16}\.json\.gz")
_STAMP = "%Y%m%dT%H%M%S.%fZ"


class Dump(Struct, frozen=True, kw_only=True):
    """A payload of a dump: its retrieval, and the name of where it was found."""

    retrieval: Retrieval
    name: str

    @property
    def mark(self) -> DumpMark:
        """The identity by which the ledger knows that it was read."""
        return DumpMark(self.retrieval.read_at, self.retrieval.sha256)


class DumpError(ValueError):
    """A file or a line that cannot be read; the message names it."""


def keep(folder: Path, retrieval: Retrieval) -> str:
    """Write a payload into a folder, whole or not at all, and return its name there. Raises OSError."""
    day = folder / f"{retrieval.read_at:%Y-%m-%d}"
    day.mkdir(parents=True, exist_ok=True)
    provider = _NONE if retrieval.provider_at is None else f"{retrieval.provider_at:{_STAMP}}"
    path = day / f"{retrieval.read_at:{_STAMP}}_{provider}_{retrieval.sha256[:16]}.json.gz"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(gzip.compress(retrieval.content, mtime=0))
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise
    return str(path.relative_to(folder))


def dump_files(paths: Iterable[Path]) -> list[Path]:
    """Return the dumps among files and in folders, in the order of their names. Raises DumpError for a missing path."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (Path(root, name) for root, _, names in os.walk(path) for name in names)
            found += sorted(each for each in inside if each.name.endswith(SUFFIXES))
        elif path.exists():
            found.append(path)
        else:
            raise DumpError(f"{path} does not exist")
    return found


def read_files(paths: Sequence[Path], on_fault: Callable[[DumpError], None]) -> list[tuple[datetime, Path, int]]:
    """Return moment, file and line of each dump, in the order of the moments; faulty ones are given to `on_fault`."""
    found: list[tuple[datetime, Path, int]] = []
    for path in paths:
        moments = _moments_of_name(path.name)
        if moments is not None:
            found.append((moments[0], path, 0))
            continue
        try:
            for number, content in enumerate(documents(read_file(path), str(path))):
                try:
                    found.append((moment_of(content, f"{path}: document {number + 1}"), path, number))
                except DumpError as fault:
                    on_fault(fault)
        except DumpError as fault:
            on_fault(fault)
    return sorted(found)


def load(moment: datetime, path: Path, number: int) -> Dump:
    """Return one of the dumps of `read_files`. Raises DumpError."""
    try:
        content = _documents_of(path, path.stat().st_mtime_ns)[number]
    except (OSError, IndexError):
        raise DumpError(f"{path} has changed while it was read") from None
    kept = _moments_of_name(path.name)
    provider_at = kept[1] if kept is not None else snapshot_moments(content).timestamp
    name = path.name if kept is not None else f"{path}:{number + 1}"
    return Dump(retrieval=Retrieval.of(name, content, read_at=moment, provider_at=provider_at), name=name)


def read_stream(stream: IO[bytes], clock: Callable[[], float], on_fault: Callable[[DumpError], None]) -> Iterator[Dump]:
    """Yield the documents of a stream as they come: JSON lines, or one document on several lines.

    A document without a `timestamp` was read when it came. A line that is no document is given to `on_fault`, and those
    after it are read.
    """
    first = stream.readline(MAX_FEED_BYTES + 1)
    while first and not first.strip():
        first = stream.readline(MAX_FEED_BYTES + 1)
    if _begins_document(first) and not _is_document(first):
        rest = stream.read(MAX_FEED_BYTES + 1)
        numbered = enumerate(documents(first + rest, "standard input"), start=1)
    else:
        numbered = enumerate(chain([first], iter(lambda: stream.readline(MAX_FEED_BYTES + 1), b"")), start=1)
    for number, line in numbered:
        if _is_document(line):
            retrieval = _retrieval_of(line.strip(), clock)
            yield Dump(retrieval=retrieval, name=f"standard input, document {number}")
        elif line.strip():
            on_fault(DumpError(f"standard input, document {number}: not JSON, or larger than {MAX_FEED_BYTES:,} bytes"))


def documents(content: bytes, name: str) -> Iterator[bytes]:
    """Yield the documents of a file: one, or one a line. Raises DumpError if one is too large.

    Of a file with lines that are documents and others that are not, each line is yielded.
    """
    text = content.strip()
    lines = [] if b"\n" not in text or _is_document(text) else text.splitlines()
    several = any(_is_document(line) for line in lines)
    for document in lines if several else [text]:
        if len(document) > MAX_FEED_BYTES:
            raise DumpError(f"{name} has a document of {len(document):,} bytes, the limit is {MAX_FEED_BYTES:,}")
        if document.strip():
            yield document


def read_file(path: Path) -> bytes:
    """Return the content of a file, unpacked. Raises DumpError."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            source: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=stream) if packed else stream
            content = source.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged"
        raise DumpError(f"{path} cannot be read: {reason}") from None
    if len(content) > MAX_FILE_BYTES:
        raise DumpError(f"{path} has more than {MAX_FILE_BYTES:,} bytes: split it")
    return content


def moment_of(content: bytes, name: str) -> datetime:
    """Return the moment of a payload: its `timestamp`, or its newest `last_update`. Raises DumpError."""
    try:
        wrapped = unwrap(content)
    except ParseError as error:
        raise DumpError(f"{name}: {error}") from None
    updates = [moment for event in wrapped.events for moment in _updates(event)]
    moment = wrapped.read_at or max(updates, default=None)
    if moment is None:
        raise DumpError(f"{name}: neither a `timestamp` nor a `last_update` says when it was retrieved")
    return moment


@lru_cache(maxsize=1)
def _documents_of(path: Path, _changed: int) -> tuple[bytes, ...]:
    """Return the documents of a file, which is read once for all of them."""
    return tuple(documents(read_file(path), str(path)))


def _retrieval_of(content: bytes, clock: Callable[[], float]) -> Retrieval:
    stamp = snapshot_moments(content).timestamp
    read_at = stamp or datetime.fromtimestamp(clock(), UTC)
    return Retrieval.of("standard input", content, read_at=read_at, provider_at=stamp)


def _begins_document(line: bytes) -> bool:
    return line.strip()[:1] in (b"{", b"[")


def _is_document(line: bytes) -> bool:
    if not _begins_document(line) or len(line) > MAX_FEED_BYTES:
        return False
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _updates(event: Any) -> Iterator[datetime]:
    books = event.get("bookmakers") if isinstance(event, dict) else None
    for book in books if isinstance(books, list) else ():
        if isinstance(book, dict):
            markets = book.get("markets")
            for part in (book, *(markets if isinstance(markets, list) else ())):
                with suppress(ParseError, AttributeError):
                    yield parse_datetime(part.get("last_update"))


def _moments_of_name(name: str) -> tuple[datetime, datetime | None] | None:
    match = _KEPT.fullmatch(name)
    if match is None:
        return None
    try:
        read_at, provider_at = (
            None if stamp == _NONE else datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC) for stamp in match.groups()
        )
    except ValueError:
        return None
    return None if read_at is None else (read_at, provider_at)
