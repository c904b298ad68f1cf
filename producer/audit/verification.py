"""Verification of audit files: the first line that breaks the chain, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from producer.audit.audit_files import UnreadableLineError, read_lines
from producer.audit.audit_lines import BEGIN, END, Line
from producer.errors import BrokenAuditError


class AuditRange(Struct, frozen=True, kw_only=True):
    """What the first line of an audit file names.

    Attributes
    ----------
    server, namespace
        The ledger.
    since, until
        The file has what happened at or after `since` and before `until`, on the server's clock.
    kept_since
        Jobs that ended before this time were no longer held when the file was written.
    software
        Version of cornerman that wrote the file.
    """

    server: str
    namespace: str
    since: datetime
    until: datetime
    kept_since: datetime
    software: str


class AuditTotals(Struct, frozen=True, kw_only=True):
    """The last line of an audit file: the number of lines of each kind between the first and the last."""

    counts: dict[str, int]


class IntactFile(Struct, frozen=True, kw_only=True):
    """An audit file whose chain holds. `hash` is that of its last line: note it where no writer of the file can."""

    file: str
    lines: int
    range: AuditRange
    counts: dict[str, int]
    previous: str
    hash: str


def verify_files(paths: Sequence[Path], last_hash: str | None = None) -> list[IntactFile]:
    """Check files of which each continues the one before, and return what they have.

    `last_hash` is what the hash of the last line must be. Raises BrokenAuditError at the first line that breaks the
    chain, JobRefusedError if a file cannot be read.
    """
    intact: list[IntactFile] = []
    for path in paths:
        found = verify_file(path)
        if intact and found.previous != intact[-1].hash:
            reason = f"it does not continue {intact[-1].file}, whose last hash is {intact[-1].hash[:12]}..."
            raise BrokenAuditError(path, 1, "missing", reason)
        intact.append(found)
    if last_hash is not None and intact[-1].hash != last_hash:
        reason = f"its hash is {intact[-1].hash}, not {last_hash}: lines were computed again, or it is another file"
        raise BrokenAuditError(paths[-1], intact[-1].lines, "changed", reason)
    return intact


def verify_file(path: Path) -> IntactFile:
    """Check one file. Raises BrokenAuditError, and JobRefusedError if it cannot be read."""
    counts: Counter[str] = Counter()
    first = last = None
    number = 0
    for line in _intact_lines(path):
        number += 1
        if last is not None and last.kind == END:
            raise BrokenAuditError(path, number, "changed", "it stands after the last line")
        _check_place(path, line, number, last)
        counts[line.kind] += 1
        first, last = first or line, line
    if first is None or last is None or last.kind != END:
        raise BrokenAuditError(path, number + 1, "truncated", "the file ends before its last line")
    begun, totals = _content(path, first, AuditRange), _content(path, last, AuditTotals)
    counts -= Counter((BEGIN, END))
    if counts != totals.counts:
        raise BrokenAuditError(path, number, "changed", f"it counts {totals.counts}, the file has {dict(counts)}")
    return IntactFile(
        file=str(path), lines=number, range=begun, counts=dict(counts), previous=first.previous, hash=last.hash
    )


def _intact_lines(path: Path) -> Iterator[Line]:
    """Yield lines whose hash is that of their content. Raises BrokenAuditError at the first other one."""
    try:
        yield from read_lines(path)
    except UnreadableLineError as error:
        raise BrokenAuditError(path, error.place, "truncated" if error.torn else "changed", str(error)) from error


def _check_place(path: Path, line: Line, number: int, last: Line | None) -> None:
    if line.number > number:
        if _is_later(path, number):
            raise BrokenAuditError(path, number, "reordered", f"line {line.number} stands in its place")
        upto = f" to {line.number - 1}" if line.number > number + 1 else ""
        raise BrokenAuditError(path, number, "missing", f"line {number}{upto} is not in the file")
    if line.number < number:
        raise BrokenAuditError(path, number, "repeated", f"line {line.number} stands here again")
    if last is not None and line.previous != last.hash:
        reason = f"it does not continue line {number - 1}: one of the two was written again"
        raise BrokenAuditError(path, number, "changed", reason)
    if (number == 1) != (line.kind == BEGIN):
        raise BrokenAuditError(path, number, "changed", f"a line of the kind {line.kind!r} cannot stand here")


def _is_later(path: Path, number: int) -> bool:
    """Return True if a later part of a file has a line of this number; what cannot be read counts as the end."""
    try:
        return any(line.number == number for line in read_lines(path))
    except UnreadableLineError:
        return False


def _content(path: Path, line: Line, kind: Any) -> Any:
    try:
        return msgspec.json.decode(line.content, type=kind)
    except msgspec.DecodeError as error:
        raise BrokenAuditError(path, line.number, "changed", f"its content is none of a {line.kind!r} line") from error
