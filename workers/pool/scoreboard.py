"""What each child of a pool is doing, in memory that the pool's processes share.

A child writes here which claim it works on and since when; the guard in the main process reads it. "The child lives"
is thereby never mistaken for "the child works on this job", a limit counts from the start of its own job and not of
its batch, and when a child dies it is known which job of the batch it was running. Celery's own bookkeeping cannot
tell: it knows doorbells, not jobs, and stands still while the broker reconnects. When its handler has ended, a job's
limits end too: what remains is to tell the ledger, which may be away.

The memory of the pool is shared out here too, in MiB. The guard writes how much room is left, a child books from it
before it takes a job and puts back what it did not keep. So two children never start on the same room.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct, structs

MAX_CHILDREN = 512
_CLOSING, _BROKEN, _STOPPED, _CALLING = 0, 1, 2, 3
_ROOM = struct.Struct("=ddddd")  # room, price, most for one child, what the waiting job needs, until when
_WANTED = struct.Struct("=qq")  # children wanted, children too many
_ROOM_AT, _WANTED_AT, _HEADER_BYTES = 8, 48, 64  # the flags come first
_SLOT = struct.Struct("=q16sddddddd")  # process id (0: free), token, and then the numbers of an activity in their order
_NUMBERS = 7
_JOB, _JOB_AT = struct.Struct("=16sddd"), 8  # token, started, limit and ceiling, within a slot
_NUMBER = struct.Struct("=d")
_EMPTY = b"\0" * 16
_WAIT_SECONDS = 5.0  # for a job that found no room: what is smaller comes after it for so long


class Activity(Struct, frozen=True):
    """What a child is at. `token` names the claim (empty: idle); `started_seconds` is on the monotonic clock.

    `ceiling_mb` is the most memory its job may take it to (0: no limit). A child had `born_mb` of its own when it was
    ready to work (0: it is not yet), `kept_mb` when it last took jobs, from where it may grow by `booked_mb`, and
    `begun_mb` when it began the one at hand: what is above that is this job's.
    """

    pid: int
    token: bytes = b""
    started_seconds: float = 0.0
    limit_seconds: float = 0.0
    ceiling_mb: float = 0.0
    born_mb: float = 0.0
    kept_mb: float = 0.0
    booked_mb: float = 0.0
    begun_mb: float = 0.0

    @property
    def handled(self) -> bool:
        """Whether the handler of its job has ended, and only the ledger is still to be told."""
        return self.limit_seconds == math.inf


_NUMBERS_AT = {field: 8 * index + 8 for index, field in enumerate(Activity.__struct_fields__) if index > 1}


class _Room(Struct, frozen=True):
    """What is left for jobs, what one costs, what a child could have at most, and what the job needs that waits."""

    room_mb: float
    price_mb: float
    most_mb: float
    waiting_mb: float
    waiting_until_seconds: float

    @property
    def for_one_more(self) -> bool:
        if not self.price_mb:
            return False  # the guard has not looked yet: nobody knows what there is, nor what a child may have
        waiting_mb = self.waiting_mb if time.monotonic() < self.waiting_until_seconds else 0.0
        return self.room_mb >= max(self.price_mb, waiting_mb)


def token_of(job_id: str, fence: int) -> bytes:
    """Return the 16 bytes by which a claim is known on the board."""
    return hashlib.blake2b(f"{fence}:{job_id}".encode(), digest_size=16).digest()


class Board:
    """A page of slots, one a child, and a header about the pool. Made before the children are forked."""

    def __init__(self) -> None:
        size_bytes = _HEADER_BYTES + MAX_CHILDREN * _SLOT.size
        # A file has what anonymous memory lacks: locks that the kernel releases when their holder is killed. In memory,
        # where the system can: a page that finds no room on its disk would end whatever process writes it.
        in_memory = getattr(os, "memfd_create", None)
        self._file = os.fdopen(in_memory("board"), "r+b") if in_memory else tempfile.TemporaryFile()  # noqa: SIM115
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

    @property
    def stopped(self) -> bool:
        """Whether the operator has stopped the pool from claiming: children are not to take doorbells from others."""
        return self._page[_STOPPED] != 0

    def stop(self, stopped: bool) -> None:
        """Note whether the operator has stopped the pool from claiming."""
        self._page[_STOPPED] = stopped

    def call(self) -> None:
        """Ask for one of the children that listen: Celery is to have it."""
        self._page[_CALLING] = 1

    def answer_call(self) -> bool:
        """Whether the calling child is the one that is asked for; no other is then."""
        if not self._page[_CALLING]:
            return False
        with self._locked():
            called = self._page[_CALLING] != 0
            self._page[_CALLING] = 0
            return called

    @property
    def wanted(self) -> int:
        """How many children the pool should have; 0 before the guard has first looked."""
        return int(_WANTED.unpack_from(self._page, _WANTED_AT)[0])

    def want(self, children: int, surplus: int) -> None:
        """Note how many children the pool should have, and how many it has beyond them."""
        _WANTED.pack_into(self._page, _WANTED_AT, children, surplus)

    @property
    def yielding(self) -> bool:
        """Whether children are to take no further job: the pool stops, has too many of them, or too little memory."""
        return self.closing or self._surplus > 0 or self.room_mb < 0

    @property
    def room_mb(self) -> float:
        """Memory that no child has booked; negative where more is in use than the pool may have."""
        return self._room().room_mb

    @property
    def holds_off(self) -> bool:
        """Whether a job waits for the room that others of the pool have booked, and smaller ones do not start."""
        room = self._room()
        return room.waiting_mb > 0 and time.monotonic() < room.waiting_until_seconds

    @property
    def has_room(self) -> bool:
        """Whether one more job may start."""
        return self._surplus == 0 and self._room().for_one_more

    @contextmanager
    def account(self) -> Iterator[Callable[[float, float, float], None]]:
        """Hold off bookings while the guard reckons.

        What it is given writes the room, the price of a usual job, and the most that one child could ever have: alone
        in the pool, with nobody else on the machine.
        """
        with self._locked():
            yield lambda room_mb, price_mb, most_mb: self._set_room(room_mb=room_mb, price_mb=price_mb, most_mb=most_mb)

    @property
    def most_mb(self) -> float:
        """What a child could have if it were alone."""
        return self._room().most_mb

    @property
    def own(self) -> Activity:
        """What the calling child is at."""
        return self._read(self._own_offset)

    def enter(self) -> None:
        """Take a slot for the calling child. Raises RuntimeError when all are taken."""
        with self._locked():
            for offset in self._offsets():
                if self._read(offset).pid in (0, os.getpid()):
                    self._offset = offset
                    _SLOT.pack_into(self._page, offset, os.getpid(), _EMPTY, *[0.0] * _NUMBERS)
                    return
        raise RuntimeError(f"a pool has at most {MAX_CHILDREN} children: start a second pool")

    def ready(self, kept_mb: float) -> None:
        """Note that the calling child can work, and the memory it has of its own."""
        self._note("born_mb", kept_mb)
        self._note("kept_mb", kept_mb)

    def begin(
        self, job_id: str, fence: int, limit_seconds: float, *, begun_mb: float = 0.0, ceiling_mb: float = 0.0
    ) -> None:
        """Note that the calling child, which has `begun_mb` of its own, starts on a claim."""
        self._note("begun_mb", begun_mb)
        job = token_of(job_id, fence), time.monotonic(), limit_seconds, ceiling_mb
        _JOB.pack_into(self._page, self._own_offset + _JOB_AT, *job)

    def lower_ceiling(self, ceiling_mb: float) -> None:
        """Note that the job at hand may have less memory than the child."""
        self._note("ceiling_mb", ceiling_mb)

    def handled(self) -> None:
        """Note that the handler of the job at hand has ended, and with it the job's limits."""
        self._note("limit_seconds", math.inf)

    def end(self) -> None:
        """Note that the calling child is done with its claim."""
        _JOB.pack_into(self._page, self._own_offset + _JOB_AT, _EMPTY, 0.0, 0.0, 0.0)

    def book(self, kept_mb: float) -> bool:
        """Book the price of one job for the calling child, which has `kept_mb` of its own; False for want of room."""
        with self._locked():
            room = self._room()
            if self._surplus or not room.for_one_more:
                return False
            self._set_room(room_mb=room.room_mb - room.price_mb)
            self._note("booked_mb", room.price_mb)
            self._note("kept_mb", kept_mb)
            return True

    def book_up_to(self, wanted_mb: float) -> bool:
        """Raise the calling child's booking where it is below `wanted_mb`; False, and nothing changed, without room.

        For a while nothing starts then before there is that much room: what is smaller must not slip past for ever. But
        not where the room would not be there even when all other jobs of the pool had ended.
        """
        with self._locked():
            room = self._room()
            more_mb = wanted_mb - self.own.booked_mb
            if more_mb > 0 and room.room_mb < more_mb:
                others_mb = sum(child.booked_mb for child in self.children() if child.pid != os.getpid())
                if room.room_mb + others_mb >= more_mb:
                    self._set_room(waiting_mb=wanted_mb, waiting_until_seconds=time.monotonic() + _WAIT_SECONDS)
                return False
            if wanted_mb >= room.waiting_mb:
                self._set_room(waiting_mb=0.0)
            if more_mb > 0:
                self._set_room(room_mb=room.room_mb - more_mb)
                self._note("booked_mb", wanted_mb)
            return True

    def unbook(self, kept_mb: float) -> None:
        """Put back what the calling child had booked and did not keep."""
        with self._locked():
            own = self.own
            back_mb = own.booked_mb - max(0.0, kept_mb - own.kept_mb)
            self._set_room(room_mb=self._room().room_mb + back_mb)
            self._note("booked_mb", 0.0)
            self._note("kept_mb", kept_mb)

    def children(self) -> list[Activity]:
        """Return what every child is at, also the dead ones that were not yet forgotten."""
        found = (self._read(offset) for offset in self._offsets())
        return [activity for activity in found if activity.pid]

    def forget(self, pid: int) -> None:
        """Free the slot of a dead child."""
        with self._locked():
            for offset in self._offsets():
                if self._read(offset).pid == pid:
                    _SLOT.pack_into(self._page, offset, 0, _EMPTY, *[0.0] * _NUMBERS)

    @property
    def _surplus(self) -> int:
        return int(_WANTED.unpack_from(self._page, _WANTED_AT)[1])

    def _room(self) -> _Room:
        return _Room(*_ROOM.unpack_from(self._page, _ROOM_AT))

    def _set_room(self, **changes: float) -> None:
        _ROOM.pack_into(self._page, _ROOM_AT, *structs.astuple(structs.replace(self._room(), **changes)))

    @property
    def _own_offset(self) -> int:
        if self._offset is None:
            raise RuntimeError("only a child that has entered can write on the board")
        return self._offset

    def _note(self, field: str, number: float) -> None:
        _NUMBER.pack_into(self._page, self._own_offset + _NUMBERS_AT[field], number)

    def _read(self, offset: int) -> Activity:
        pid, token, *numbers = _SLOT.unpack_from(self._page, offset)
        return Activity(pid, b"" if token == _EMPTY else token, *numbers)

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
