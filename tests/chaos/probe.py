"""A pool for the chaos run: `python -m workers` with a handler that does what a job's nonce says; trainings are real.

Each attempt is first noted in a journal, which counts redeliveries without asking the ledger, and so is each process
that a job takes down. The pool's wall clock, `time.time`, can be put wrong while it runs by writing an offset into a
file.
"""

from __future__ import annotations

import ctypes
import faulthandler
import math
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from engine.errors import ValidationError
from ledger.contracts.jobs import CheckHealth, PredictCard
from ledger.contracts.reports import HealthReport
from tests.chaos.jobs import Behaviour, NewerHealthReport, right_card_report, right_report
from workers.__main__ import main
from workers.jobs.context import JobContext
from workers.jobs.registry import HANDLERS

FOREVER_SECONDS = 3600
JOURNAL, CLOCK, VERSION = "CHAOS_JOURNAL", "CHAOS_CLOCK", "CHAOS_VERSION"
DOWN = "down:"  # in the journal, before the job that takes its worker down
TELL = signal.SIGUSR2
"""Has a process write into its log where its threads are."""


def probe(job: CheckHealth, context: JobContext) -> HealthReport:
    """Work as the nonce says and answer."""
    _note(context.claim.job_id)
    number, behaviour, milliseconds = job.nonce.split(":")
    time.sleep(float(milliseconds) / 1000)
    report = right_report(job)
    match Behaviour(behaviour):
        case Behaviour.INVALID:
            raise ValidationError("the features of this job are wrong")
        case Behaviour.BUG:
            raise ZeroDivisionError("nobody thought of this")
        case Behaviour.NAN:
            return msgspec.structs.replace(report, memory_mb=math.nan)
        case Behaviour.MEMORY:
            raise MemoryError
        case Behaviour.ALLOCATE:
            bytearray(2**40)
        case Behaviour.HANG:
            (ctypes.PyDLL(None).sleep if int(number) % 2 else time.sleep)(FOREVER_SECONDS)
        case Behaviour.SYSTEM_EXIT | Behaviour.OS_EXIT | Behaviour.KILL_ITSELF:
            _go_down(Behaviour(behaviour), context.claim.job_id)
        case Behaviour.DIES_ONCE if context.claim.attempt == 1:
            _go_down(Behaviour.OS_EXIT, context.claim.job_id)
    if os.environ[VERSION] == "newer":
        return NewerHealthReport(**msgspec.structs.asdict(report), engine_version="2")
    return report


def answer_card(job: PredictCard, context: JobContext) -> HealthReport:
    """Answer a card at once."""
    _note(context.claim.job_id)
    return right_card_report(job)


def _go_down(how: Behaviour, job_id: str) -> None:
    """End this process, after a note of it, which would be one too many if a SIGTERM in between released the job."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _note(f"{DOWN}{job_id}")
    if how is Behaviour.SYSTEM_EXIT:
        sys.exit(3)
    if how is Behaviour.KILL_ITSELF:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(3)


def _note(job_id: str) -> None:
    """Append one line in one write, which other processes cannot break."""
    journal = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{job_id}\n".encode())
    os.close(journal)


def _falsify_clock(offset: Path) -> None:
    """Add the offset in a file, in seconds, to what this process and its children take for the time of day."""
    true_time = time.time

    def false_time() -> float:
        return true_time() + (float(offset.read_text() or 0) if offset.exists() else 0.0)

    time.time = false_time


if __name__ == "__main__":
    faulthandler.register(TELL)
    _falsify_clock(Path(os.environ[CLOCK]))
    trainings = {kind: HANDLERS[kind] for kind in ("train_ensemble", "train_part")}
    sys.exit(main(handlers={"check_health": probe, "predict_card": answer_card, **trainings}))
