"""Routes of models: list, show, history, evaluate, promote, roll back, clear a drift alarm."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import Parameter, RawBody
from litestar.response import Response
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.api.operations import MAX_BODY_BYTES, Limit, Reason, read_body
from gateway.api.responses import TraceParent, TraceState, correlation, created, json_response, trace_headers
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import Digest, MatrixColumns, StateKind
from ledger.ledger import Ledger
from ledger.models.aliases import ANY_DIGEST, MAX_MOVES
from producer.operations.evaluations import stored_evaluation

ModelName = Annotated[
    str, Parameter(min_length=1, max_length=200, description="An alias, a digest, or the beginning of a digest.")
]
AliasName = Annotated[str, Parameter(min_length=1, max_length=200, description="An alias, such as `champion`.")]
JobName = Annotated[str, Meta(min_length=1, max_length=200)]
Expected = str | None | UnsetType


class EvaluationRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model to compare with the model of an alias, and the fights to compare them on.

    `data` is a folder or file that the training pools can read; `data_digest` pins its content (the SHA-256 that
    `cornerman check` prints). The other fields are those of a `judge_models` job.
    """

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    data: Annotated[str, Meta(min_length=1, max_length=4096)]
    data_digest: Digest
    matrix: MatrixColumns | UnsetType = UNSET
    first_day: date | UnsetType = UNSET
    refit_months: Annotated[int, Meta(ge=1, le=600)] | UnsetType = UNSET
    state: StateKind | UnsetType = UNSET
    max_training_time_seconds: Annotated[float, Meta(gt=0, le=86_400)] | UnsetType = UNSET
    max_memory_mb: Annotated[float, Meta(gt=0)] | UnsetType = UNSET


class PromotionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model to which an alias is moved, the evidence for it, and why.

    `judgement` is the id of an evaluation that has ended. `force` moves the alias without one, or against it. With
    `expected` nothing is changed unless the alias points to that model (its digest; null: to none).
    """

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    reason: Reason
    judgement: JobName | None = None
    force: bool = False
    expected: Expected = UNSET


class RollbackRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an alias goes back, and to which of its earlier models; by default the previous one."""

    reason: Reason
    to: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    expected: Expected = UNSET


class ClearAlarmRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a drift alarm is cleared."""

    reason: Reason


@get("/v1/models", opt={"role": Role.READER}, sync_to_thread=True)
def list_models(ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return the registered models with their summaries and aliases."""
    return json_response({"models": ledger.models.all()})


@get("/v1/models/{name:str}", opt={"role": Role.READER}, sync_to_thread=True)
def get_model(ledger: NamedDependency[Ledger], name: ModelName) -> Response[bytes]:
    """Return a model, and when each alias moved to or from it."""
    known = _find(ledger, name)
    changes = [
        change for change in ledger.aliases.all_histories(MAX_MOVES) if known["digest"] in (change.before, change.after)
    ]
    return json_response({**known, "history": changes})


@get("/v1/models/{alias:str}/history", opt={"role": Role.READER}, sync_to_thread=True)
def get_history(ledger: NamedDependency[Ledger], alias: AliasName, limit: Limit = 50) -> Response[bytes]:
    """Return the moves of an alias with their reasons and evidence, newest first."""
    try:
        changes = ledger.aliases.history(alias, limit)
    except JobRefusedError as error:
        raise ProblemError(404, error.failure.message, code=error.failure.code) from None
    if not changes:
        raise ProblemError(404, f"{alias!r} has never pointed to a model")
    return json_response({"history": changes})


@post(
    "/v1/models/{alias:str}/evaluate",
    opt={"role": Role.OPERATOR},
    request_max_body_size=MAX_BODY_BYTES,
    status_code=201,
    sync_to_thread=True,
)
def evaluate_model(
    request: Request[Caller, Any, Any],
    ledger: NamedDependency[Ledger],
    alias: AliasName,
    body: RawBody,
    traceparent: TraceParent = None,
    tracestate: TraceState = None,
) -> Response[bytes]:
    """Submit the comparison of a model with that of an alias: evidence for a promotion.

    201 if the job is new, 200 if the same comparison is known; 409 if the alias points to the model already.
    """
    wish = read_body(request, body, EvaluationRequest)
    challenger = ledger.models.find(wish.model)["digest"]
    plan = {name: value for name, value in msgspec.structs.asdict(wish).items() if value is not UNSET}
    del plan["model"]
    job = ledger.promotions.plan_comparison(alias, challenger, plan)
    trace = trace_headers(traceparent, tracestate)
    return created(ledger.submit(job, correlation_id=correlation(request, None), caller=request.user.name, **trace))


@post(
    "/v1/models/{alias:str}/promote",
    opt={"role": Role.OPERATOR},
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def promote_model(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], alias: AliasName, body: RawBody
) -> Response[bytes]:
    """Point an alias to a model if its evaluation allows it, after a worker has loaded the model.

    422 with the reasons if it does not; 409 if the alias points to another model than expected.
    """
    wish = read_body(request, body, PromotionRequest)
    change = ledger.promotions.promote(
        alias,
        ledger.models.find(wish.model)["digest"],
        None if wish.judgement is None else stored_evaluation(ledger, wish.judgement),
        force=wish.force,
        expected=ledger.aliases.resolve(alias) if wish.expected is UNSET else wish.expected,
        verify=ledger.verification.verify_model,
        user=request.user.name,
        reason=wish.reason,
    )
    return json_response({"change": change})


@post(
    "/v1/models/{alias:str}/rollback",
    opt={"role": Role.OPERATOR},
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def roll_back_model(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], alias: AliasName, body: RawBody
) -> Response[bytes]:
    """Point an alias to an earlier model again, after a worker has loaded the model."""
    wish = read_body(request, body, RollbackRequest)
    change = ledger.aliases.roll_back(
        alias,
        verify=ledger.verification.verify_model,
        to=None if wish.to is None else ledger.models.find(wish.to)["digest"],
        expected=ANY_DIGEST if wish.expected is UNSET else wish.expected,
        user=request.user.name,
        reason=wish.reason,
    )
    return json_response({"change": change})


@post(
    "/v1/models/{name:str}/clear-alarm",
    opt={"role": Role.OPERATOR},
    request_max_body_size=MAX_BODY_BYTES,
    status_code=200,
    sync_to_thread=True,
)
def clear_alarm(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], name: ModelName, body: RawBody
) -> Response[bytes]:
    """Clear the drift alarm of a model: it may bet again, and its tests restart with the next results."""
    wish = read_body(request, body, ClearAlarmRequest)
    digest = ledger.models.origin(_find(ledger, name)["digest"])
    alarm = ledger.drift_alarms.clear(digest, user=request.user.name, reason=wish.reason)
    return json_response({"cleared": alarm})


def _find(ledger: Ledger, name: str) -> dict[str, Any]:
    """Return the model that a path names. Raises ProblemError (404)."""
    try:
        return ledger.models.find(name)
    except JobRefusedError as error:
        raise ProblemError(404, error.failure.message, code=error.failure.code) from None


ROUTES = (list_models, get_model, get_history, evaluate_model, promote_model, roll_back_model, clear_alarm)
