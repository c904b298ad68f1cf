"""Operations of outcomes as pages and as event streams, of the events of one job, and their messages."""

from __future__ import annotations

from gateway.api.events import OutcomesReply
from gateway.events.job_progress import SETTLED
from gateway.events.outcome_feed import OutcomesMissed
from gateway.security.caller import Role
from gateway.specification.asyncapi import Channel, Event
from gateway.specification.operations import EVENT_STREAM, Answer, Operation, header, query
from gateway.specification.table.jobs import GONE, JOB_ID
from ledger.contracts.job_state import JobState, Outcome, Progress

PLACE = {"type": "string", "pattern": r"^(\$|[0-9]{1,18}(-[0-9]{1,18})?)$"}
_STREAM = {"type": "string", "description": "Server-sent events: asyncapi.json has the messages."}
_LAST = header("Last-Event-ID", "Place of the last event that was read, which browsers send by themselves.")
_FILTERS = (
    query("kind", "Only outcomes of this kind of job.", type="string", maxLength=60),
    query("card", "Only reports of the card with this id.", type="string", maxLength=200),
    query("state", "Only outcomes of this state.", enum=sorted(JobState)),
)
_NO_PLACE = {422: "The place is none of the stream."}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/outcomes",
        name="listOutcomes",
        tag="events",
        summary="Return outcomes in the order of settling, after a place of the stream.",
        role=Role.READER,
        parameters=(
            query("after", "Place after which to begin; 0 is the oldest stored outcome.", **PLACE, default="0"),
            query("limit", "Outcomes at most.", type="integer", minimum=1, maximum=1000, default=100),
        ),
        answers={200: Answer(description="Outcomes, and the place where the next page begins.", body=OutcomesReply)},
        problems={**_NO_PLACE, 502: "A newer version wrote one of the outcomes."},
    ),
    Operation(
        method="GET",
        path="/v1/outcomes/events",
        name="followOutcomes",
        tag="events",
        summary="Send outcomes as server-sent events as they come.",
        description=(
            "The `id` of an event is its place in the stream, so that a reader that comes again with `Last-Event-ID` "
            "misses nothing. The event `missed` reports outcomes that were dropped before they could be sent. A line "
            "`: heartbeat` comes every 15 seconds. A reader that takes no bytes for "
            "`CORNERMAN_GATEWAY_STALL_SECONDS` is cut off."
        ),
        role=Role.READER,
        parameters=(
            _LAST,
            query("after", "Place after which to begin: $ is now, 0 the oldest.", **PLACE, default="$"),
            *_FILTERS,
        ),
        answers={200: Answer(description="A stream without end.", body=_STREAM, media_type=EVENT_STREAM)},
        problems=_NO_PLACE,
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/events",
        name="followJob",
        tag="events",
        summary="Send the progress of a job as server-sent events, and at last its outcome.",
        role=Role.READER,
        parameters=(JOB_ID, _LAST),
        answers={
            200: Answer(description="A stream that ends with the outcome.", body=_STREAM, media_type=EVENT_STREAM),
            204: Answer(description=f"`Last-Event-ID` is `{SETTLED}`: the reader has the outcome already."),
        },
        problems=GONE,
    ),
)

_ID = {"type": "string", "description": "Place in the stream, for `Last-Event-ID` and `after`."}


def _named(name: str) -> dict[str, str]:
    return {"const": name, "description": f"`{name}`"}


CHANNELS = (
    Channel(
        name="outcomes",
        address="/v1/outcomes/events",
        title="Outcomes",
        description="The outcome of every job as it ends. The query may choose a kind of job, a card or a state.",
        media_type=EVENT_STREAM,
        events=(
            Event(
                name="outcome",
                summary="A job has ended.",
                payload=Outcome,
                headers={"id": _ID, "event": _named("outcome")},
            ),
            Event(
                name="missed",
                summary="Outcomes were dropped before they could be sent: the reader was away for too long.",
                payload=OutcomesMissed,
                headers={"id": _ID, "event": _named("missed")},
            ),
        ),
    ),
    Channel(
        name="job",
        address="/v1/jobs/{job_id}/events",
        title="One job",
        description="The progress of a long job, and at last its outcome, with which the stream ends.",
        media_type=EVENT_STREAM,
        parameters=(JOB_ID,),
        events=(
            Event(
                name="progress",
                summary="The job has got further.",
                payload=Progress,
                headers={"event": _named("progress")},
            ),
            Event(
                name="outcome",
                summary="The job has ended.",
                payload=Outcome,
                headers={"id": {"const": SETTLED, "description": f"`{SETTLED}`"}, "event": _named("outcome")},
            ),
        ),
    ),
)
