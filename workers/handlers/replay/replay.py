"""From a `Replay` to a `ReplayReport`: make an outcome again, under what held when it was made, and compare.

The job, the model, the controls and the moment are those of then; the processor and the libraries are those of here.
Nothing that a model has said before is taken from memory. What the clock, the machine or the caller decided cannot be
made again, and the report says so.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast, get_args

import msgspec

from ledger.contracts import codec
from ledger.contracts.controls import Controls
from ledger.contracts.failures import LedgerUnavailable, PermissionDenied
from ledger.contracts.jobs import Replay
from ledger.contracts.provenance import Origin
from ledger.contracts.replay_report import Obstacle, ReplayReport
from ledger.contracts.reports import Report
from ledger.ledger import KeptJob
from workers.failures import failure_of
from workers.handlers.replay.outcome_diff import compare
from workers.jobs.context import ClaimLostError, JobContext
from workers.jobs.decoding import read
from workers.jobs.operator_overrides import deciding
from workers.jobs.provenance import surroundings
from workers.jobs.replay_target import kept_job

Makers = Mapping[str, str]
"""What makes an outcome again, by kind of job: the names of functions with the signature of a handler."""

ANSWERS: Makers = {
    "predict_card": "workers.handlers.prediction.predict_card:predict_card",
    "check_health": "workers.handlers.check_health:check_health",
}
_OF_KIND: Mapping[str, Obstacle] = {
    "replay": "itself_a_replay",
    "retrain": "itself_a_replay",
    "train_part": "part_of_another",
    "backtest_part": "part_of_another",
    "shadow_card": "part_of_another",
    "collect_garbage": "changes_things",
    "review_model": "results_decided",
    "compare_models": "results_decided",
}
# Of a health report; the rest is the memory and the threads of the worker that happened to answer.
_CHECKS_OF_THE_MODEL = ("model_loaded", "prediction")


def replay(job: Replay, context: JobContext) -> ReplayReport:
    """Answer for a card or a health check. Raises JobRefused where there is no such job, and what the engine raises."""
    return make_again(job.job_id, context, ANSWERS)


def make_again(job_id: str, context: JobContext, makers: Makers) -> ReplayReport:
    """Make the outcome of a job again with one of `makers`. Raises as `replay` does."""
    kept = kept_job(job_id, context)
    obstacle = obstacle_of(kept)
    if obstacle is not None or kept.origin is None:
        return ReplayReport(
            job_id=job_id, job_kind=kept.kind, verdict="not_replayable", agrees=False, obstacle=obstacle or "no_origin"
        )
    if kept.kind not in makers:
        raise codec.refuse(f"job {job_id} is a {kept.kind}: that is made again by the other kind of replay (--retrain)")
    again = _made(kept, _then(kept, kept.origin, context), makers[kept.kind])
    found = compare(_comparable(kept.kind, kept.report or kept.failure or b""), _comparable(kept.kind, again))
    here = surroundings()
    return ReplayReport(
        job_id=job_id,
        job_kind=kept.kind,
        verdict=found.verdict,
        agrees=found.verdict == "same" or (found.verdict == "close" and here != kept.origin.surroundings),
        first_difference=found.first,
        largest_difference=found.largest if found.first else None,
        models=kept.origin.models,
        made_in=kept.origin.surroundings,
        replayed_in=here,
    )


def obstacle_of(kept: KeptJob) -> Obstacle | None:
    """Return why an outcome cannot be made again, None where it can."""
    if (obstacle := _OF_KIND.get(kept.kind)) is not None:
        return obstacle
    if not kept.state.final:
        return "no_outcome"
    if kept.failure is not None and (code := codec.decode_failure(kept.failure).code.value) in get_args(Obstacle):
        return cast("Obstacle", code)
    return None if kept.origin else "no_origin"


def _then(kept: KeptJob, origin: Origin, context: JobContext) -> JobContext:
    """Return the context of then. What the job tells of its progress is told of the replay."""
    given = {name: value for name, value in context.claim.controls.given.items() if not deciding(name)}
    claim = msgspec.structs.replace(
        context.claim,
        kind=kept.kind,
        payload=kept.payload,
        claimed_at=origin.claimed_at,
        controls=Controls({**given, **origin.controls}),
    )
    return replace(context, claim=claim, models=context.models.as_of(origin.models))


def _made(kept: KeptJob, then: JobContext, maker: str) -> bytes:
    """Return the outcome as it would be written, be it a report or a failure.

    Raises what keeps this replay from making any: a failure where there was a report says nothing about the report.
    """
    try:
        make = cast("Callable[[Any, JobContext], Report]", pkgutil.resolve_name(maker))
        return codec.encode(make(read(then.claim), then))
    except (ClaimLostError, LedgerUnavailable, PermissionDenied):
        raise
    except Exception as error:
        failure = failure_of(error)
        if kept.failure is None or failure.code.value in get_args(Obstacle):
            raise
        return codec.encode(failure)


def _comparable(kind: str, outcome: bytes) -> bytes:
    """Return what of an outcome is to be the same."""
    value: dict[str, Any] = msgspec.json.decode(outcome)
    if kind == "train_ensemble":  # which name a model gets depends on who has it
        value.pop("alias", None)
        return msgspec.json.encode(value)
    if kind != "check_health" or "checks" not in value:
        return outcome
    checks = [check for check in value["checks"] if check["name"] in _CHECKS_OF_THE_MODEL]
    return msgspec.json.encode({"model": value.get("model"), "checks": checks})
