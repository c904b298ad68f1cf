"""Polling of feeds: enqueue a feed's cards after each reading, without jobs for unchanged cards.

A card counts as changed if a price, a bookmaker, a fight or an option has changed, or if a quote has become too old. A
newer `last_update` of an unchanged price does not count, unless the card sets `max_quote_age_seconds`. The server
stores the last job of each card, so several pollers of one feed act as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Unpack

import msgspec

from ledger.contracts import codec
from ledger.contracts.failures import Failure, JobArchivedError, JobRefusedError, UnknownJobError
from ledger.contracts.job_state import Durability, JobState, Outcome, Receipt
from ledger.contracts.jobs import Fight, PredictCard
from ledger.contracts.reports import CardReport
from ledger.jobs.conditions import SubmitConditions
from ledger.jobs.job_entries import deadline_of
from ledger.jobs.quote_age import QuoteWindow, quote_window
from producer.client import Client
from producer.feed.bout_matching import listed_fights, match_fights

VALID_STATES = frozenset({JobState.WAITING, JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED})
DELETED_STATES = frozenset({JobState.UNKNOWN, JobState.FORGOTTEN, JobState.ARCHIVED})


@dataclass
class CardSubmission:
    """The submission of one card, its refusal, and later its outcome.

    Attributes
    ----------
    card_id
        Id of the card.
    receipt
        Receipt of the job; None if the card was refused.
    refused
        Reason for a refusal.
    outcome
        Outcome of the job, if the caller has waited for it.
    unchanged
        The card has not changed since the job of the receipt, so no new job was made.
    """

    card_id: str
    receipt: Receipt[CardReport] | None = None
    refused: Failure | None = None
    outcome: Outcome | None = None
    unchanged: bool = False

    @property
    def failure(self) -> Failure | None:
        """The reason why there is no report, if it is known."""
        return self.refused or (self.outcome.failure if self.outcome else None)


def enqueue_feed(
    client: Client,
    cards: Sequence[PredictCard],
    *,
    correlation_id: str | None = None,
    durable: Durability = False,
    caller: str | None = None,
) -> list[CardSubmission]:
    """Enqueue the cards of one reading of a feed, without jobs for unchanged cards.

    A card without `priced_at` was read now, unless it has its own deadline, as replays of old feeds have. Fights that
    were listed under other ids earlier are marked. A refused card, such as one that has begun, does not affect others.

    Parameters
    ----------
    client
        The client to submit with.
    cards
        The cards of one reading, as `read_feed` returns them.
    correlation_id, durable, caller
        As in `Client.enqueue`.

    Returns
    -------
    list
        One submission for each card, in the same order.

    Raises
    ------
    JobRefusedError
        The server has no memory for new fights.
    LedgerUnavailableError
        The server went away. Enqueue the same cards again.
    LedgerError
        The server cannot confirm the write that `durable` requires.
    """
    return [
        enqueue_if_changed(client, card, correlation_id=correlation_id, durable=durable, caller=caller)
        for card in prepare_cards(client, cards)
    ]


def prepare_cards(client: Client, cards: Sequence[PredictCard]) -> list[PredictCard]:
    """Return the cards of one reading as submitted: with the time of the reading and relations between fights."""
    if not cards:
        return []
    now = datetime.fromtimestamp(int(client.ledger.server.time()), UTC)
    read = dated_now(cards, now)
    return match_fights(read, client.ledger.feeds.add_listed_fights(listed_fights(read)))


def dated_now(cards: Sequence[PredictCard], now: datetime) -> list[PredictCard]:
    """Return cards that were read now, with this time as `priced_at`; those of old feeds stay as they are."""
    return [msgspec.structs.replace(card, priced_at=now) if _read_now(card) else card for card in cards]


def submit_card(
    client: Client,
    card: PredictCard,
    *,
    key: str | None = None,
    correlation_id: str | None = None,
    durable: Durability = False,
    caller: str | None = None,
    **conditions: Unpack[SubmitConditions],
) -> CardSubmission:
    """Submit one card; a refusal becomes part of the result. Raises LedgerUnavailableError and LedgerError.

    A key that belongs to the same card, read at another time, is not a conflict.
    """
    try:
        receipt = client.enqueue(
            card, key=key, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
        )
        return CardSubmission(card.card_id, receipt)
    except JobRefusedError as refusal:
        stored = None if key is None else stored_card(client, key)
        if key is not None and stored is not None and _equivalent(stored, card):
            return unchanged_submission(client, stored, key, durable=durable)
        return CardSubmission(card.card_id, refused=refusal.failure)


def _equivalent(one: PredictCard, other: PredictCard) -> bool:
    """Return True if two cards differ in nothing that affects the prediction."""
    return CardDigests.from_card(one).moved == CardDigests.from_card(other).moved


def _read_now(card: PredictCard) -> bool:
    dated = any(quote.as_of is not None for fight in card.fights for quote in fight.quotes)
    return dated and card.priced_at is None and card.deadline is None


def enqueue_if_changed(
    client: Client,
    card: PredictCard,
    *,
    correlation_id: str | None = None,
    durable: Durability = False,
    caller: str | None = None,
    **conditions: Unpack[SubmitConditions],
) -> CardSubmission:
    """Enqueue one card of `prepare_cards` if it has changed. Raises as `enqueue_feed`."""
    digests, name = CardDigests.from_card(card), card_name(card)
    last = client.ledger.feeds.last_request(name)
    if last is not None:
        before, job_id = CardDigests(*last[0].split("-")), last[1]
        state = client.status(job_id).state
        # A job without a report counts for its own reading only; the next reading makes a new job.
        if digests.moved == before.moved and (state in VALID_STATES or digests.read == before.read):
            stored = None if state in DELETED_STATES else stored_card(client, job_id)
            if stored is not None:
                return unchanged_submission(client, stored, job_id, durable=durable)
    entry = submit_card(
        client,
        card,
        key=_key(card, digests, last),
        correlation_id=correlation_id,
        durable=durable,
        caller=caller,
        **conditions,
    )
    if entry.receipt is not None:
        remember_card(client, card, entry.receipt.job_id)
    return entry


def remember_card(client: Client, card: PredictCard, job_id: str) -> None:
    """Store a job as the last one of its card."""
    until = deadline_of(card) or card.event_start
    digests = "-".join(CardDigests.from_card(card))
    client.ledger.feeds.remember_request(card_name(card), digests, job_id, until=until)


def card_name(card: PredictCard) -> str:
    """Return the identity of a card across readings: its event, model and options."""
    return codec.encode(msgspec.structs.replace(card, fights=(), priced_at=None, stake_share=1.0)).decode()


def _key(card: PredictCard, digests: CardDigests, last: tuple[str, str] | None) -> str | None:
    """Return the id of the next job of a card, which is the same for every poller of this reading.

    Therefore a retry after an outage, or another poller at the same time, makes no second job.
    """
    if last is None and card.priced_at is None:
        return None
    following = f"{card_name(card)} {digests.moved} {'' if last is None else last[1]}"
    return codec.content_digest(following.encode())


def stored_card(client: Client, job_id: str) -> PredictCard | None:
    """Return the card of a job; None if it was deleted, or is of another schema version."""
    try:
        stored = client.ledger.job_records.job(job_id)
    except (UnknownJobError, JobArchivedError, JobRefusedError):
        return None
    return stored if isinstance(stored, PredictCard) else None


def unchanged_submission(client: Client, stored: PredictCard, job_id: str, *, durable: Durability) -> CardSubmission:
    """Return the submission of a card that its last job answers."""
    receipt = Receipt[CardReport](job_id=job_id, created=False, durable=False)
    if durable:  # the existing job may not be on disk yet
        receipt = client.enqueue(stored, key=job_id, durable=durable)
    return CardSubmission(stored.card_id, receipt, unchanged=True)


class CardDigests(NamedTuple):
    """Digests of a card: `moved` of the parts that affect the prediction, `read` of all parts."""

    moved: str
    read: str

    @classmethod
    def from_card(cls, card: PredictCard) -> CardDigests:
        """Return the digests of a card."""
        window = quote_window(card)
        undated = card.max_quote_age_seconds is None
        fights = tuple(_deciding(fight, window, undated=undated) for fight in card.fights)
        read = msgspec.structs.replace(card, priced_at=None)
        moved = msgspec.structs.replace(read, fights=fights)
        return cls(*(codec.content_digest(codec.encode(each)) for each in (moved, read)))


def _deciding(fight: Fight, window: QuoteWindow, *, undated: bool) -> Fight:
    """Return the fight with its usable quotes (without dates if `undated`), and the others listed as invalid."""
    usable = [quote for quote in fight.quotes if window.contains(quote)]
    left_out = [quote.bookmaker for quote in fight.quotes if not window.contains(quote)]
    return msgspec.structs.replace(
        fight,
        quotes=tuple(msgspec.structs.replace(quote, as_of=None) if undated else quote for quote in usable),
        invalid_quotes=(*fight.invalid_quotes, *left_out),
    )
