"""What a chaos run asks for: jobs whose right endings are known without a queue.

A job's nonce says what its handler does. `right_report` computes the answer, and `ENDINGS` lists how a job may end;
workers and checker use the same few lines, but only the checker knows what was asked. One job in ten comes from a newer
caller and one pool is of a newer version: both write a field that the others do not know.
"""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from ledger.contracts.failures import FailureCode
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard, TrainEnsemble
from ledger.contracts.reports import HealthCheck, HealthReport

SUCCEEDED = "succeeded"
ONE_IN_TEN = 10
HANG_LIMIT_SECONDS = 1.0
LIMIT_SECONDS = 120.0
TRAINING_SECONDS = 600.0


CARDS = 10
EVENT_START = datetime(2099, 1, 1, tzinfo=UTC)


def card_id(number: int) -> str:
    """Return the card of the task with this number: every tenth is of the same."""
    return f"chaos card {number % CARDS}"


class Behaviour(StrEnum):
    """What the handler does with a job."""

    ANSWER = "answer"  # works for 0 to 50 ms
    LONG = "long"  # works for 0.5 to 1.5 s
    HURRY = "hurry"  # works for up to 50 ms and has a deadline soon
    INVALID = "invalid"  # raises a typed error of the engine
    BUG = "bug"  # raises something that nobody has foreseen
    NAN = "nan"  # reports a number that does not exist
    MEMORY = "memory"  # raises MemoryError
    ALLOCATE = "allocate"  # asks for more memory than a child may have
    HANG = "hang"  # never ends, every other time inside a C call that holds the interpreter
    DIES_ONCE = "dies_once"  # ends its process at the first attempt
    SYSTEM_EXIT = "system_exit"  # raises SystemExit, each time
    OS_EXIT = "os_exit"  # leaves without a word, each time
    KILL_ITSELF = "kill_itself"  # sends itself a SIGKILL, each time
    CARD = "card"  # a card that supersedes the earlier ones of its event, answered at once
    TRAIN = "train"  # a real training in parts; its answer is that of a training without any queue


ENDINGS: dict[Behaviour, frozenset[str]] = {
    Behaviour.ANSWER: frozenset({SUCCEEDED}),
    Behaviour.LONG: frozenset({SUCCEEDED}),
    Behaviour.HURRY: frozenset({SUCCEEDED, FailureCode.EXPIRED}),  # the checker compares the clock
    Behaviour.INVALID: frozenset({FailureCode.INVALID_INPUT}),
    Behaviour.BUG: frozenset({FailureCode.INTERNAL}),
    Behaviour.NAN: frozenset({FailureCode.INTERNAL}),
    Behaviour.MEMORY: frozenset({FailureCode.MEMORY_LIMIT_EXCEEDED}),
    Behaviour.ALLOCATE: frozenset({FailureCode.MEMORY_LIMIT_EXCEEDED}),
    Behaviour.HANG: frozenset({FailureCode.TIME_LIMIT_EXCEEDED}),
    # It uses up one attempt by itself; two faults may take the others.
    Behaviour.DIES_ONCE: frozenset({SUCCEEDED, FailureCode.WORKER_LOST}),
    Behaviour.SYSTEM_EXIT: frozenset({FailureCode.WORKER_LOST}),
    Behaviour.OS_EXIT: frozenset({FailureCode.WORKER_LOST}),
    Behaviour.KILL_ITSELF: frozenset({FailureCode.WORKER_LOST}),
    Behaviour.CARD: frozenset({SUCCEEDED, FailureCode.SUPERSEDED}),  # the checker compares the prices' times
    Behaviour.TRAIN: frozenset({SUCCEEDED}),
}

HARMFUL = (
    Behaviour.MEMORY,
    Behaviour.ALLOCATE,
    Behaviour.HANG,
    Behaviour.DIES_ONCE,
    Behaviour.SYSTEM_EXIT,
    Behaviour.OS_EXIT,
    Behaviour.KILL_ITSELF,
)

# How many of 1,000 jobs behave like that; all others answer.
_PER_THOUSAND = {
    Behaviour.LONG: 20,
    Behaviour.HURRY: 15,
    Behaviour.INVALID: 15,
    Behaviour.BUG: 10,
    Behaviour.NAN: 3,
    Behaviour.MEMORY: 4,
    Behaviour.ALLOCATE: 3,
    Behaviour.HANG: 2,
    Behaviour.DIES_ONCE: 3,
    Behaviour.SYSTEM_EXIT: 1,
    Behaviour.OS_EXIT: 1,
    Behaviour.KILL_ITSELF: 1,
}


