"""A simulated season (`engine.simulation.season`) on the real clock: what a provider would show at any moment of it.

The season's seconds are divided by a speed and counted from a beginning; nothing else is changed. A start is announced
in whole seconds, as providers do, rounded down: a price of the fight under way never comes before the bell.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SPORT = "mma_mixed_martial_arts"
TITLE = "MMA"
FORMAT = "simulated season"

Prices = tuple[int, int]


@dataclass(frozen=True)
class PlayedListing:
    """A bout under one id of the provider. Times are seconds since 1970.

    Attributes
    ----------
    fight_id, fighters
        As the provider names them.
    spans
        Between which moments it is listed, the second excluded.
    starts
        Pairs of a moment and the start that is announced from then on.
    moves
        By bookmaker: moments in order, and the American prices from then on, None if there is none.
    results
        Pairs of a moment and what is reported from then on: `first`, `second`, `draw` or `no_contest`.
    """

    fight_id: str
    fighters: tuple[str, str]
    spans: tuple[tuple[float, float], ...]
    starts: tuple[tuple[float, int], ...]
    moves: Mapping[str, tuple[list[float], list[Prices | None]]]
    results: tuple[tuple[float, str], ...]

    @property
    def bell(self) -> int:
        """The start that was announced last."""
        return self.starts[-1][1]

    def listed_at(self, moment: float) -> bool:
        """Return True if the provider lists the bout at a moment."""
        return any(begin <= moment < end for begin, end in self.spans)

    def start_at(self, moment: float) -> int:
        """Return the start as announced at a moment."""
        return [start for told, start in self.starts if told <= moment or told == self.starts[0][0]][-1]

    def prices_at(self, moment: float) -> dict[str, Prices]:
        """Return the prices of a moment by bookmaker."""
        found = {}
        for bookmaker, (moments, prices) in self.moves.items():
            place = bisect_right(moments, moment)
            quoted = prices[place - 1] if place else None
            if quoted is not None:
                found[bookmaker] = quoted
        return found

    def result_at(self, moment: float) -> str | None:
        """Return the result that is reported at a moment, None before there is one."""
        return next((result for told, result in reversed(self.results) if told <= moment), None)


@dataclass(frozen=True)
class PlayedSeason:
    """A season that begins at a moment and runs `speed` times as fast as it would.

    Attributes
    ----------
    document
        The content of `season.json`.
    begins
        When it begins, in seconds since 1970.
    speed
        Seconds of the season in one second.
    """

    document: Mapping[str, Any]
    begins: float
    speed: float
    listings: tuple[PlayedListing, ...]

    @classmethod
    def from_file(cls, path: Path, begins: float, speed: float) -> PlayedSeason:
        """Read `season.json`. Raises ValueError if the file is not one."""
        try:
            document = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: write it with python -m engine.simulation.season") from error
        return cls.from_document(document, begins, speed)

    @classmethod
    def from_document(cls, document: Any, begins: float, speed: float) -> PlayedSeason:
        """Place a season on the clock. Raises ValueError if the document is not a season."""
        if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != 1:
            raise ValueError(f"this is not a {FORMAT} of version 1: write one with python -m engine.simulation.season")
        if speed <= 0:
            raise ValueError(f"the speed must be above 0, got {speed:g}")

        def real(seconds: float) -> float:
            return begins + seconds / speed

        listings = [
            PlayedListing(
                fight_id=listing["id"],
                fighters=(listing["fighters"][0], listing["fighters"][1]),
                spans=tuple((real(begin), real(end)) for begin, end in listing["listed"]),
                starts=tuple((real(told), int(real(start))) for told, start in listing["starts"]),
                moves=_by_bookmaker([(real(at), name, prices) for at, name, prices in listing["moves"]]),
                results=tuple((real(told), result) for told, result in listing["results"]),
            )
            for bout in document["bouts"]
            for listing in bout["listings"]
        ]
        return cls(document, begins, speed, tuple(listings))

    @property
    def ends(self) -> float:
        """When the season is over, in seconds since 1970."""
        return self.begins + float(self.document["length_seconds"]) / self.speed

    def listed(self, moment: float) -> Iterator[PlayedListing]:
        """Yield what the provider lists at a moment, by start and id."""
        here = [listing for listing in self.listings if listing.listed_at(moment)]
        yield from sorted(here, key=lambda listing: (listing.start_at(moment), listing.fight_id))

    def odds(self, moment: float, *, decimal: bool = False) -> list[dict[str, Any]]:
        """Return the body of `/odds` at a moment."""
        return [
            {**self._event(listing, moment), "bookmakers": _bookmakers(listing, moment, decimal=decimal)}
            for listing in self.listed(moment)
        ]

    def events(self, moment: float) -> list[dict[str, Any]]:
        """Return the body of `/events` at a moment."""
        return [self._event(listing, moment) for listing in self.listed(moment)]

    def scores(self, moment: float, days: int | None) -> list[dict[str, Any]]:
        """Return the body of `/scores` at a moment: what is listed, and what ended in the last `days`, if given."""
        found = []
        for listing in self.listings:
            result = listing.result_at(moment)
            recent = result is not None and days is not None and moment - listing.results[0][0] <= days * 86_400
            if listing.listed_at(moment) or recent:
                told = max((told for told, _ in listing.results if told <= moment), default=None)
                found.append(
                    {
                        **self._event(listing, moment),
                        "completed": result is not None,
                        "scores": None if result is None else _scores(listing, result),
                        "last_update": None if told is None else zulu(told),
                    }
                )
        return sorted(found, key=lambda event: (event["commence_time"], event["id"]))

    def _event(self, listing: PlayedListing, moment: float) -> dict[str, Any]:
        return {
            "id": listing.fight_id,
            "sport_key": SPORT,
            "sport_title": TITLE,
            "commence_time": zulu(listing.start_at(moment)),
            "home_team": listing.fighters[0],
            "away_team": listing.fighters[1],
        }


def zulu(moment: float) -> str:
    """Format a moment as the provider does, in whole seconds, rounded down."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bookmaker_key(name: str) -> str:
    """Return the key of a bookmaker in a feed."""
    return name.lower().replace(" ", "")


