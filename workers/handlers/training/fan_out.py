"""A long job in parts, worked off by any number of workers: they share a ledger and a store, and nothing else.

    the job is claimed         it is prepared: what its parts need is written to the store, under its digest
    its parts are submitted    as jobs of the same queue; the job itself is parked and holds no worker
    a part is done             its result lies in the store; it wakes the job, which looks what is still missing
    all parts are done         the job puts them together

So one worker does all of it, and seven share it. A part whose worker dies is tried again alone, by the rules of every
job; what is done stays done, through a full stop of everything too. When a part fails, the job fails with its failure;
when the job ends, its parts end themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

import msgspec
import structlog
from msgspec import Struct

from engine.errors import BundleCorruptError, BundleNotFoundError, TrainingTimeoutError
from engine.model.bundle import Bundle
from engine.resources.chunked_arrays import Arrays
from ledger.contracts.failures import Failure, FailureCode, JobRefused
from ledger.contracts.job_state import Progress, State
from ledger.contracts.jobs import BacktestPart, Part, TrainPart
from ledger.contracts.reports import PartReport
from workers.errors import LaterError, StoreUnavailableError
from workers.jobs.context import JobContext
from workers.jobs.retry import insist
from workers.models.model_store import PARTS, PREPARED

LOOK_SECONDS = 2.0
"""How often a job looks for its parts when none of them wakes it."""
_AWAY_SECONDS = 10.0
"""A longer time between two looks is not counted as time at work: the pools were stopped, or busy with older jobs."""
_MOST_ROUNDS = 3

SomePart = TrainPart | BacktestPart


class Note(Struct, frozen=True):
    """What a job remembers from one look to the next.

    `prepared` is '' until it is. `rounds`: how often parts that were done were gone again. `waits_for`: why the server
    takes no parts now, '' while it does.
    """

    prepared: str
    looked_at: datetime
    at_work_seconds: float = 0.0
    rounds: int = 0
    waits_for: str = ""

    def at(self, now: datetime) -> Note:
        """Return the note at a later look; by the server's clock, which may have been set meanwhile."""
        gap_seconds = min(max((now - self.looked_at).total_seconds(), 0.0), _AWAY_SECONDS)
        return msgspec.structs.replace(self, looked_at=now, at_work_seconds=self.at_work_seconds + gap_seconds)


class _NotTakenError(Exception):
    """The server has no room for parts now; the message says why."""


@contextmanager
def looking(context: JobContext, limit_seconds: float) -> Iterator[Note]:
    """Give the job's note for one look, and count the time that it waits for the store, too.

    Raises TrainingTimeoutError where the store is away when the job was at work for longer than `limit_seconds`.
    """
    now = context.claim.claimed_at
    note = msgspec.json.decode(context.claim.note, type=Note).at(now) if context.claim.note else Note("", now)
    try:
        yield note
    except StoreUnavailableError as away:
        if note.at_work_seconds > limit_seconds:
            raise TrainingTimeoutError(
                f"after {note.at_work_seconds:.0f} s the store is away, and max_training_time_seconds is "
                f"{limit_seconds:g}: {away}; what is done is kept: submit again to go on"
            ) from away
        away.note = msgspec.json.encode(note)
        raise


def prepare(context: JobContext, note: Note, make: Callable[[], Bundle]) -> tuple[Note, Bundle]:
    """Return what the job was prepared to, by `make` if this is its first look or what it had made is gone.

    Raises what `make` and the store raise.
    """
    if note.prepared:
        try:
            return note, context.store.open(f"{PREPARED}/{note.prepared}")
        except BundleNotFoundError:
            pass
    bundle = make()
    return msgspec.structs.replace(note, prepared=bundle.digest), bundle


def gather(
    context: JobContext, note: Note, parts: Sequence[SomePart], weights: Sequence[int], limit_seconds: float
) -> dict[str, Arrays]:
    """Return the results of all parts by name, if they are there.

    weights: how many steps of the progress each part is. Raises LaterError where parts are missing, when all of them
    are queued, running or to be tried again; JobRefused with the failure of one that failed; TrainingTimeoutError when
    the job was at work for longer than `limit_seconds`; and what the store raises.
    """
    done = context.store.names(f"{PARTS}/{note.prepared}")
    missing = [part for part in parts if part.name not in done]
    if not missing:
        results = {part.name: _result(context, part) for part in parts}
        missing = [part for part in parts if results[part.name] is None]
        if not missing:
            return {name: result.arrays for name, result in results.items() if result is not None}
    if note.at_work_seconds > limit_seconds:
        _end(context, note, missing)
        raise TrainingTimeoutError(
            f"after {note.at_work_seconds:.0f} s, {len(missing)} of {len(parts)} parts are missing"
            f"{f' because {note.waits_for}' if note.waits_for else ''}, and "
            f"max_training_time_seconds is {limit_seconds:g}; what is done is kept: submit again to go on"
        )
    absent = {part.name for part in missing}
    steps = sum(weight for part, weight in zip(parts, weights, strict=True) if part.name not in absent)
    try:
        note = _submit(context, note, missing)
    except _NotTakenError as refused:
        note = msgspec.structs.replace(note, waits_for=str(refused))
        raise LaterError(
            f"the parts are not accepted: {refused}",
            LOOK_SECONDS,
            note=msgspec.json.encode(note),
            progress=Progress(stage=f"waiting: {refused}", done=steps, total=sum(weights)),
        ) from refused
    left = note.at_work_seconds * (sum(weights) - steps) / steps if steps else None
    raise LaterError(
        f"{len(missing)} parts are missing",
        LOOK_SECONDS,
        note=msgspec.json.encode(note),
        progress=Progress(stage=_stage(missing[0]), done=steps, total=sum(weights), left_seconds=left),
    )