class NewerCheckHealth(
    CheckHealth, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="check_health"
):
    """The job as a later version may write it."""

    asked_by: str = ""


class NewerHealthReport(
    HealthReport, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="health_report"
):
    """The report as a later version may write it."""

    engine_version: str = ""


newer_job_decoder = msgspec.json.Decoder(PredictCard | TrainEnsemble | NewerCheckHealth)
"""Reads jobs as a newer caller's side does: it keeps the field that an older worker ignores."""


class Task(Struct, frozen=True):
    """A job of the run. `milliseconds` is how long its handler works; `training` is what it is, where it is one.

    `not_before` and `after` are what it waits for; `priced_at` is when the prices of a card were read.
    """

    seed: int
    number: int
    behaviour: Behaviour
    milliseconds: float
    deadline: datetime | None = None
    training: TrainEnsemble | None = None
    not_before: datetime | None = None
    after: str | None = None
    priced_at: datetime | None = None

    @property
    def job_id(self) -> str:
        """The key under which it is submitted."""
        return f"chaos-{self.number}"

    def job(self) -> NewerCheckHealth | TrainEnsemble | PredictCard:
        """Return the job as it is submitted."""
        return self.card() if self.behaviour is Behaviour.CARD else self.training or self.check()

    def card(self) -> PredictCard:
        """Return the job as it is submitted where it is a card."""
        fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")))
        return PredictCard(
            card_id=card_id(self.number), event_start=EVENT_START, fights=(fight,), priced_at=self.priced_at
        )

    def check(self) -> NewerCheckHealth:
        """Return the job as it is submitted where it is no training."""
        return NewerCheckHealth(
            model=f"chaos-{self.seed}",
            nonce=f"{self.number}:{self.behaviour}:{self.milliseconds:.1f}",
            deadline=self.deadline,
            asked_by="" if self.number % ONE_IN_TEN else "a newer caller",
        )


def make_task(seed: int, number: int, rng: random.Random, behaviour: Behaviour | None = None) -> Task:
    """Return one job of the mix, or one of a given behaviour. Every second one that works is done at once."""
    if behaviour is None:
        others = tuple(_PER_THOUSAND)
        weights = (*_PER_THOUSAND.values(), 1000 - sum(_PER_THOUSAND.values()))
        (behaviour,) = rng.choices((*others, Behaviour.ANSWER), weights)
    milliseconds = rng.uniform(500, 1500) if behaviour is Behaviour.LONG else rng.choice((0.0, rng.uniform(0, 50)))
    return Task(seed, number, behaviour, milliseconds)


def make_training(seed: int, number: int, league: Path, part_refits: int) -> Task:
    """Return a small training; of one seed comes one model, however it is cut into parts."""
    training = TrainEnsemble(
        data=str(league),
        seed=seed,
        bootstrap_samples=12,
        fits=2,
        folds=3,
        forest_trees=10,
        part_refits=part_refits,
        alias=None,
        max_training_time_seconds=TRAINING_SECONDS,
    )
    return Task(seed, number, Behaviour.TRAIN, 0.0, training=training)


def limit_seconds(job: CheckHealth | TrainEnsemble | PredictCard) -> float:
    """Return the time limit of a job: short for one that hangs, long enough for every fault for all others."""
    if isinstance(job, TrainEnsemble):
        return TRAINING_SECONDS
    if isinstance(job, PredictCard):
        return LIMIT_SECONDS
    return HANG_LIMIT_SECONDS if f":{Behaviour.HANG}:" in job.nonce else LIMIT_SECONDS


def right_card_report(card: PredictCard) -> HealthReport:
    """Compute the answer to a card of the run."""
    check = HealthCheck(name="answer", passed=True, detail=f"{card.card_id} {card.priced_at}")
    return HealthReport(status="healthy", checks=(check,), model=card.model, memory_mb=0.0)


def right_report(job: CheckHealth) -> HealthReport:
    """Compute a job's answer: determined by its content, and by nothing else."""
    digest = hashlib.sha256(f"{job.model}/{job.nonce}".encode()).hexdigest()
    number = int(digest[:12], 16) / 16**12
    check = HealthCheck(name="answer", passed=True, detail=digest)
    return HealthReport(status="healthy", checks=(check,), model=job.model, memory_mb=number)
