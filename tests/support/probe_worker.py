"""A pool whose `check_health` handler does what the job's nonce says; started by the worker tests as a process."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import pkgutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from ledger.contracts.failures import LedgerUnavailableError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from workers.__main__ import main
from workers.child import consumer
from workers.child.batch import Batch
from workers.child.batch_size import next_batch_size
from workers.jobs.context import JobContext
from workers.pool.scoreboard import Scoreboard
from workers.supervisor import supervisor
from workers.supervisor.memory_budget import MemoryBudget

FOREVER_SECONDS = 600
job_began = threading.Event()


def probe(job: CheckHealth, context: JobContext) -> HealthReport:
    job_began.set()
    behaviour, *arguments = job.nonce.split(":")
    context.progress(str(os.getpid()), 0, 1)
    FUNCTIONS.get(behaviour, lambda *_: None)(*arguments)
    match behaviour:
        case "block":
            time.sleep(FOREVER_SECONDS)
        case "until_gate":  # which is a job of that name
            while context.ledger.status("gate").state is JobState.UNKNOWN:
                time.sleep(0.05)
        case "hold_interpreter":
            ctypes.PyDLL(None).sleep(FOREVER_SECONDS)
        case "quote":
            raise ValueError(f"as a library may: {job.nonce!r}")
        case "deaf_to_the_ledger":
            context.ledger.settle_batch = no_reply  # type: ignore[method-assign]
        case "raise_memory_error":
            raise MemoryError
        case "allocate":
            bytearray(2**40)
        case "raise_system_exit":
            sys.exit(3)
        case "kill_itself":
            os.kill(os.getpid(), signal.SIGKILL)
        case "block_at_first" if context.claim.attempt == 1:
            time.sleep(FOREVER_SECONDS)
    memory_mb = math.nan if behaviour == "nan" else 1.0
    child = HealthCheck(name="child", passed=True, detail=str(os.getpid()))
    return HealthReport(status="healthy", checks=(child,), model=job.model, memory_mb=memory_mb)


def no_reply(*_: object) -> NoReturn:
    raise LedgerUnavailableError("as from a server that does not answer this child alone")


def block_in_callback() -> None:
    """As C code that calls back: it swallows what is raised there, and fails with an error of its own."""
    ctypes.CFUNCTYPE(None)(lambda: time.sleep(FOREVER_SECONDS))()
    raise ValueError("the library's own error")


def take(megabytes: str, seconds: str, number: str) -> None:
    """Fill memory in half the time, and hold it for the other half. The number only tells jobs apart."""
    steps = 20
    taken = []
    for _ in range(steps):
        taken.append(b"x" * (int(megabytes) * 2**20 // steps))
        time.sleep(float(seconds) / 2 / steps)
    time.sleep(float(seconds) / 2)


def fill(megabytes: str, group: str = "") -> mmap.mmap:
    """Fill shared memory in one call of C code: RLIMIT_DATA does not count it, and no line of Python could check.

    The child can be moved into a control group first.
    """
    if group:
        Path(group, "cgroup.procs").write_text(str(os.getpid()))
    size_bytes = int(megabytes) * 2**20
    shared = mmap.mmap(-1, size_bytes)
    ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(shared)), 1, size_bytes)
    return shared


kept: list[object] = []


def leak(how: str, megabytes: str) -> None:
    """Keep memory for as long as the child lives, of its own or shared."""
    kept.append(b"x" * (int(megabytes) * 2**20) if how == "private" else fill(megabytes))


def write_temporary_file() -> None:
    """Leave a temporary file as it is when its process is killed."""
    descriptor, _ = tempfile.mkstemp()
    os.close(descriptor)
    time.sleep(FOREVER_SECONDS)


FUNCTIONS: dict[str, Callable[..., object]] = {
    "block_in_callback": block_in_callback,
    "take": take,
    "fill": fill,
    "leak": leak,
    "os_exit": lambda: os._exit(3),
    "write_temporary_file": write_temporary_file,
}


def stop_consuming(signum: int, frame: object) -> None:
    """Hold up the loop in which the main process consumes, as a fault in it would; its other threads go on."""
    time.sleep(FOREVER_SECONDS)


def look_late() -> None:
    """Let the guard come to its first look at the memory late, as on a machine that has other work."""
    reckon = MemoryBudget.update

    def late(*given: Any) -> None:
        MemoryBudget.update = reckon  # type: ignore[method-assign]
        time.sleep(1.0)
        reckon(*given)

    MemoryBudget.update = late  # type: ignore[method-assign]


def claim_in_company() -> None:
    """Let batches grow as if no job took any time, also on a machine that is busy with other work."""
    consumer.next_batch_size = lambda last, most: next_batch_size(
        last and msgspec.structs.replace(last, seconds=0.0), most
    )


def stop_before_first_job() -> None:
    """Let a child stop between the claim of its first job and its start, as on a machine that has other work."""
    start_job = Scoreboard.start_job

    def stopped(*given: Any, **named: Any) -> None:
        Scoreboard.start_job = start_job  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGSTOP)
        start_job(*given, **named)

    Scoreboard.start_job = stopped  # type: ignore[method-assign]


def end_settling() -> None:
    """Let the thread that settles the batches of a child end in the middle of the child's first job."""

    def end(_: Batch) -> NoReturn:
        job_began.wait()
        sys.exit("as the test wishes")

    Batch._maintain = end  # type: ignore[method-assign]


def fail_in(methods: str, error: type[BaseException]) -> None:
    """Let methods, named as `module:Class.method` with commas between, raise whenever they are called."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise error("as the test wishes")

    for method in filter(None, methods.split(",")):
        owner, _, name = method.rpartition(".")
        setattr(pkgutil.resolve_name(owner), name, fail)


if __name__ == "__main__":
    fail_in(os.environ.get("PROBE_FAILS_IN", ""), ZeroDivisionError)
    fail_in(os.environ.get("PROBE_DIES_IN", ""), SystemExit)
    if os.environ.get("PROBE_LATE_GUARD"):
        look_late()
    supervisor.MAX_UNSETTLED_SECONDS = float(
        os.environ.get("PROBE_UNSETTLED_SECONDS", supervisor.MAX_UNSETTLED_SECONDS)
    )
    if os.environ.get("PROBE_STOPS"):
        stop_before_first_job()
    if os.environ.get("PROBE_ENDS_SETTLING"):
        end_settling()
    if os.environ.get("PROBE_COMPANY"):
        claim_in_company()
    signal.signal(signal.SIGUSR2, stop_consuming)
    sys.exit(main(handlers={"check_health": os.environ.get("PROBE_HANDLER", probe)}))
