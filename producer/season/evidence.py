"""What is known at the end of a season: what was played, and everything that the ledger holds of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter

from ledger.contracts.bets import BetEntry
from ledger.contracts.feeds import RetrievalRecord
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import Quote
from ledger.contracts.prices import PriceChange
from ledger.contracts.schedules import MAX_RUNS, Schedule, ScheduleRun
from ledger.ledger import Ledger
from ledger.models.fight_results import FightResult
from producer.feed_runner.listing import MISSING_READINGS
from producer.season.bet_count import bet_decisions, count_bets
from producer.season.calibration import Calibration, calibrate, newest_answers
from producer.season.count import Count
from producer.season.plan import MISSING_SECONDS
from producer.season.quote_count import Reading, count_quotes, readings_of, with_unlisted
from producer.season.result_count import count_results
from producer.season.slot_count import count_slots
from producer.service.played_provider import ODDS_PATH, PlayedRequest
from producer.service.played_season import PlayedListing, PlayedSeason

PAGE = 1_000
LATE_SECONDS = 1.0
"""How much later than the provider has answered a reading may be dated."""


@dataclass(frozen=True)
class KeptSchedule:
    """A schedule, from when to when it was in force, and its runs."""

    schedule: Schedule
    begin: datetime
    end: datetime
    runs: Sequence[ScheduleRun]


@dataclass(frozen=True)
class SeasonEvidence:
    """Evidence about a season: `season` and `requests` of the provider, all else of the ledger.

    Attributes
    ----------
    retrievals
        In the order in which they were made.
    history, closes
        Changes of prices, and closing quotes, by id of the fight.
    results
        Results of the days of the season.
    outcomes, entries
        All outcomes and all entries of the register of bets, in order.
    results_at
        When results were imported for the last time, in seconds since 1970.
    patience_seconds
        How long a decision to bet stands that a follower must have placed.
    """

    season: PlayedSeason
    requests: Sequence[PlayedRequest]
    retrievals: Sequence[RetrievalRecord]
    history: Mapping[str, Sequence[PriceChange]]
    closes: Mapping[str, Sequence[Quote]]
    results: Sequence[FightResult]
    schedules: Sequence[KeptSchedule]
    outcomes: Sequence[Outcome]
    entries: Sequence[BetEntry]
    results_at: float
    patience_seconds: float = 10.0

    @property
    def bells(self) -> dict[str, float]:
        """The start of each fight, by its id, in seconds since 1970."""
        return {listing.fight_id: float(listing.bell) for listing in self.season.listings}

    def counts(self) -> dict[str, Count]:
        """Count quotes, results, slots and bets."""
        readings, unknown = readings_of(self.retrievals, self.requests, ODDS_PATH)
        readings = with_unlisted(self.season, readings, self.requests, ODDS_PATH, self.history)
        quotes = count_quotes(self.season, readings, self.history)
        jobs = Counter(outcome.job_id for outcome in self.outcomes)
        slots = [count_slots(kept.schedule, kept.begin, kept.end, kept.runs, jobs) for kept in self.schedules]
        bouts = self.season.document["bouts"]
        decisions = bet_decisions(self.outcomes, self.bells, self.patience_seconds)
        return {
            "quotes": Count.of(quotes.expected, quotes.lost, quotes.doubled, [*quotes.wrong, *unknown]),
            "results": count_results(self.season.listings, self.results_at, self.results),
            "slots": Count.of(
                sum(count.expected for count in slots),
                *([text for count in slots for text in found(count)] for found in _FOUND),
            ),
            "bets": count_bets(bouts, self.entries, decisions, unnoticed_withdrawals(self.season.listings, readings)),
        }

    def calibration(self) -> Calibration:
        """Return how answers and closes compare with the truth."""
        answers = newest_answers(self.outcomes, self.bells)
        return calibrate(self.season.document["bouts"], answers, self.closes)


def unnoticed_withdrawals(listings: Iterable[PlayedListing], readings: Iterable[Reading]) -> set[str]:
    """Return the fights that were missing from too few readings before their bell to count as withdrawn.

    A reading counts if it is before the bell by both clocks, the provider's and the server's, and newer by the server's
    than those before it.

    Parameters
    ----------
    listings
        What the provider listed.
    readings
        The readings that were made, in order.
    """
    newest, counted = -math.inf, []
    for reading in readings:
        read_at = reading.read_at.timestamp()
        if read_at > newest:
            newest = read_at
            counted.append((reading.moment, read_at))
    found = set()
    for listing in listings:
        end = listing.spans[-1][1]
        missing = [moment for moment, read_at in counted if end <= moment and max(moment, read_at) < listing.bell]
        short = len(missing) < MISSING_READINGS or missing[-1] - missing[0] < MISSING_SECONDS + LATE_SECONDS
        if not listing.results and short:
            found.add(listing.fight_id)
    return found


def gather(
    ledger: Ledger,
    season: PlayedSeason,
    requests: Sequence[PlayedRequest],
    feed: str,
    spans: Mapping[str, tuple[datetime, datetime]],
    results_at: float,
) -> SeasonEvidence:
    """Ask the ledger at the end for everything that it has.

    Parameters
    ----------
    ledger
        The ledger.
    season, requests
        What the provider played, and what it answered.
    feed
        Name of the feed.
    spans
        From when to when each schedule was in force.
    results_at
        When results were imported for the last time, in seconds since 1970.
    """
    bells = {listing.fight_id: listing.bell for listing in season.listings}
    return SeasonEvidence(
        season=season,
        requests=requests,
        retrievals=[each for each in reversed(ledger.feeds.retrievals(feed, len(requests))) if not each.without_prices],
        history={fight_id: ledger.prices.history(fight_id) for fight_id in bells},
        closes={
            fight_id: ledger.prices.close(fight_id, datetime.fromtimestamp(bell, UTC))
            for fight_id, bell in bells.items()
        },
        results=ledger.fight_results.all(since=datetime.fromtimestamp(season.begins, UTC).date()),
        schedules=[
            KeptSchedule(ledger.schedules.get(name).schedule, begin, end, ledger.schedules.history(name, MAX_RUNS))
            for name, (begin, end) in spans.items()
        ],
        outcomes=[outcome for _, outcome in ledger.follow("0", idle_seconds=1.0)],
        entries=list(all_entries(ledger)),
        results_at=results_at,
    )


def cancelled_fights(season: PlayedSeason) -> set[str]:
    """Return the fights of bouts that never took place."""
    bouts = [bout for bout in season.document["bouts"] if bout["ending"] == "cancelled"]
    return {listing["id"] for bout in bouts for listing in bout["listings"]}


def all_entries(ledger: Ledger) -> Iterator[BetEntry]:
    """Yield all entries of the register of bets, oldest first."""
    after = "0"
    while entries := ledger.bets.entries(after, PAGE):
        yield from entries
        after = entries[-1].place


_FOUND = (attrgetter("lost"), attrgetter("doubled"), attrgetter("wrong"))
