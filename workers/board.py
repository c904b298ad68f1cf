"""What each child of a pool is doing, in memory that the pool's processes share.

A child writes here which claim it works on and since when; the guard in the main process reads it. "The child lives"
is thereby never mistaken for "the child works on this job", a limit counts from the start of its own job and not of
its batch, and when a child dies it is known which job of the batch it was running. Celery's own bookkeeping cannot
tell: it knows doorbells, not jobs, and stands still while the broker reconnects.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

MAX_CHILDREN = 512
_CLOSING, _BROKEN, _HEADER_BYTES = 0, 1, 2
_SLOT = struct.Struct("=q16sdd")  # process id (0: free), token, started, limit
_EMPTY = b"\0" * 16


class Activity(Struct, frozen=True):
    """What a child is at. `token` names the claim (empty: idle); `started_seconds` is on the monotonic clock."""

    pid: int
    token: bytes = b""
    started_seconds: float = 0.0
    limit_seconds: float = 0.0


def token_of(job_id: str, fence: int) -> bytes:
    """Return the 16 bytes by which a claim is known on the board."""
    return hashlib.blake2b(f"{fence}:{job_id}".encode(), digest_size=16).digest()


class Board:
    """A page of slots, one a child, and two flags about the pool. Made before the children are forked."""

    def __init__(self) -> None:
        size_bytes = _HEADER_BYTES + MAX_CHILDREN * _SLOT.size
        # A file has what anonymous memory lacks: locks that the kernel releases when their holder is killed.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the pool lives
        self._file.truncate(size_bytes)
        self._page = mmap.mmap(self._file.fileno(), size_bytes)
        self._offset: int | None = None

    @property
    def closing(self) -> bool:
        """Whether the pool has been told to stop: children claim nothing more."""
        return self._page[_CLOSING] != 0

    def close(self) -> None:
        """Tell the children that the pool stops."""
        self._page[_CLOSING] = 1

    @property
    def broken(self) -> bool:
        """Whether a child could not start: the next would fare no better."""
        return self._page[_BROKEN] != 0

    def report_broken(self) -> None:
        """Tell the main process that the calling child cannot start."""
        self._page[_BROKEN] = 1

    def enter(self) -> None:
        """Take a slot for the calling child. Raises RuntimeError when all are taken."""
        with self._locked():
            for offset in self._offsets():
                if self._read(offset).pid in (0, os.getpid()):
                    self._offset = offset
                    self.end()
                    return
        raise RuntimeError(f"a pool has at most {MAX_CHILDREN} children: start a second pool")

    def begin(self, job_id: str, fence: int, limit_seconds: float) -> None:
        """Note that the calling child starts on a claim."""
        self._write(token_of(job_id, fence), time.monotonic(), limit_seconds)

    def end(self) -> None:
        """Note that the calling child is done with its claim."""
        self._write(_EMPTY, 0.0, 0.0)

    def children(self) -> list[Activity]:
        """Return what every child is at, also the dead ones that were not yet forgotten."""
        found = (self._read(offset) for offset in self._offsets())
        return [activity for activity in found if activity.pid]

    def forget(self, pid: int) -> None:
        """Free the slot of a dead child."""
        with self._locked():
            for offset in self._offsets():
                if self._read(offset).pid == pid:
                    _SLOT.pack_into(self._page, offset, 0, _EMPTY, 0.0, 0.0)

    def _write(self, token: bytes, started_seconds: float, limit_seconds: float) -> None:
        if self._offset is None:
            raise RuntimeError("only a child that has entered can write on the board")
        _SLOT.pack_into(self._page, self._offset, os.getpid(), token, started_seconds, limit_seconds)

    def _read(self, offset: int) -> Activity:
        pid, token, started_seconds, limit_seconds = _SLOT.unpack_from(self._page, offset)
        return Activity(pid, b"" if token == _EMPTY else token, started_seconds, limit_seconds)

    @staticmethod
    def _offsets() -> range:
        return range(_HEADER_BYTES, _HEADER_BYTES + MAX_CHILDREN * _SLOT.size, _SLOT.size)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
