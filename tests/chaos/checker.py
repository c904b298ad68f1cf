"""The checker: from what was asked and what was seen to the four counts, as a pure function.

Evidence comes from sides that know nothing of each other: the caller's own list of what was accepted, a follower that
read outcomes as they came, and the stream, the records and the dead letters as they are at the end. A journal of the
handlers tells which attempts began. A job is

    lost        accepted, and the ledger does not know it any more
    hanging     accepted, and without an outcome after the time to finish
    duplicated  more than once in the stream of outcomes
    unexpected  ended otherwise than is right for it, took too many workers down, or its outcome was replaced, invented,
                or came after too many attempts; it began before its time or without the job that it waits for; a card
                is superseded by an older one; or the index of jobs differs from the records

The webhook of the run is told of every outcome: a job of which it is not is lost, too, and one that came before an
earlier one of the same card is unexpected. What comes again does not count.

A part of a training is hanging where it did not end with its training, and unexpected where it failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

from msgspec.structs import replace

from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState, JobStatus, Outcome
from ledger.contracts.reports import TrainingReport
from ledger.jobs.job_history import JobEvent, JobEventKind
from tests.chaos.jobs import ENDINGS, SUCCEEDED, Behaviour, Task, card_id, right_card_report, right_report
from tests.chaos.relay import card_of


class PartRecord(NamedTuple):
    """A part of a training as it is at the end."""

    job_id: str
    of: str
    state: JobState
    attempt: int


class Cancel(Enum):
    """What the caller knows of its wish to cancel a job."""

    NEVER_ASKED = "never asked"
    ASKED = "asked"  # the answer was lost, or the job was over already
    CONFIRMED = "confirmed"


@dataclass(frozen=True)
class Evidence:
    """What is known after a run, by job id. `attempts_begun` and `taken_down` (workers) are the journal's, which has no
    trainings.

    `models` are the digests of what the trainings must come to, made without a queue; `parts` are of all trainings.
    `index_differences` are the entries of the index that no record calls for, and those that are missing. `order` are
    the jobs in the order of the stream, and `posted` those of what the webhook accepted, as it came; None without one.
    `events` are the histories of the jobs that had to wait.
    """

    accepted: Mapping[str, Task]
    cancels: Mapping[str, Cancel]
    followed: Mapping[str, Outcome]
    stream: Counter[str]
    statuses: Mapping[str, JobStatus]
    outcomes: Mapping[str, Outcome | None]
    dead: Set[str]
    attempts_begun: Counter[str]
    max_attempts: int
    taken_down: Counter[str] = field(default_factory=Counter)
    models: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[PartRecord] = ()
    index_differences: Sequence[str] = ()
    order: Sequence[str] = ()
    posted: Sequence[str] | None = None
    events: Mapping[str, Sequence[JobEvent]] = field(default_factory=dict)


@dataclass
class Verdict:
    """The four counts, each as the list of what was found."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    hanging: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.duplicated or self.unexpected or self.hanging)


def check(evidence: Evidence) -> Verdict:
    """Judge a run."""
    found = Verdict()
    for job_id, task in evidence.accepted.items():
        status = evidence.statuses[job_id]
        outcome = evidence.outcomes[job_id]
        if status.state in (JobState.UNKNOWN, JobState.FORGOTTEN):
            found.lost.append(f"{job_id} is {status.state}")
        elif outcome is None:
            found.hanging.append(f"{job_id} is {status.state} at attempt {status.attempt}")
        else:
            found.unexpected += [f"{job_id} {reason}" for reason in _oddities(evidence, task, outcome)]
    found.duplicated += [f"{job_id} has {times} outcomes" for job_id, times in evidence.stream.items() if times > 1]
    found.unexpected += [
        f"{job_id} was never accepted and has an outcome"
        for job_id in evidence.stream.keys() - evidence.accepted.keys()
    ]
    for part in evidence.parts:
        if part.state in (JobState.QUEUED, JobState.RUNNING):
            found.hanging.append(f"{part.job_id}, a part of {part.of}, is {part.state} at attempt {part.attempt}")
        elif part.state not in (JobState.SUCCEEDED, JobState.CANCELLED) or part.attempt > evidence.max_attempts:
            found.unexpected.append(f"{part.job_id}, a part of {part.of}, is {part.state} at attempt {part.attempt}")
    found.unexpected += evidence.index_differences
    found.unexpected += _wrongly_superseded(evidence)
    if evidence.posted is not None:
        found.lost += [
            f"the outcome of {job_id} was not delivered"
            for job_id in sorted(set(evidence.order) - set(evidence.posted))
        ]
        found.unexpected += _out_of_turn(evidence.order, evidence.posted)
    return found


def _out_of_turn(order: Sequence[str], posted: Sequence[str]) -> Iterator[str]:
    """Say which outcomes came first before an earlier one of their card."""
    place = {job_id: number for number, job_id in enumerate(order)}
    last: dict[int, str] = {}
    for job_id in dict.fromkeys(posted):
        before = last.get(card_of(job_id))
        if before is not None and place.get(job_id, -1) < place[before]:
            yield f"the outcome of {job_id} was delivered after that of {before}, of the same card"
        else:
            last[card_of(job_id)] = job_id


def ending(outcome: Outcome) -> str:
    """Return how a job ended: `succeeded`, or the failure's code."""
    return SUCCEEDED if outcome.failure is None else outcome.failure.code.value


