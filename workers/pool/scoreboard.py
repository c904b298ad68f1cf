"""The scoreboard of a pool: the state of every child, in memory that the pool's processes share.

Each child writes the claim that it runs and its start time into its slot; the supervisor in the main process reads it.
So "the child lives" is never mistaken for "the child runs this job", a limit counts from the start of its own job and
not of its batch, and when a child dies it is known which job of the batch it was running. Celery's own bookkeeping
cannot provide this: it knows doorbells, not jobs, and stands still while the broker reconnects. When a job's handler
has ended, its limits end too: what remains is to settle the job, and the ledger may be away.

The scoreboard also allocates the pool's memory, in MiB. The supervisor writes how much is free, a child reserves from
that before it takes a job and returns what it did not keep. So two children never start on the same memory.
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
from typing import IO

from msgspec import Struct, structs

MAX_CHILDREN = 512
_CLOSING, _BROKEN, _STOPPED, _REQUESTED = 0, 1, 2, 3
_USED, _USED_AT = struct.Struct("=H"), 4  # how many slots, from the first on, were ever taken
_MEMORY = struct.Struct("=ddddd")  # free, typical job, child alone, need of the waiting job, end of its wait
_SIZE = struct.Struct("=qq")  # target size, surplus
_MEMORY_AT, _SIZE_AT, _HEADER_BYTES = 8, 48, 64  # the flags come first
_SLOT = struct.Struct("=q16sddddddd")  # process id (0: free), token, then the numbers in their order
_NUMBERS = 7
_JOB, _JOB_AT = struct.Struct("=16sddd"), 8  # token, started, limit and ceiling, within a slot
_NUMBER = struct.Struct("=d")
_RESERVATION = struct.Struct("=dd")  # `reserved_from_mb` and `reserved_mb`, within a slot
_NO_TOKEN = b"\0" * 16
_WAIT_SECONDS = 5.0  # how long smaller jobs stay behind a job that found too little memory


class ChildSlot(Struct, frozen=True):
    """The slot of one child.

    Attributes
    ----------
    token
        The claim that the child runs; empty: idle.
    started_seconds
        Start of that job on the monotonic clock.
    limit_seconds
        The job's time limit; infinite once its handler has ended.
    ceiling_mb
        Memory that the child may have while it runs this job; 0: no limit.
    baseline_mb
        Memory of the child when it was ready to work; 0: not ready yet.
    reserved_from_mb
        Memory of the child when it last reserved; it may grow by `reserved_mb` from there.
    job_start_mb
        Memory of the child when it started the current job; the growth since then is this job's.
    """

    pid: int
    token: bytes = b""
    started_seconds: float = 0.0
    limit_seconds: float = 0.0
    ceiling_mb: float = 0.0
    baseline_mb: float = 0.0
    reserved_from_mb: float = 0.0
    reserved_mb: float = 0.0
    job_start_mb: float = 0.0

    @property
    def handler_ended(self) -> bool:
        """True if the handler of its job has ended and only the settlement is left."""
        return self.limit_seconds == math.inf


_NUMBERS_AT = {field: 8 * index + 8 for index, field in enumerate(ChildSlot.__struct_fields__) if index > 1}
_RESERVATION_AT = _NUMBERS_AT["reserved_from_mb"]


class _Memory(Struct, frozen=True):
    """The header about memory: free, for a typical job, for a child alone in the pool, and for the job that waits."""

    free_mb: float
    typical_job_mb: float
    max_child_mb: float
    waiting_mb: float
    waiting_until_seconds: float

    @property
    def fits_one_more(self) -> bool:
        if not self.typical_job_mb:
            return False  # before the first tick of the supervisor nothing is known
        waiting_mb = self.waiting_mb if time.monotonic() < self.waiting_until_seconds else 0.0
        return self.free_mb >= max(self.typical_job_mb, waiting_mb)


def claim_token(job_id: str, fence: int) -> bytes:
    """Return the 16 bytes that identify a claim on the scoreboard."""
    return hashlib.blake2b(f"{fence}:{job_id}".encode(), digest_size=16).digest()


class Scoreboard:
    """A shared page with a slot for each child and a header about the pool; created before the children are forked."""

    def __init__(self) -> None:
        size_bytes = _HEADER_BYTES + MAX_CHILDREN * _SLOT.size
        # A file has locks, which the kernel releases when their holder is killed; anonymous memory has none. The file
        # is in memory if possible: a write to a page for which its disk has no space would kill the process.
        in_memory = getattr(os, "memfd_create", None)
        self._file = os.fdopen(in_memory("board"), "r+b") if in_memory else tempfile.TemporaryFile()  # noqa: SIM115
        self._file.truncate(size_bytes)
        self._page = mmap.mmap(self._file.fileno(), size_bytes)
        self._offset: int | None = None

    @property
    def closing(self) -> bool:
        """True if the pool must stop: children claim nothing more."""
        return self._page[_CLOSING] != 0

    def start_closing(self) -> None:
        """Signal to the children that the pool stops."""
        self._page[_CLOSING] = 1

    @property
    def start_failed(self) -> bool:
        """True if a child could not start: its replacement would fail too."""
        return self._page[_BROKEN] != 0

    def report_start_failure(self) -> None:
        """Report to the main process that the calling child cannot start."""
        self._page[_BROKEN] = 1

    @property
    def stopped(self) -> bool:
        """True if the operator has stopped claims: children must not take doorbells from other pools."""
        return self._page[_STOPPED] != 0

    def set_stopped(self, stopped: bool) -> None:
        """Record whether the operator has stopped the pool from claiming."""
        self._page[_STOPPED] = stopped

    def request_child(self) -> None:
        """Request a child that waits for claims: Celery needs one."""
        self._page[_REQUESTED] = 1

    def take_request(self) -> bool:
        """Return True if the calling child takes the open request; no other child does then."""
        if not self._page[_REQUESTED]:
            return False
        with self._locked():
            requested = self._page[_REQUESTED] != 0
            self._page[_REQUESTED] = 0
            return requested

    @property
    def target_size(self) -> int:
        """The number of children that the pool should have; 0 before the first tick of the supervisor."""
        return int(_SIZE.unpack_from(self._page, _SIZE_AT)[0])

    def set_target_size(self, children: int, surplus: int) -> None:
        """Set the number of children that the pool should have, and by how many it exceeds it now."""
        _SIZE.pack_into(self._page, _SIZE_AT, children, surplus)

    @property
    def should_stop_claiming(self) -> bool:
        """True if children must claim no more jobs: the pool stops, has surplus children, or is over its limit."""
        return self.closing or self._surplus > 0 or self.free_mb < 0

    @property
    def free_mb(self) -> float:
        """Memory that no child has reserved; negative if the pool uses more than it may."""
        free_mb: float = _NUMBER.unpack_from(self._page, _MEMORY_AT)[0]
        return free_mb

    @property
    def job_waits_for_memory(self) -> bool:
        """True if a job waits for memory that other jobs of the pool hold; smaller jobs do not start then."""
        memory = self._memory()
        return memory.waiting_mb > 0 and time.monotonic() < memory.waiting_until_seconds

    @property
    def can_start_job(self) -> bool:
        """True if one more job may start."""
        return self._surplus == 0 and self._memory().fits_one_more

    @contextmanager
    def accounting(self) -> Iterator[Callable[[float, float, float], None]]:
        """Block reservations while the supervisor computes the pool's memory.

        Yields a function that writes the free memory, the memory of a typical job, and the memory that one child could
        have at most: alone in the pool, with no other process on the machine.
        """
        with self._locked():
            yield lambda free_mb, typical_job_mb, max_child_mb: self._set_memory(
                free_mb=free_mb, typical_job_mb=typical_job_mb, max_child_mb=max_child_mb
            )

    @property
    def max_child_mb(self) -> float:
        """The memory that a child could have if it were alone."""
        return self._memory().max_child_mb

    @property
    def own_slot(self) -> ChildSlot:
        """The slot of the calling child."""
        return self._read(self._own_offset)

    def register_child(self) -> None:
        """Take a slot for the calling child. Raises RuntimeError if all are taken."""
        with self._locked():
            for offset in self._offsets():
                if self._read(offset).pid in (0, os.getpid()):
                    self._offset = offset
                    used = (offset - _HEADER_BYTES) // _SLOT.size + 1
                    _USED.pack_into(self._page, _USED_AT, max(used, _USED.unpack_from(self._page, _USED_AT)[0]))
                    _SLOT.pack_into(self._page, offset, os.getpid(), _NO_TOKEN, *[0.0] * _NUMBERS)
                    return
        raise RuntimeError(f"a pool has at most {MAX_CHILDREN} children: start a second pool")

    def mark_ready(self, used_mb: float) -> None:
        """Mark the calling child as ready and record its baseline memory."""
        self._write("baseline_mb", used_mb)
        self._write("reserved_from_mb", used_mb)

    def start_job(
        self, job_id: str, fence: int, limit_seconds: float, *, job_start_mb: float = 0.0, ceiling_mb: float = 0.0
    ) -> None:
        """Record that the calling child, whose memory is `job_start_mb`, starts the job of a claim."""
        self._write("job_start_mb", job_start_mb)
        job = claim_token(job_id, fence), time.monotonic(), limit_seconds, ceiling_mb
        _JOB.pack_into(self._page, self._own_offset + _JOB_AT, *job)

    @contextmanager
    def importing(self, measure_mb: Callable[[], float]) -> Iterator[None]:
        """Count what the calling child imports in the block as its baseline memory, and not as its current job's.

        `measure_mb` returns the memory of the child.
        """
        own, before_mb = self.own_slot, measure_mb()
        self._write("reserved_from_mb", math.inf)  # no growth of a job is observed meanwhile
        try:
            yield
        finally:
            grown_mb = max(0.0, measure_mb() - before_mb)
            for field in ("baseline_mb", "reserved_from_mb", "job_start_mb"):
                self._write(field, getattr(own, field) + grown_mb)

    def set_ceiling(self, ceiling_mb: float) -> None:
        """Set the memory that the child may have while it runs the current job."""
        self._write("ceiling_mb", ceiling_mb)

    def mark_handler_ended(self) -> None:
        """Record that the handler of the current job has ended, and with it the job's limits."""
        self._write("limit_seconds", math.inf)

    def end_job(self) -> None:
        """Record that the calling child has finished with its claim."""
        _JOB.pack_into(self._page, self._own_offset + _JOB_AT, _NO_TOKEN, 0.0, 0.0, 0.0)

    def reserve(self, used_mb: float) -> bool:
        """Reserve the memory of a typical job for the calling child; return False if there is too little."""
        with self._locked():
            memory = self._memory()
            if self._surplus or not memory.fits_one_more:
                return False
            self._set_free(memory.free_mb - memory.typical_job_mb)
            self._set_reservation(used_mb, memory.typical_job_mb)
            return True

    def raise_reservation(self, wanted_mb: float) -> bool:
        """Raise the calling child's reservation to at least `wanted_mb`; return False if memory is short.

        After a refusal no smaller job starts for a while, so that small jobs cannot starve a large one; except if the
        memory would not suffice even after all other jobs of the pool had ended.
        """
        with self._locked():
            memory = self._memory()
            more_mb = wanted_mb - self.own_slot.reserved_mb
            if more_mb > 0 and memory.free_mb < more_mb:
                others_mb = sum(child.reserved_mb for child in self.slots() if child.pid != os.getpid())
                if memory.free_mb + others_mb >= more_mb:
                    self._set_memory(waiting_mb=wanted_mb, waiting_until_seconds=time.monotonic() + _WAIT_SECONDS)
                return False
            if wanted_mb >= memory.waiting_mb:
                self._set_memory(waiting_mb=0.0)
            if more_mb > 0:
                self._set_free(memory.free_mb - more_mb)
                self._write("reserved_mb", wanted_mb)
            return True

    def release_reservation(self, used_mb: float) -> None:
        """Return the part of its reservation that the calling child did not keep."""
        with self._locked():
            own = self.own_slot
            back_mb = own.reserved_mb - max(0.0, used_mb - own.reserved_from_mb)
            self._set_free(self.free_mb + back_mb)
            self._set_reservation(used_mb, 0.0)

    def slots(self) -> list[ChildSlot]:
        """Return the slots of all children, including dead ones whose slots are not freed yet."""
        used = _USED.unpack_from(self._page, _USED_AT)[0]  # the others are free: reading all takes a millisecond
        found = (self._read(offset) for offset in self._offsets()[:used])
        return [slot for slot in found if slot.pid]

    def free_slot(self, pid: int) -> None:
        """Free the slot of a dead child."""
        with self._locked():
            for offset in self._offsets():
                if self._read(offset).pid == pid:
                    _SLOT.pack_into(self._page, offset, 0, _NO_TOKEN, *[0.0] * _NUMBERS)

    @property
    def _surplus(self) -> int:
        return int(_SIZE.unpack_from(self._page, _SIZE_AT)[1])

    def _memory(self) -> _Memory:
        return _Memory(*_MEMORY.unpack_from(self._page, _MEMORY_AT))

    def _set_memory(self, **changes: float) -> None:
        _MEMORY.pack_into(self._page, _MEMORY_AT, *structs.astuple(structs.replace(self._memory(), **changes)))

    def _set_free(self, free_mb: float) -> None:
        _NUMBER.pack_into(self._page, _MEMORY_AT, free_mb)

    def _set_reservation(self, from_mb: float, reserved_mb: float) -> None:
        _RESERVATION.pack_into(self._page, self._own_offset + _RESERVATION_AT, from_mb, reserved_mb)

    @property
    def _own_offset(self) -> int:
        if self._offset is None:
            raise RuntimeError("only a registered child can write to its slot of the scoreboard")
        return self._offset

    def _write(self, field: str, number: float) -> None:
        _NUMBER.pack_into(self._page, self._own_offset + _NUMBERS_AT[field], number)

    def _read(self, offset: int) -> ChildSlot:
        pid, token, *numbers = _SLOT.unpack_from(self._page, offset)
        return ChildSlot(pid, b"" if token == _NO_TOKEN else token, *numbers)

    @staticmethod
    def _offsets() -> range:
        return range(_HEADER_BYTES, _HEADER_BYTES + MAX_CHILDREN * _SLOT.size, _SLOT.size)

    def _locked(self) -> _FileLock:
        return _FileLock(self._file)


class _FileLock:
    """A lock on a file, held during a block; entering a generator takes twice as long."""

    __slots__ = ("_file",)

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __enter__(self) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN)
