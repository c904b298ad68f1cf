"""Operations of schedules."""

from __future__ import annotations

from gateway.api.schedules import ScheduleChangeRequest, ScheduleRequest
from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, Parameter, object_of, path_parameter, query
from gateway.specification.table.models import LIMIT
from ledger.contracts.schedules import Schedule, ScheduleChange, ScheduleRun, ScheduleStatus

TYPES = (Schedule, ScheduleChange, ScheduleRun, ScheduleStatus)
NAME = path_parameter("name", "Name of the schedule.", maxLength=64)
_LIMIT = query("limit", "How many, newest first.", **LIMIT, default=100)
_UNKNOWN = {404: "There is no schedule of this name."}
_INVALID = {422: "The body is wrong."}
_STATUS = {200: Answer(description="The schedule as it is now.", body=ScheduleStatus)}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/schedules",
        name="listSchedules",
        tag="operations",
        summary="Return all schedules with their next and last run.",
        role=Role.READER,
        answers={200: Answer(description="The schedules.", body=object_of(schedules=[ScheduleStatus]))},
    ),
    Operation(
        method="GET",
        path="/v1/schedules/changes",
        name="listScheduleChanges",
        tag="operations",
        summary="Return who changed what, newest first.",
        role=Role.READER,
        parameters=(_LIMIT, query("name", "Name of a schedule.", type="string")),
        answers={200: Answer(description="The changes.", body=object_of(changes=[ScheduleChange]))},
    ),
    Operation(
        method="GET",
        path="/v1/schedules/{name}",
        name="getSchedule",
        tag="operations",
        summary="Return a schedule with its next and last run.",
        role=Role.READER,
        parameters=(NAME,),
        answers={200: Answer(description="The schedule.", body=ScheduleStatus)},
        problems=_UNKNOWN,
    ),
    Operation(
        method="GET",
        path="/v1/schedules/{name}/runs",
        name="listScheduleRuns",
        tag="operations",
        summary="Return the runs of a schedule and how they ended, newest first.",
        role=Role.READER,
        parameters=(NAME, _LIMIT),
        answers={200: Answer(description="The runs.", body=object_of(runs=[ScheduleRun]))},
        problems=_UNKNOWN,
    ),
    Operation(
        method="PUT",
        path="/v1/schedules/{name}",
        name="putSchedule",
        tag="operations",
        summary="Create a schedule, or replace the one of this name.",
        role=Role.OPERATOR,
        parameters=(NAME,),
        body=ScheduleRequest,
        answers=_STATUS,
        problems={
            409: "The schedule has another revision than expected; nothing was changed.",
            422: "The cron text, the zone, a job or another field is wrong; nothing was changed.",
        },
    ),
    Operation(
        method="DELETE",
        path="/v1/schedules/{name}",
        name="removeSchedule",
        tag="operations",
        summary="Remove a schedule with its history. Jobs that were submitted go on.",
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
            query("expected_revision", "Revision that it must have.", type="integer", minimum=1),
        ),
        answers={204: Answer(description="It is removed.")},
        problems={**_UNKNOWN, 409: "It has another revision than expected; nothing was changed."},
    ),
    Operation(
        method="POST",
        path="/v1/schedules/{name}/pause",
        name="pauseSchedule",
        tag="operations",
        summary="Pause a schedule: slots that pass meanwhile are not submitted later.",
        role=Role.OPERATOR,
        parameters=(NAME,),
        body=ScheduleChangeRequest,
        answers=_STATUS,
        problems={**_UNKNOWN, **_INVALID},
    ),
    Operation(
        method="POST",
        path="/v1/schedules/{name}/resume",
        name="resumeSchedule",
        tag="operations",
        summary="Resume a schedule that is paused, with its next slot.",
        role=Role.OPERATOR,
        parameters=(NAME,),
        body=ScheduleChangeRequest,
        answers=_STATUS,
        problems={**_UNKNOWN, **_INVALID},
    ),
    Operation(
        method="POST",
        path="/v1/schedules/{name}/run",
        name="runSchedule",
        tag="operations",
        summary="Submit the jobs of a schedule now, besides its slots, also if it is paused.",
        role=Role.OPERATOR,
        parameters=(NAME,),
        body=ScheduleChangeRequest,
        answers={202: Answer(description="The run.", body=ScheduleRun)},
        problems={
            **_UNKNOWN,
            422: "The jobs can no longer be submitted, or the body is wrong.",
            503: "A queue or the server is full.",
        },
    ),
)