def _oddities(evidence: Evidence, task: Task, outcome: Outcome) -> Iterator[str]:
    """Say what is wrong with an outcome: nothing, where all is well."""
    ended = ending(outcome)
    allowed = _allowed(evidence, task, evidence.cancels.get(task.job_id, Cancel.NEVER_ASKED), outcome)
    if ended not in allowed:
        yield f"({task.behaviour}) ended as {ended} at attempt {outcome.attempt}, not as {' or '.join(sorted(allowed))}"
    if (ended == SUCCEEDED) != (outcome.state is JobState.SUCCEEDED):
        yield f"is {outcome.state} and ended as {ended}"
    if ended == SUCCEEDED and not _right(evidence, task, outcome):
        yield f"has a wrong answer: {outcome.report}"
    yield from _began_early(evidence, task)
    if outcome.attempt > evidence.max_attempts:
        yield f"had {outcome.attempt} attempts"
    if evidence.taken_down[task.job_id] > evidence.max_attempts:
        yield f"took {evidence.taken_down[task.job_id]} workers down"
    if ended == FailureCode.WORKER_LOST and outcome.attempt != evidence.max_attempts:
        yield f"was given up after {outcome.attempt} attempts"
    if (ended == FailureCode.WORKER_LOST) != (task.job_id in evidence.dead):
        yield f"ended as {ended} and is {'' if task.job_id in evidence.dead else 'not '}in the dead-letter list"
    if ended == SUCCEEDED and task.training is None and not evidence.attempts_begun[task.job_id]:
        yield "has an answer that no handler gave"
    followed = evidence.followed.get(task.job_id)
    if followed is None or not evidence.stream[task.job_id]:
        yield "has an outcome that those who follow were not told"
    elif replace(followed, superseded_by=None) != replace(outcome, superseded_by=None):
        yield f"had its outcome replaced: {followed} by {outcome}"


def _right(evidence: Evidence, task: Task, outcome: Outcome) -> bool:
    if task.behaviour is Behaviour.CARD:
        return outcome.report == right_card_report(task.card())
    if task.training is None:
        return outcome.report == right_report(task.check())
    return isinstance(outcome.report, TrainingReport) and outcome.report.model == evidence.models[task.job_id]


def _began_early(evidence: Evidence, task: Task) -> Iterator[str]:
    """Say if a job was claimed before it was queued, or queued before its time or without the job before it."""
    events = evidence.events.get(task.job_id, ())
    claimed = next((event for event in events if event.event is JobEventKind.CLAIMED), None)
    queued = next((event for event in events if event.event is JobEventKind.QUEUED), None)
    if claimed is None:
        return
    submitted_in_time = task.not_before is None or events[0].at >= task.not_before
    if queued is None and not ((submitted_in_time and task.after is None) or _succeeded(evidence, task.after)):
        yield "was claimed without having been queued"
    if queued is not None and task.not_before is not None and queued.at < task.not_before:
        yield f"was queued at {queued.at}, before {task.not_before}"
    if task.after is not None and not _succeeded(evidence, task.after):
        yield f"was claimed, and {task.after} did not succeed"


def _succeeded(evidence: Evidence, job_id: str | None) -> bool:
    outcome = None if job_id is None else evidence.outcomes.get(job_id)
    return outcome is not None and outcome.state is JobState.SUCCEEDED


def _wrongly_superseded(evidence: Evidence) -> Iterator[str]:
    """Say which cards are superseded by older ones, and which are not superseded by the newest of their event."""
    newest: dict[str, Task] = {}
    for task in evidence.accepted.values():  # as they came
        if task.behaviour is not Behaviour.CARD:
            continue
        before = newest.get(card_id(task.number))
        if before is None or _priced(task) >= _priced(before):
            newest[card_id(task.number)] = task
    for job_id, task in evidence.accepted.items():
        if task.behaviour is not Behaviour.CARD:
            continue
        last = newest[card_id(task.number)].job_id
        by = evidence.statuses[job_id].superseded_by
        if (by is None) != (job_id == last):
            yield f"{job_id} is superseded by {by or 'no job'}, and the newest of its card is {last}"
        elif by is not None and (by not in evidence.accepted or _priced(evidence.accepted[by]) < _priced(task)):
            yield f"{job_id} is superseded by {by}, which is older"


def _priced(task: Task) -> datetime:
    return task.priced_at or datetime.min.replace(tzinfo=UTC)


def _allowed(evidence: Evidence, task: Task, cancel: Cancel, outcome: Outcome) -> frozenset[str]:
    if cancel is Cancel.CONFIRMED:
        return frozenset({FailureCode.CANCELLED})
    allowed = ENDINGS[task.behaviour]
    before = None if task.after is None else evidence.outcomes.get(task.after)
    if before is not None and before.state is not JobState.SUCCEEDED:
        allowed = frozenset({FailureCode.PREDECESSOR_FAILED})
    if task.behaviour is Behaviour.CARD and outcome.superseded_by is None:
        allowed -= {FailureCode.SUPERSEDED}
    if task.deadline is not None:
        # Both are times of the server; it alone decides, whatever the workers' clocks say.
        allowed -= {SUCCEEDED if outcome.settled_at >= task.deadline else FailureCode.EXPIRED}
    return allowed | ({FailureCode.CANCELLED} if cancel is Cancel.ASKED else frozenset())
