"""Webhooks as values: the definition of a webhook, the events that it receives, and the log of its deliveries.

A webhook posts outcomes to a URL, as https://www.standardwebhooks.com describes. Its events are JSON with a `type`, a
`timestamp` and `data`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.contracts.job_state import Outcome

MAX_URL_CHARACTERS = 2_000
MAX_DESCRIPTION_CHARACTERS = 500
MAX_FILTERS = 100

FinalState = Literal["succeeded", "failed", "expired", "cancelled"]
CardDecision = Literal["bet", "abstain"]
DeliveryResult = Literal["delivered", "retry", "dead", "disabled"]

TargetURL = Annotated[str, Meta(min_length=1, max_length=MAX_URL_CHARACTERS)]
Description = Annotated[str, Meta(max_length=MAX_DESCRIPTION_CHARACTERS)]
Kinds = Annotated[tuple[str, ...], Meta(max_length=MAX_FILTERS)]
CardPatterns = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=MAX_FILTERS)]
States = Annotated[tuple[FinalState, ...], Meta(max_length=4)]


class WebhookDefinition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where outcomes are posted to, and which.

    An outcome must match every filter that is given. `kinds`: kinds of jobs; without it, all except health checks.
    `cards`: ids of cards, in which `*` stands for any characters; other jobs than cards then do not match. `states`:
    how jobs ended. `decision`: `bet` are cards with at least one bet, `abstain` answered cards without any.
    """

    url: TargetURL
    kinds: Kinds = ()
    cards: CardPatterns = ()
    states: States = ()
    decision: CardDecision | None = None
    description: Description = ""


class WebhookChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change of a webhook; what is absent stays as it is. `enabled`: false stops deliveries, true resumes them."""

    url: TargetURL | UnsetType = UNSET
    kinds: Kinds | UnsetType = UNSET
    cards: CardPatterns | UnsetType = UNSET
    states: States | UnsetType = UNSET
    decision: CardDecision | UnsetType | None = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Webhook(WebhookDefinition, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook and how its deliveries go. Times are the server's.

    Attributes
    ----------
    id, created_at, created_by, changed_at, changed_by
        Its id, and who created and last changed it.
    enabled, disabled_reason
        Whether deliveries are made. A response 410 disables a webhook; its undelivered outcomes then wait.
    waiting, oldest_seconds
        Deliveries that wait for an attempt, and how long ago the oldest outcome was settled that is not delivered yet,
        including outcomes that the relay has not read from the stream.
    delivered, failed_attempts, dead_letters, missed
        Numbers of events delivered, of failed attempts, of letters in the dead-letter list, and of outcomes that the
        stream had dropped before the relay read them.
    missed_at
        When outcomes were last found to be missed.
    delivered_at, failing_since, error
        Time of the last delivery; if attempts have failed since then, the time of the first of them and the last error.
    relay
        The relay that delivers, absent if none does.
    """

    id: str
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str
    enabled: bool
    disabled_reason: str | None = None
    waiting: int = 0
    oldest_seconds: float | None = None
    delivered: int = 0
    failed_attempts: int = 0
    dead_letters: int = 0
    missed: int = 0
    missed_at: datetime | None = None
    delivered_at: datetime | None = None
    failing_since: datetime | None = None
    error: str | None = None
    relay: str | None = None


class CreatedWebhook(Struct, frozen=True, kw_only=True):
    """A new webhook, or one whose secret is new. The secret is shown this one time."""

    webhook: Webhook
    secret: str


class OutcomeEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a delivered outcome. `type` is `outcome.` and the state; `timestamp` is when the job was settled.

    `card_id` is the card of a `predict_card` job; the outcomes of one card arrive in the order of their timestamps.
    """

    type: Literal["outcome.succeeded", "outcome.failed", "outcome.expired", "outcome.cancelled"]
    timestamp: datetime
    data: Outcome
    card_id: str | None = None


class MissedOutcomes(Struct, frozen=True, kw_only=True):
    """Outcomes that were dropped before they were delivered.

    `count` is their number, whether or not the webhook's filters match; they came after the place `after` in the stream
    of outcomes, and up to `place`.
    """

    count: int
    after: str
    place: str


class MissedEvent(Struct, frozen=True, kw_only=True):
    """The body that reports a gap: `type` is `outcomes.missed`. Ask for the jobs that are waited for by their ids."""

    type: Literal["outcomes.missed"]
    timestamp: datetime
    data: MissedOutcomes


class TestEvent(Struct, frozen=True, kw_only=True):
    """The body that `cornerman webhooks test` sends: `type` is `webhook.test`, `data` has the id of the webhook."""

    type: Literal["webhook.test"]
    timestamp: datetime
    data: dict[str, Any]


WebhookEvent = OutcomeEvent | MissedEvent | TestEvent
"""Every body that a webhook can receive; `type` says which."""


class DeliveryAttempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt at a delivery, as the log has it.

    Attributes
    ----------
    place, at
        Its place in the log, and the time of its end.
    message_id
        The header `webhook-id`, the same for every attempt at this event.
    type, job_id, card_id
        Type of the event, and the job that it is about.
    attempt
        Number of the attempt, from 1. After a replay it begins with 1 again.
    result
        `delivered`; `retry` (after `retry_in_seconds`); `dead` (it is in the dead-letter list); `disabled` (the
        receiver answered 410).
    status_code, error
        Status of the response, if there was one, and what was wrong.
    duration_seconds
        How long the attempt took.
    """

    place: str
    at: datetime
    message_id: str
    type: str
    attempt: int
    result: DeliveryResult
    job_id: str | None = None
    card_id: str | None = None
    status_code: int | None = None
    error: str | None = None
    duration_seconds: float = 0.0
    retry_in_seconds: float | None = None


class WebhookDeadLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event that was not delivered within the time for retries; `died_at` is the time of the last attempt."""

    id: str
    died_at: datetime
    message_id: str
    type: str
    attempts: int
    error: str
    job_id: str | None = None
    card_id: str | None = None
    status_code: int | None = None
