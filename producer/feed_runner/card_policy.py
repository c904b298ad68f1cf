"""When a card gets a new answer: if the market has moved, the answer has become old, or something else decides now.

The last job of each card is stored in the ledger, with its prices; so runners that read one feed, and a runner that is
started again, make one job of a movement. The new job supersedes the earlier ones (`SubmitConditions.supersede`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ledger.contracts import codec
from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.job_state import Durability, JobState, Receipt
from ledger.contracts.jobs import Fight, PredictCard
from ledger.contracts.reports import CardReport
from ledger.jobs.quote_age import QuoteWindow, age_limit, quote_window
from producer.client import Client
from producer.feed_runner.consensus import consensus
from producer.polling import (
    DELETED_STATES,
    VALID_STATES,
    CardSubmission,
    card_name,
    prepare_cards,
    remember_card,
    stored_card,
    unchanged_submission,
)

DEFAULT_STEP = 0.005
"""Twice the standard error of the consensus of a real fight (`python -m benchmarks.queue.card_policy`): a smaller
movement cannot be distinguished from a change of which bookmakers have moved first."""
_MAX_FOLLOWING = 100
_NO_CARDS: Mapping[str, str] = MappingProxyType({})

Reason = Literal["fights", "prices", "age"]
"""Why a card gets a new answer: something that decides besides prices; the consensus; the age of the last answer."""


class CardPolicy(Struct, frozen=True, kw_only=True):
    """When a card gets a new answer.

    Attributes
    ----------
    step
        Movement of a fight's consensus, as a difference of probabilities, from which a new answer is needed.
    max_age_seconds
        Age of the prices of an answer from which a new answer is needed. By default as old as quotes may be: a quarter
        of the time to the event, at least 15 minutes and at most a day (`PredictCard.quote_age_limit_seconds`).
    """

    step: float = DEFAULT_STEP
    max_age_seconds: float | None = None


def submit_moved_cards(
    client: Client,
    cards: Sequence[PredictCard],
    policy: CardPolicy | None = None,
    *,
    replaces: Mapping[str, str] = _NO_CARDS,
    correlation_id: str | None = None,
    durable: Durability = False,
    caller: str | None = None,
) -> list[CardSubmission]:
    """Submit the cards of one reading of a feed that need a new answer; each new job supersedes the earlier ones.

    Parameters
    ----------
    client
        The client to submit with.
    cards
        The cards of one reading, as `read_feed` returns them. A refused card, such as one that has begun, does not
        affect others.
    policy
        When a card gets a new answer.
    replaces
        By card_id the card_id whose answers it supersedes, too: the same event before its start moved.
    correlation_id, durable, caller
        As in `Client.enqueue`.

    Returns
    -------
    list
        One submission for each card, in the same order; `unchanged` if no new answer is needed.

    Raises
    ------
    JobRefusedError
        The server has no memory for new fights.
    LedgerUnavailableError
        The server went away. Submit the same cards again.
    LedgerError
        The server cannot confirm the write that `durable` requires.
    """
    options = {"correlation_id": correlation_id, "durable": durable, "caller": caller}
    return [
        _submit(client, card, policy or CardPolicy(), {**options, "supersedes": replaces.get(card.card_id)})
        for card in prepare_cards(client, cards)
    ]


def new_answer_reason(before: PredictCard, after: PredictCard, policy: CardPolicy) -> Reason | None:
    """Return why a card needs a new answer; None if that to an earlier reading of it is good enough.

    Parameters
    ----------
    before, after
        The card of the last answer, and that of a reading.
    policy
        Step and age.
    """
    age = timedelta(0)
    if before.priced_at is not None and after.priced_at is not None:
        age = after.priced_at - before.priced_at
    if age < timedelta(0):  # an older reading than the one that was answered
        return None
    if _without_prices(before) != _without_prices(after):
        return "fights"
    windows = quote_window(before), quote_window(after)
    fights = {fight.id: fight for fight in before.fights}
    if any(_has_moved(fights[fight.id], fight, windows, policy.step) for fight in after.fights):
        return "prices"
    return "age" if age >= _max_age(before, policy) else None


def _submit(client: Client, card: PredictCard, policy: CardPolicy, options: dict[str, Any]) -> CardSubmission:
    """Submit a card if the last job of it, or one that another runner makes meanwhile, does not answer it."""
    name, durable = card_name(card), options["durable"]
    last = client.ledger.feeds.last_request(name)
    job_id = None if last is None else last[1]
    for _ in range(_MAX_FOLLOWING):
        if job_id is not None and (stored := _answering(client, job_id, card, policy)) is not None:
            if last is None or last[1] != job_id:
                remember_card(client, stored, job_id)
            return unchanged_submission(client, stored, job_id, durable=durable)
        # The same for all runners, so that one movement makes one job, although their readings differ a little.
        following = codec.content_digest(f"{name} {job_id or ''}".encode())
        try:
            receipt = client.enqueue(card, key=following, supersede=True, **options)
        except JobRefusedError as refusal:
            failure = refusal.failure
            if failure.code is FailureCode.SUPERSEDED:
                return _answered_by(card, str(failure.details["superseded_by"]))
            if client.status(following).state is JobState.UNKNOWN:  # it is not refused for its key
                return CardSubmission(card.card_id, refused=failure)
            job_id = following
            continue
        remember_card(client, card, receipt.job_id)
        return CardSubmission(card.card_id, receipt)
    return CardSubmission(
        card.card_id,
        refused=codec.job_refused(
            f"card {card.card_id!r} has more than {_MAX_FOLLOWING} jobs that are not known as its last one: submit it "
            "with Client.enqueue"
        ).failure,
    )


def _answering(client: Client, job_id: str, card: PredictCard, policy: CardPolicy) -> PredictCard | None:
    """Return the card of a job that answers a reading well enough, else None."""
    state = client.status(job_id).state
    stored = None if state in DELETED_STATES else stored_card(client, job_id)
    if stored is None or new_answer_reason(stored, card, policy) is not None:
        return None
    # A job without a report counts for its own reading only; the next reading makes a new job.
    return stored if state in VALID_STATES or stored.priced_at == card.priced_at else None


def _answered_by(card: PredictCard, job_id: str) -> CardSubmission:
    receipt = Receipt[CardReport](job_id=job_id, created=False, durable=False)
    return CardSubmission(card.card_id, receipt, unchanged=True)


def _without_prices(card: PredictCard) -> PredictCard:
    fights = tuple(
        msgspec.structs.replace(fight, quotes=(), invalid_quotes=())
        for fight in sorted(card.fights, key=lambda fight: fight.id)
    )
    return msgspec.structs.replace(card, fights=fights, priced_at=None)


def _has_moved(before: Fight, after: Fight, windows: tuple[QuoteWindow, QuoteWindow], step: float) -> bool:
    one, other = (
        consensus(fight, (quote for quote in fight.quotes if window.contains(quote)))
        for fight, window in zip((before, after), windows, strict=True)
    )
    if one is None or other is None:
        return one is not other
    return abs(one - other) >= step


def _max_age(card: PredictCard, policy: CardPolicy) -> timedelta:
    limits = [age_limit(card, card.priced_at)] if card.priced_at is not None else [timedelta.max]
    if policy.max_age_seconds is not None:
        limits = [timedelta(seconds=policy.max_age_seconds)]
    if card.max_quote_age_seconds is not None:
        limits.append(timedelta(seconds=card.max_quote_age_seconds))
    return min(limits)
