"""Fan-out of a long job into parts for any number of workers, which share only the ledger and the store.

    claim       the job is prepared: the data that its parts need are written to the store, under their digest
    submit      the parts are submitted to the same queue; the job itself is snoozed and occupies no worker
    run         each part writes its result to the store, and wakes the job, which checks what is missing
    gather      when all results are there, the job assembles them

One worker runs all parts alone, seven workers share them. A part whose worker dies is retried as any job is; finished
parts survive even a stop of all pools. If a part fails, the job fails with the failure of the part; if the job ends,
its remaining parts end themselves.
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
from engine.resources.chunked_arrays import NamedArrays
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from ledger.contracts.job_state import JobState, Progress
from ledger.contracts.jobs import BacktestPart, JobPart, TrainPart
from ledger.contracts.reports import PartReport
from workers.errors import JobSnoozedError, StoreUnavailableError
from workers.jobs.context import JobContext
from workers.jobs.retry import retry_until_available
from workers.models.model_store import PARTS, PREPARED

POLL_SECONDS = 2.0
"""Interval at which a job checks its parts if none of them wakes it."""
_MAX_GAP_SECONDS = 10.0
"""Maximum working time counted between two checks; after a longer gap the pools were stopped or busy otherwise."""
_MAX_ROUNDS = 3

AnyPart = TrainPart | BacktestPart


class FanOutState(Struct, frozen=True):
    """The state of a fanned-out job, stored with the snoozed job between two checks of its parts.

    Attributes
    ----------
    prepared : str
        Digest of the prepared data; empty before the preparation.
    looked_at : datetime
        Time of the last check, by the clock of the server.
    at_work_seconds : float
        Working time of the job so far.
    rounds : int
        How often the results of finished parts were missing from the store again.
    waits_for : str
        The reason why the server accepts no parts now; empty while it does.
    """

    prepared: str
    looked_at: datetime
    at_work_seconds: float = 0.0
    rounds: int = 0
    waits_for: str = ""

    def advanced_to(self, now: datetime) -> FanOutState:
        """Return the state at a later check; the clock of the server may have been set meanwhile."""
        gap_seconds = min(max((now - self.looked_at).total_seconds(), 0.0), _MAX_GAP_SECONDS)
        return msgspec.structs.replace(self, looked_at=now, at_work_seconds=self.at_work_seconds + gap_seconds)


class _PartsRefusedError(Exception):
    """The server accepts no parts now; the message gives the reason."""


@contextmanager
def resume_state(context: JobContext, limit_seconds: float) -> Iterator[FanOutState]:
    """Yield the state of the job for one check, and store it if the job is snoozed because the store is unavailable.

    Raises TrainingTimeoutError if the store is unavailable and the job has worked for longer than `limit_seconds`.
    """
    now = context.claim.claimed_at
    state = (
        msgspec.json.decode(context.claim.snooze_note, type=FanOutState).advanced_to(now)
        if context.claim.snooze_note
        else FanOutState("", now)
    )
    try:
        yield state
    except StoreUnavailableError as unavailable:
        if state.at_work_seconds > limit_seconds:
            raise TrainingTimeoutError(
                f"after {state.at_work_seconds:.0f} s the store is unavailable, and max_training_time_seconds is "
                f"{limit_seconds:g}: {unavailable}; finished parts are kept: submit the job again to resume"
            ) from unavailable
        unavailable.note = msgspec.json.encode(state)
        raise


def prepare(context: JobContext, state: FanOutState, make: Callable[[], Bundle]) -> tuple[FanOutState, Bundle]:
    """Return the state with the prepared data of the job, which `make` writes if they are not in the store.

    Raises as `make` and the store do.
    """
    if state.prepared:
        try:
            return state, context.store.open(f"{PREPARED}/{state.prepared}")
        except BundleNotFoundError:
            pass
    bundle = make()
    return msgspec.structs.replace(state, prepared=bundle.digest), bundle


def gather(
    context: JobContext, state: FanOutState, parts: Sequence[AnyPart], weights: Sequence[int], limit_seconds: float
) -> dict[str, NamedArrays]:
    """Return the results of all parts by name; submit missing parts and snooze the job if there are any.

    Parameters
    ----------
    context : JobContext
        The context of the job.
    state : FanOutState
        The state of this check.
    parts : sequence of TrainPart or BacktestPart
        All parts of the job.
    weights : sequence of int
        The number of progress steps of each part.
    limit_seconds : float
        Maximum working time of the job.

    Raises
    ------
    JobSnoozedError
        Parts are missing; all of them are queued, running or waiting for a retry.
    JobRefusedError
        A part has failed; the failure is that of the part.
    TrainingTimeoutError
        The job has worked for longer than `limit_seconds`.
    StoreUnavailableError
    """
    done = context.store.bundle_names(f"{PARTS}/{state.prepared}")
    missing = [part for part in parts if part.name not in done]
    if not missing:
        results = {part.name: _result(context, part) for part in parts}
        missing = [part for part in parts if results[part.name] is None]
        if not missing:
            return {name: result.arrays for name, result in results.items() if result is not None}
    if state.at_work_seconds > limit_seconds:
        _end(context, state, missing)
        raise TrainingTimeoutError(
            f"after {state.at_work_seconds:.0f} s, {len(missing)} of {len(parts)} parts are missing"
            f"{f' because {state.waits_for}' if state.waits_for else ''}, and "
            f"max_training_time_seconds is {limit_seconds:g}; finished parts are kept: submit the job again to resume"
        )
    absent = {part.name for part in missing}
    steps = sum(weight for part, weight in zip(parts, weights, strict=True) if part.name not in absent)
    try:
        state = _submit(context, state, missing)
    except _PartsRefusedError as refused:
        state = msgspec.structs.replace(state, waits_for=str(refused))
        raise JobSnoozedError(
            f"the parts are not accepted: {refused}",
            POLL_SECONDS,
            note=msgspec.json.encode(state),
            progress=Progress(stage=f"waiting: {refused}", done=steps, total=sum(weights)),
        ) from refused
    left = state.at_work_seconds * (sum(weights) - steps) / steps if steps else None
    raise JobSnoozedError(
        f"{len(missing)} parts are missing",
        POLL_SECONDS,
        note=msgspec.json.encode(state),
        progress=Progress(stage=_stage(missing[0]), done=steps, total=sum(weights), left_seconds=left),
    )


def run_part(
    part: AnyPart, context: JobContext, make: Callable[[Bundle, Callable[[], None]], NamedArrays]
) -> PartReport:
    """Run one part, write its result to the store, and wake its job.

    Parameters
    ----------
    part : TrainPart or BacktestPart
        The part.
    context : JobContext
        The context of the part.
    make : callable
        Computes the result from the prepared data; it calls its second argument after each step.

    Raises
    ------
    JobRefusedError
        The job has ended.
    JobSnoozedError
        The prepared data are missing; the job will write them again.
    StoreUnavailableError
    """
    store = context.store
    steps = 0

    def step() -> None:
        nonlocal steps
        _check_job_is_active(context, part)
        context.progress(part.name, steps, 0)
        steps += 1

    step()
    # An earlier worker may have died after it had written the result.
    is_finished = part.name in store.bundle_names(f"{PARTS}/{part.prepared}")
    bundle = _result(context, part) if is_finished else None
    if bundle is None:
        store.touch(f"{PREPARED}/{part.prepared}")  # this also keeps the results of its parts
        try:
            prepared = store.open(f"{PREPARED}/{part.prepared}")
        except BundleNotFoundError as missing_error:
            raise JobSnoozedError(str(missing_error), POLL_SECONDS) from missing_error
        bundle = store.write(make(prepared, step), _manifest(part), f"{PARTS}/{part.prepared}", part.name)
    retry_until_available(lambda: context.ledger.resume_now(part.of))
    return PartReport(name=part.name, digest=bundle.digest, bytes_written=bundle.size_bytes)


def _manifest(part: AnyPart) -> dict[str, str]:
    """Return the manifest of a result; it names the place, so that the signature is not valid for another place."""
    return {"part": part.name, "prepared": part.prepared}


def _result(context: JobContext, part: AnyPart) -> Bundle | None:
    """Open the result of a part, or remove one that is incomplete, wrongly signed or of another part."""
    place = f"{PARTS}/{part.prepared}/{part.name}"
    try:
        bundle = context.store.open(place)
        if bundle.manifest == _manifest(part):
            return bundle
        reason = "it is the result of another part"
    except BundleNotFoundError:
        return None
    except BundleCorruptError as error:
        reason = str(error)
    structlog.get_logger("cornerman").warning("recomputing part", part=part.name, reason=reason)
    context.store.remove(place)
    return None


def _submit(context: JobContext, state: FanOutState, missing: Sequence[AnyPart]) -> FanOutState:
    """Submit parts, which is idempotent, and raise the failure of one that has failed.

    Raises _PartsRefusedError while the server accepts no parts.
    """
    try:
        ids = _submitted(context, state, missing)
    except JobRefusedError as refused:
        if not refused.failure.retryable:
            raise
        raise _PartsRefusedError(refused.failure.message.partition(": nothing was accepted")[0]) from refused
    state = msgspec.structs.replace(state, waits_for="")
    is_lost = False
    for part, job_id in zip(missing, ids, strict=True):
        outcome = context.ledger.outcome(job_id)
        if outcome is not None and outcome.failure is not None:
            _end(context, state, missing)
            raise JobRefusedError(_failure_of_job(part, outcome.failure))
        is_lost = is_lost or (
            outcome is not None and part.name not in context.store.bundle_names(f"{PARTS}/{state.prepared}")
        )
    if not is_lost:
        return state
    if state.rounds == _MAX_ROUNDS:
        raise LookupError(f"parts of {state.prepared} were lost from the store {_MAX_ROUNDS} times: check the store")
    return msgspec.structs.replace(state, rounds=state.rounds + 1)


def _submitted(context: JobContext, state: FanOutState, missing: Sequence[AnyPart]) -> list[str]:
    # A part names its job, so its content is its key; a part whose result was lost gets a new key.
    keys = [_key(part, state.rounds) if state.rounds else None for part in missing]
    claim = context.claim
    receipts = context.ledger.submission.submit_parts(
        missing,
        keys=keys,
        correlation_id=claim.correlation_id,
        caller=claim.caller,
        trace=claim.span or claim.trace,
    )
    return [receipt.job_id for receipt in receipts]


def _key(part: AnyPart, rounds: int) -> str:
    return hashlib.sha256(f"{part.of}/{part.name}/{rounds}".encode()).hexdigest()


def _end(context: JobContext, state: FanOutState, missing: Sequence[AnyPart]) -> None:
    with suppress(JobRefusedError):  # the server is full: submitted parts end themselves
        for job_id in _submitted(context, state, missing):
            context.ledger.cancel(job_id)


def _failure_of_job(part: JobPart, failure: Failure) -> Failure:
    return msgspec.structs.replace(
        failure, message=f"part {part.name}: {failure.message}", details={**failure.details, "part": part.name}
    )


def _check_job_is_active(context: JobContext, part: JobPart) -> None:
    state = context.ledger.status(part.of).state
    if state not in (JobState.QUEUED, JobState.RUNNING):
        raise JobRefusedError(
            Failure(code=FailureCode.CANCELLED, message=f"this is a part of job {part.of}, which is {state}")
        )


def _stage(part: JobPart) -> str:
    return f"{part.name.partition('-')[0]}s"
