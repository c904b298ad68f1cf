"""Handler of `Replay`: recompute an outcome under its original conditions, and compare the two.

The job, the model, the controls, the room for bets and the time of the claim are the original ones; the processor and
the libraries are those of this worker. No cached prediction is used. An outcome that depended on the clock, the machine
or the caller cannot be recomputed, and the report gives the reason.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast, get_args

import msgspec

from ledger.contracts import codec
from ledger.contracts.controls import Controls
from ledger.contracts.failures import LedgerUnavailableError, PermissionDeniedError
from ledger.contracts.jobs import JudgeModels, PredictCard, Replay
from ledger.contracts.provenance import Provenance
from ledger.contracts.replay_report import NotReplayableReason, ReplayReport
from ledger.contracts.reports import Report
from ledger.ledger import JobRecord
from ledger.models.promotions import as_compared
from workers.failures import to_failure
from workers.handlers.replay.outcome_diff import compare_outcomes
from workers.jobs.context import ClaimLostError, JobContext
from workers.jobs.decoding import decode_claim
from workers.jobs.operator_overrides import affects_answers
from workers.jobs.provenance import runtime_environment
from workers.jobs.replay_target import load_job_record

HandlerNames = Mapping[str, str]
"""By kind of job: the name of the function that recomputes an outcome; it has the signature of a handler."""

ANSWER_HANDLERS: HandlerNames = {
    "predict_card": "workers.handlers.prediction.predict_card:predict_card",
    "check_health": "workers.handlers.check_health:check_health",
}
_REASONS_BY_KIND: Mapping[str, NotReplayableReason] = {
    "replay": "itself_a_replay",
    "retrain": "itself_a_replay",
    "train_part": "part_of_another",
    "backtest_part": "part_of_another",
    "shadow_card": "part_of_another",
    "collect_garbage": "changes_things",
    "archive_prices": "changes_things",
    "archive_outcomes": "changes_things",
    "settle_bets": "changes_things",
    "update_fight_log": "changes_things",
    "review_model": "results_decided",
    "compare_models": "results_decided",
    "review_bets": "results_decided",
}
# The checks of a health report that depend on the model; the other checks depend on the worker.
_CHECKS_OF_THE_MODEL = ("model_loaded", "prediction")


def replay(job: Replay, context: JobContext) -> ReplayReport:
    """Replay a card or a health check. Raises JobRefusedError if the job is not stored, and EngineError."""
    return reproduce(job.job_id, context, ANSWER_HANDLERS)


def reproduce(job_id: str, context: JobContext, handlers: HandlerNames) -> ReplayReport:
    """Recompute the outcome of a job with one of the functions in `handlers`. Raises as `replay` does."""
    original = load_job_record(job_id, context)
    reason = not_replayable_reason(original)
    if reason is not None or original.provenance is None:
        return ReplayReport(
            job_id=job_id,
            job_kind=original.kind,
            verdict="not_replayable",
            agrees=False,
            obstacle=reason or "no_origin",
        )
    if original.kind not in handlers:
        raise codec.job_refused(
            f"job {job_id} is a {original.kind}, which only the other kind of replay recomputes (--retrain)"
        )
    recomputed = _recompute(
        original,
        original.provenance,
        _original_context(original, original.provenance, context),
        handlers[original.kind],
    )
    stored = original.report or original.failure or b""
    diff = compare_outcomes(
        _comparable(original.kind, stored), _comparable(original.kind, _as_stored(original.kind, stored, recomputed))
    )
    environment = runtime_environment()
    return ReplayReport(
        job_id=job_id,
        job_kind=original.kind,
        verdict=diff.verdict,
        agrees=diff.verdict == "same" or (diff.verdict == "close" and environment != original.provenance.surroundings),
        first_difference=diff.first_difference,
        largest_difference=diff.largest_difference if diff.first_difference else None,
        models=original.provenance.models,
        made_in=original.provenance.surroundings,
        replayed_in=environment,
    )


def not_replayable_reason(original: JobRecord) -> NotReplayableReason | None:
    """Return the reason why an outcome cannot be recomputed, None if it can."""
    if (reason := _REASONS_BY_KIND.get(original.kind)) is not None:
        return reason
    if not original.state.final:
        return "no_outcome"
    if original.failure is not None and (code := codec.decode_failure(original.failure).code.value) in get_args(
        NotReplayableReason
    ):
        return cast("NotReplayableReason", code)
    return None if original.provenance else "no_origin"


def _original_context(original: JobRecord, provenance: Provenance, context: JobContext) -> JobContext:
    """Return a context with the original conditions; progress is reported as that of the replay."""
    given = {name: value for name, value in context.claim.controls.values.items() if not affects_answers(name)}
    claim = msgspec.structs.replace(
        context.claim,
        kind=original.kind,
        payload=original.payload,
        claimed_at=provenance.claimed_at,
        controls=Controls({**given, **provenance.controls}),
        room=provenance.room,
    )
    return replace(context, claim=claim, models=context.models.with_aliases(provenance.models))


def _recompute(original: JobRecord, provenance: Provenance, original_context: JobContext, handler: str) -> bytes:
    """Return the recomputed outcome as JSON, a report or a failure.

    If the original outcome is a report, an error of this run is raised: it proves nothing about the report.
    """
    try:
        handle = cast("Callable[[Any, JobContext], Report]", pkgutil.resolve_name(handler))
        job = decode_claim(original_context.claim)
        if isinstance(job, PredictCard) and provenance.devig_method is not None:
            job = msgspec.structs.replace(job, devig_method=provenance.devig_method)
        if isinstance(job, JudgeModels) and original.report is not None:
            job = as_compared(job, codec.decode_report(original.report))
        return codec.encode(handle(job, original_context))
    except (ClaimLostError, LedgerUnavailableError, PermissionDeniedError):
        raise
    except Exception as error:
        failure = to_failure(error)
        if original.failure is None or failure.code.value in get_args(NotReplayableReason):
            raise
        return codec.encode(failure)


def _as_stored(kind: str, stored: bytes, recomputed: bytes) -> bytes:
    """Return the recomputed outcome without fields of a report that the version of the stored one did not have."""
    if kind != "predict_card" or "state" in msgspec.json.decode(stored):
        return recomputed
    value: dict[str, Any] = msgspec.json.decode(recomputed)
    value.pop("state", None)
    return msgspec.json.encode(value)


def _comparable(kind: str, outcome: bytes) -> bytes:
    """Return the fields of an outcome that must be equal, as JSON."""
    value: dict[str, Any] = msgspec.json.decode(outcome)
    if kind == "train_ensemble":  # the alias depends on the aliases at that time
        value.pop("alias", None)
        return msgspec.json.encode(value)
    if kind != "check_health" or "checks" not in value:
        return outcome
    checks = [check for check in value["checks"] if check["name"] in _CHECKS_OF_THE_MODEL]
    return msgspec.json.encode({"model": value.get("model"), "checks": checks})
