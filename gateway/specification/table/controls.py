"""Operations of the live controls: list, history, set, and back to the default."""

from __future__ import annotations

from gateway.api.controls import ControlRequest
from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, Parameter, object_of, path_parameter, query
from gateway.specification.table.models import LIMIT
from ledger.operations.control_store import ControlChange
from producer.operations.controls import ListedControl

TYPES = (ListedControl,)
NAME = path_parameter("name", "Full name, such as `pause.predict`.", maxLength=300)
_CHANGED = {200: Answer(description="What was changed.", body=object_of(changes=[ControlChange]))}
_PROBLEMS = {
    404: "No control has this name.",
    409: "The control has another value than expected; nothing was changed.",
    422: "The control cannot have this value, or the body is wrong; nothing was changed.",
}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/controls",
        name="listControls",
        tag="operations",
        summary="Return every control with its value, default, unit and meaning, and who has set it and why.",
        role=Role.READER,
        answers={200: Answer(description="The controls.", body=object_of(controls=[ListedControl]))},
    ),
    Operation(
        method="GET",
        path="/v1/controls/changes",
        name="listControlChanges",
        tag="operations",
        summary="Return the last changes, of all controls or of one, newest first.",
        role=Role.READER,
        parameters=(
            query("limit", "How many, newest first.", **LIMIT, default=100),
            query("name", "Full name of a control.", type="string"),
        ),
        answers={200: Answer(description="The changes.", body=object_of(changes=[ControlChange]))},
        problems={404: "No control has this name."},
    ),
    Operation(
        method="PUT",
        path="/v1/controls/{name}",
        name="setControl",
        tag="operations",
        summary="Set a control, with a reason.",
        role=Role.OPERATOR,
        parameters=(NAME,),
        body=ControlRequest,
        answers=_CHANGED,
        problems=_PROBLEMS,
    ),
    Operation(
        method="DELETE",
        path="/v1/controls/{name}",
        name="unsetControl",
        tag="operations",
        summary="Reset a control to its default, with a reason.",
        role=Role.OPERATOR,
        parameters=(
            NAME,
            Parameter(
                name="reason",
                place="query",
                schema={"type": "string", "minLength": 1, "maxLength": 1000},
                description="Why, for the history.",
                required=True,
            ),
            query("expected", "Nothing is changed unless the control has this value.", type="string"),
        ),
        answers=_CHANGED,
        problems=_PROBLEMS,
    ),
)