def decimal_price(american: int) -> float:
    """Return the decimal price to two digits, as the provider does."""
    return round(1.0 + (american / 100.0 if american > 0 else 100.0 / -american), 2)


def _by_bookmaker(
    moves: list[tuple[float, str, list[int] | None]],
) -> dict[str, tuple[list[float], list[Prices | None]]]:
    found: dict[str, tuple[list[float], list[Prices | None]]] = {}
    for moment, bookmaker, prices in moves:
        moments, quoted = found.setdefault(bookmaker, ([], []))
        moments.append(moment)
        quoted.append(None if prices is None else (prices[0], prices[1]))
    return found


def _bookmakers(listing: PlayedListing, moment: float, *, decimal: bool) -> list[dict[str, Any]]:
    # A provider reads one bookmaker after the other, and dates every price by that, whether it has moved or not.
    read_at = zulu(moment)
    found = []
    for name, prices in sorted(listing.prices_at(moment).items()):
        shown: list[float] = [decimal_price(price) if decimal else price for price in prices]
        outcomes = [{"name": fighter, "price": price} for fighter, price in zip(listing.fighters, shown, strict=True)]
        found.append(
            {
                "key": bookmaker_key(name),
                "title": name,
                "last_update": read_at,
                "markets": [{"key": "h2h", "last_update": read_at, "outcomes": outcomes}],
            }
        )
    return found


def _scores(listing: PlayedListing, result: str) -> list[dict[str, str]] | None:
    """Return the scores of a result; a no contest is completed and has none."""
    points = {"first": ("1", "0"), "second": ("0", "1"), "draw": ("0", "0")}.get(result)
    if points is None:
        return None
    return [{"name": name, "score": score} for name, score in zip(listing.fighters, points, strict=True)]
