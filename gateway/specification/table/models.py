"""Operations of models: list, show, history, evaluate, promote, roll back, clear a drift alarm."""

from __future__ import annotations

from typing import Any

from gateway.api.models import ClearAlarmRequest, EvaluationRequest, PromotionRequest, RollbackRequest
from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, object_of, path_parameter, query
from gateway.specification.table.jobs import MADE, TRACE
from ledger.models.drift_alarms import DriftAlarm
from ledger.operations.control_store import ControlChange

TYPES = (ControlChange, DriftAlarm)
NAME = path_parameter("name", "An alias, a digest, or the beginning of a digest.")
ALIAS = path_parameter("alias", "An alias, such as `champion`.")
LIMIT = {"type": "integer", "minimum": 1, "maximum": 1000}
_MODEL: dict[str, Any] = {
    "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "summary": {"type": "object", "description": "What the model was trained on, and how."},
    "aliases": {"type": "array", "items": {"type": "string"}},
}
_MODELS = object_of(models={"type": "array", "items": object_of(**_MODEL)})
_UNKNOWN = {404: "No model has this name."}
_VERIFIED = {
    409: "The alias points to another model than expected.",
    422: "The evidence does not allow it, no worker could load the model, or the body is wrong; `detail` says which.",
}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/models",
        name="listModels",
        tag="models",
        summary="Return the registered models with their summaries and aliases.",
        role=Role.READER,
        answers={200: Answer(description="The models, by digest.", body=_MODELS)},
    ),
    Operation(
        method="GET",
        path="/v1/models/{name}",
        name="getModel",
        tag="models",
        summary="Return a model, and when each alias moved to or from it.",
        role=Role.READER,
        parameters=(NAME,),
        answers={200: Answer(description="The model.", body=object_of(**_MODEL, history=[ControlChange]))},
        problems=_UNKNOWN,
    ),
    Operation(
        method="GET",
        path="/v1/models/{alias}/history",
        name="modelHistory",
        tag="models",
        summary="Return the moves of an alias with their reasons and evidence, newest first.",
        role=Role.READER,
        parameters=(ALIAS, query("limit", "How many, newest first.", **LIMIT, default=50)),
        answers={200: Answer(description="The moves.", body=object_of(history=[ControlChange]))},
        problems={404: "The alias has never pointed to a model."},
    ),
    Operation(
        method="POST",
        path="/v1/models/{alias}/evaluate",
        name="evaluateModel",
        tag="models",
        summary="Submit the comparison of a model with that of an alias: evidence for a promotion.",
        role=Role.OPERATOR,
        parameters=(ALIAS, *TRACE),
        body=EvaluationRequest,
        answers=MADE,
        problems={409: "The alias points to this model already."},
    ),
    Operation(
        method="POST",
        path="/v1/models/{alias}/promote",
        name="promoteModel",
        tag="models",
        summary="Point an alias to a model if its evaluation allows it, after a worker has loaded the model.",
        role=Role.OPERATOR,
        parameters=(ALIAS,),
        body=PromotionRequest,
        answers={200: Answer(description="The alias was moved.", body=object_of(change=ControlChange))},
        problems={**_VERIFIED, 404: "There is no such evaluation.", 410: "The evaluation's retention is over."},
    ),
    Operation(
        method="POST",
        path="/v1/models/{alias}/rollback",
        name="rollBackModel",
        tag="models",
        summary="Point an alias to an earlier model again, after a worker has loaded the model.",
        role=Role.OPERATOR,
        parameters=(ALIAS,),
        body=RollbackRequest,
        answers={200: Answer(description="The alias was moved.", body=object_of(change=ControlChange))},
        problems=_VERIFIED,
    ),
    Operation(
        method="POST",
        path="/v1/models/{name}/clear-alarm",
        name="clearAlarm",
        tag="models",
        summary="Clear the drift alarm of a model: it may bet again, and its tests restart with the next results.",
        role=Role.OPERATOR,
        parameters=(NAME,),
        body=ClearAlarmRequest,
        answers={200: Answer(description="The alarm was cleared.", body=object_of(cleared=DriftAlarm))},
        problems=_UNKNOWN,
    ),
)