def work_off(part: SomePart, context: JobContext, make: Callable[[Bundle, Callable[[], None]], Arrays]) -> PartReport:
    """Do one part: `make` gets what the job was prepared to and a function to call after each step.

    Raises JobRefused where the job has ended, LaterError where what it was prepared to is gone, until the job has
    brought it back, and what `make` and the store raise.
    """
    store = context.store
    steps = 0

    def step() -> None:
        nonlocal steps
        _check_wanted(context, part)
        context.progress(part.name, steps, 0)
        steps += 1

    step()
    there = part.name in store.names(f"{PARTS}/{part.prepared}")  # its last worker died after it was done
    bundle = _result(context, part) if there else None
    if bundle is None:
        store.touch(f"{PREPARED}/{part.prepared}")  # with it its parts are kept
        try:
            prepared = store.open(f"{PREPARED}/{part.prepared}")
        except BundleNotFoundError as gone:
            raise LaterError(str(gone), LOOK_SECONDS) from gone
        bundle = store.write(make(prepared, step), _about(part), f"{PARTS}/{part.prepared}", part.name)
    insist(lambda: context.ledger.resume_now(part.of))
    return PartReport(name=part.name, digest=bundle.digest, bytes_written=bundle.size_bytes)


def _about(part: SomePart) -> dict[str, str]:
    """What the manifest of a part says, so that its signature holds for no other place."""
    return {"part": part.name, "prepared": part.prepared}


def _result(context: JobContext, part: SomePart) -> Bundle | None:
    """Open a part that is there. One that is not whole, not signed as it must be or not this part's is removed."""
    place = f"{PARTS}/{part.prepared}/{part.name}"
    try:
        bundle = context.store.open(place)
        if bundle.manifest == _about(part):
            return bundle
        reason = "it was written as another"
    except BundleNotFoundError:
        return None
    except BundleCorruptError as error:
        reason = str(error)
    structlog.get_logger("cornerman").warning("a part is done again", part=part.name, reason=reason)
    context.store.remove(place)
    return None


def _submit(context: JobContext, note: Note, missing: Sequence[SomePart]) -> Note:
    """Submit parts, which is once however often it is done, and see whether one has failed.

    Raises _NotTakenError while the server has no room for them.
    """
    try:
        ids = _submitted(context, note, missing)
    except JobRefused as refused:
        if not refused.failure.retryable:
            raise
        raise _NotTakenError(refused.failure.message.partition(": nothing was accepted")[0]) from refused
    note = msgspec.structs.replace(note, waits_for="")
    gone = False
    for part, job_id in zip(missing, ids, strict=True):
        outcome = context.ledger.outcome(job_id)
        if outcome is not None and outcome.failure is not None:
            _end(context, note, missing)
            raise JobRefused(_of_whole(part, outcome.failure))
        gone = gone or (outcome is not None and part.name not in context.store.names(f"{PARTS}/{note.prepared}"))
    if not gone:
        return note
    if note.rounds == _MOST_ROUNDS:
        raise LookupError(f"parts of {note.prepared} were lost from the store {_MOST_ROUNDS} times: look after it")
    return msgspec.structs.replace(note, rounds=note.rounds + 1)


def _submitted(context: JobContext, note: Note, missing: Sequence[SomePart]) -> list[str]:
    # A part names its job, so its content is its key; one that was done and is gone is another job.
    keys = [_key(part, note.rounds) if note.rounds else None for part in missing]
    receipts = context.ledger.submission.submit_parts(missing, keys=keys, correlation_id=context.claim.correlation_id)
    return [receipt.job_id for receipt in receipts]


def _key(part: SomePart, rounds: int) -> str:
    return hashlib.sha256(f"{part.of}/{part.name}/{rounds}".encode()).hexdigest()


def _end(context: JobContext, note: Note, missing: Sequence[SomePart]) -> None:
    with suppress(JobRefused):  # the server is full: those that are there end themselves
        for job_id in _submitted(context, note, missing):
            context.ledger.cancel(job_id)


def _of_whole(part: Part, failure: Failure) -> Failure:
    return msgspec.structs.replace(
        failure, message=f"part {part.name}: {failure.message}", details={**failure.details, "part": part.name}
    )


def _check_wanted(context: JobContext, part: Part) -> None:
    state = context.ledger.status(part.of).state
    if state not in (State.QUEUED, State.RUNNING):
        raise JobRefused(
            Failure(code=FailureCode.CANCELLED, message=f"job {part.of}, of which this is a part, is {state}")
        )


def _stage(part: Part) -> str:
    return f"{part.name.partition('-')[0]}s"
