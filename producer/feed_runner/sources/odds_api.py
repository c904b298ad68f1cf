"""The Odds API v4 as a source: current prices, events without prices (which cost nothing), and past prices.

References
----------
The Odds API, "V4 documentation" and "API error codes", https://the-odds-api.com/liveapi/guides/v4/.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from producer.feed.parsing import ParseError, parse_datetime
from producer.feed_runner.budget import Usage
from producer.feed_runner.reading import Retrieval
from producer.feed_runner.settings import FeedSettings
from producer.feed_runner.sources.http_client import ProviderClient

HISTORICAL_COST = 10
"""How many times as many credits past prices cost."""
SCORES_DAYS = 3
"""Days back to which the provider has scores."""
SCORES_COST = 2


class Retrieved(NamedTuple):
    """A retrieval and what its response says of the budget."""

    retrieval: Retrieval
    usage: Usage


class OddsApiSource:
    """Requests to The Odds API for one sport.

    Parameters
    ----------
    settings
        Sport, regions, bookmakers and notation.
    client
        The connection.
    clock
        The ledger's clock.
    """

    def __init__(self, settings: FeedSettings, client: ProviderClient, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._sport = f"/v4/sports/{settings.feed_sport}"
        self._past = f"/v4/historical/sports/{settings.feed_sport}"
        self._prices = {"markets": "h2h", "oddsFormat": settings.price_format, "dateFormat": "iso"}
        if settings.feed_bookmakers:
            self._prices["bookmakers"] = settings.feed_bookmakers
        else:
            self._prices["regions"] = settings.feed_regions

    @property
    def unsettled(self) -> int:
        """Attempts of the last request that may have been counted, without a response that says so."""
        return self._client.unsettled

    def prices(self) -> Retrieved:
        """Retrieve the prices of all events that are listed now. Raises RetrievalError."""
        return self._get(f"{self._sport}/odds", self._prices)

    def events(self) -> Retrieved:
        """Retrieve the listed events without prices, which costs nothing. Raises RetrievalError."""
        return self._get(f"{self._sport}/events", {"dateFormat": "iso"})

    def prices_at(self, moment: datetime) -> Retrieved:
        """Retrieve the last snapshot of the prices at or before a moment. Raises RetrievalError."""
        date = moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return self._get(f"{self._past}/odds", {**self._prices, "date": date})

    def scores(self) -> Retrieved:
        """Retrieve the results of the last three days; it costs `SCORES_COST`. Raises RetrievalError."""
        return self._get(f"{self._sport}/scores", {"daysFrom": str(SCORES_DAYS), "dateFormat": "iso"})

    def _get(self, path: str, parameters: dict[str, str]) -> Retrieved:
        answer = self._client.get(path, parameters)
        read_at = datetime.fromtimestamp(self._clock(), UTC)
        stamp = snapshot_moments(answer.content).timestamp
        retrieval = Retrieval.of(
            f"{self._settings.feed_url.rstrip('/')}{path}",
            answer.content,
            read_at=read_at,
            provider_at=stamp or answer.dated,
            cost=answer.usage.last,
        )
        return Retrieved(retrieval, answer.usage)


class SnapshotMoments(NamedTuple):
    """The moments of a snapshot and of its neighbours, None if they are absent or no moments."""

    timestamp: datetime | None
    following: datetime | None


def snapshot_moments(content: bytes) -> SnapshotMoments:
    """Return `timestamp` and `next_timestamp` of a payload."""
    if content[:200].lstrip()[:1] != b"{":
        return SnapshotMoments(None, None)
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return SnapshotMoments(None, None)
    return SnapshotMoments(_moment(document, "timestamp"), _moment(document, "next_timestamp"))


def _moment(document: Any, field: str) -> datetime | None:
    try:
        return parse_datetime(document[field])
    except (ParseError, KeyError, TypeError):
        return None
