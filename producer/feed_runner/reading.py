"""One retrieval of a feed, and what is read from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Self

from msgspec import Struct

from ledger.contracts.jobs import Fight, PredictCard
from producer.feed.odds_api import FeedError, read_feed
from producer.feed_runner.failures import Reason, RetrievalError


class Retrieval(Struct, frozen=True, kw_only=True):
    """A payload of a feed, with the moments that it belongs to.

    Attributes
    ----------
    source
        Where it comes from, without secrets.
    read_at
        When it had arrived, by the ledger's clock; of a dump, when it was retrieved then.
    provider_at
        The provider's moment: the `timestamp` of the payload, or the date of the response; None if it has neither.
    sha256
        Digest of the content, as hexadecimal digits.
    content
        The payload.
    cost
        Credits that the provider counted for it; None if it does not say.
    """

    source: str
    read_at: datetime
    provider_at: datetime | None
    sha256: str
    content: bytes
    cost: int | None = None

    @classmethod
    def of(
        cls, source: str, content: bytes, *, read_at: datetime, provider_at: datetime | None, cost: int | None = None
    ) -> Self:
        """Return the retrieval of a payload, with its digest."""
        digest = sha256(content).hexdigest()
        return cls(source=source, read_at=read_at, provider_at=provider_at, sha256=digest, content=content, cost=cost)


class Reading(Struct, frozen=True, kw_only=True):
    """What one retrieval contains: its cards, and an error for each event that was refused."""

    retrieval: Retrieval
    cards: tuple[PredictCard, ...]
    refused: tuple[FeedError, ...] = ()

    @property
    def fights(self) -> Sequence[Fight]:
        """The fights of all cards."""
        return [fight for card in self.cards for fight in card.fights]

    @property
    def invalid_quotes(self) -> Sequence[str]:
        """One sentence for each quote that was refused, with its fight."""
        return [f"event {fight.id}: {sentence}" for fight in self.fights for sentence in fight.invalid_quotes]

    @property
    def starts(self) -> Sequence[datetime]:
        """The starts of the cards, earliest first."""
        return sorted({card.event_start for card in self.cards})


def read_retrieval(retrieval: Retrieval, *, price_format: str, model: str) -> Reading:
    """Return what a retrieval contains. Raises RetrievalError if it cannot be read as a whole."""
    try:
        found = read_feed(
            retrieval.content,
            price_format=price_format,
            model=model,
            priced_at=retrieval.read_at,
        )
    except FeedError as error:
        raise RetrievalError(Reason.UNREADABLE, error.failure.message) from error
    return Reading(retrieval=retrieval, cards=found.cards, refused=found.refused)
