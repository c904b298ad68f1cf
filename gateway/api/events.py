"""Routes of outcomes as pages and as event streams, and of the progress of one job."""

from __future__ import annotations

import re
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, Parameter, QueryParameter
from litestar.response import Response
from litestar.response.base import ASGIResponse
from msgspec import Struct

from gateway.api.responses import JobId, json_response
from gateway.events.event_stream import EventStream
from gateway.events.job_progress import SETTLED, job_events
from gateway.events.outcome_feed import EVERYTHING, OutcomeFeed, OutcomeFilter
from gateway.problems import ProblemError
from gateway.security.caller import Role
from ledger.contracts.job_state import JobState, Outcome
from producer.async_client import AsyncClient
from producer.client import existing_status

NOW = "$"
_PLACE = re.compile(r"\$|[0-9]{1,18}(-[0-9]{1,18})?")
LastEventId = Annotated[str | None, HeaderParameter(name="Last-Event-ID", description="The place of the last event.")]
Kind = Annotated[str | None, Parameter(max_length=60, description="Only outcomes of this kind of job.")]
Card = Annotated[str | None, Parameter(max_length=200, description="Only reports of this card.")]
State = Annotated[JobState | None, Parameter(description="Only outcomes of this state.")]


class PlacedOutcome(Struct, frozen=True):
    """An outcome and its place in the stream."""

    place: str
    outcome: Outcome


class OutcomesReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Outcomes in the order of settling. `place` is where the next page begins.

    `missed`: some came after the given place and are no longer stored; `missed_count` is how many, if it is known.
    """

    outcomes: list[PlacedOutcome]
    place: str
    missed: bool = False
    missed_count: int | None = None


@get("/v1/outcomes", opt={"role": Role.READER})
async def list_outcomes(
    client: NamedDependency[AsyncClient],
    after: Annotated[str, Parameter(description="Place after which to begin; 0: the oldest stored outcome.")] = "0",
    limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
) -> Response[bytes]:
    """Return outcomes after a place of the stream."""
    page = await client.ledger.outcomes_page(_checked(after), limit)
    reply = OutcomesReply(
        outcomes=[PlacedOutcome(place, outcome) for place, outcome in page.outcomes],
        place=page.place,
        missed=page.missed is not None,
        missed_count=None if page.missed is None else page.missed.count,
    )
    return json_response(reply)


@get("/v1/outcomes/events", opt={"role": Role.READER})
async def follow_outcomes(
    feed: NamedDependency[OutcomeFeed],
    client: NamedDependency[AsyncClient],
    last_event_id: LastEventId = None,
    after: Annotated[str, Parameter(description="Place after which to begin; $: now, 0: the oldest.")] = "$",
    kind: Kind = None,
    card: Card = None,
    outcome_state: Annotated[JobState | None, QueryParameter(name="state")] = None,
) -> EventStream:
    """Send outcomes as server-sent events; the id of an event is its place in the stream."""
    wanted = OutcomeFilter(kind=kind, card=card, state=outcome_state)
    place = _checked(last_event_id or after)
    if place == NOW:  # read before the response begins: a reader that has its head misses no later outcome
        place = await client.ledger.latest_place()
    return EventStream(feed.follow(place, EVERYTHING if wanted == EVERYTHING else wanted))


@get("/v1/jobs/{job_id:str}/events", opt={"role": Role.READER})
async def follow_job(
    client: NamedDependency[AsyncClient], job_id: JobId, last_event_id: LastEventId = None
) -> ASGIResponse:
    """Send the progress of a job as server-sent events, and at last its outcome."""
    if last_event_id == SETTLED:
        return ASGIResponse(status_code=204)  # by which a browser stops connecting again
    status = existing_status(await client.status(job_id))
    return EventStream(job_events(client, job_id, status.progress))


def _checked(place: str) -> str:
    if not _PLACE.fullmatch(place):
        raise ProblemError(
            422, f"{place[:60]!r} is no place in the stream of outcomes: give 0, $, or one like 1700000-0"
        )
    return place


ROUTES = (list_outcomes, follow_outcomes, follow_job)
