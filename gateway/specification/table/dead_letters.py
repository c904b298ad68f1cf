"""Operations of dead letters: list, show, requeue and purge."""

from __future__ import annotations

from gateway.api.dead_letters import LetterSelection
from gateway.security.caller import Role
from gateway.specification.operations import Answer, Operation, object_of, query
from gateway.specification.table.jobs import JOB_ID
from gateway.specification.table.models import LIMIT
from ledger.jobs.dead_letters import DeadLetter, PurgedLetter, RequeuedLetter

TYPES = (DeadLetter, RequeuedLetter, PurgedLetter)
_JOB = {"$ref": "#/components/schemas/Job"}
_SELECTION = {422: "The selection names no jobs, or contradicts itself; nothing was changed."}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/dead-letters",
        name="listDeadLetters",
        tag="operations",
        summary="Return dead letters, newest first.",
        role=Role.READER,
        parameters=(
            query("kind", "Only this kind of job. Repeatable.", type="array", items={"type": "string"}),
            query("died_before", "Only jobs that died before this time.", type="string", format="date-time"),
            query("limit", "How many, newest first.", **LIMIT, default=100),
        ),
        answers={200: Answer(description="The dead letters.", body=object_of(dead=[DeadLetter]))},
        problems={422: "A kind is none, or the time has no time zone."},
    ),
    Operation(
        method="GET",
        path="/v1/dead-letters/{job_id}",
        name="getDeadLetter",
        tag="operations",
        summary="Return a dead letter and its job.",
        role=Role.READER,
        parameters=(JOB_ID,),
        answers={200: Answer(description="The dead letter.", body=object_of(dead=DeadLetter, job=_JOB))},
        problems={404: "No dead letter has this id."},
    ),
    Operation(
        method="POST",
        path="/v1/dead-letters/requeue",
        name="requeueDeadLetters",
        tag="operations",
        summary="Submit dead jobs again, each as a new job.",
        description="A job that is refused, for example because its deadline has passed, does not stop the others.",
        role=Role.OPERATOR,
        body=LetterSelection,
        answers={200: Answer(description="What became of each.", body=object_of(requeued=[RequeuedLetter]))},
        problems=_SELECTION,
    ),
    Operation(
        method="POST",
        path="/v1/dead-letters/purge",
        name="purgeDeadLetters",
        tag="operations",
        summary="Remove dead letters from the list; their outcomes stay readable.",
        role=Role.OPERATOR,
        body=LetterSelection,
        answers={200: Answer(description="Whether each was in the list.", body=object_of(purged=[PurgedLetter]))},
        problems=_SELECTION,
    ),
)
