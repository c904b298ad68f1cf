"""A simulated season: a league's past fights, and upcoming cards with all that happens to them until their results.

Everything is known beforehand and drawn from the truth: when each bout is listed, every move of each bookmaker's prices
(`engine.simulation.price_paths`), results, and the incidents of real life (`Incident`). Times are seconds since the
beginning of the season, so that the same season can be played at any speed and on any day. No fighter
fights twice in it: played within hours, it passes on one date.

    python -m engine.simulation.season --out FOLDER --cards 5 --seed 7

writes what `engine.simulation.league` writes, and `season.json`, which `producer.service.played_provider` plays as The
Odds API v4 would.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from engine.errors import ValidationError
from engine.simulation.bookmakers import BOOKMAKER_OVERROUNDS, draw_market_logit
from engine.simulation.fighters import WEIGHT_CLASSES
from engine.simulation.fights import Matchmaker, SimulatedFights, draw_endings, draw_stat_lines
from engine.simulation.league import League, LeagueConfig, identifier, play_league, write_league
from engine.simulation.price_paths import HOUR_SECONDS, PriceMove, draw_in_play, draw_price_path

DAY_SECONDS = 24 * HOUR_SECONDS
MAX_CARDS = 60
"""Each card is a day after the one before for the matchmaker, who lets fighters rest for 63 days."""
FIGHT_SECONDS = 1_500
"""Time between the results of two fights of one card."""
OVERTURNED_AFTER_DAYS = 2
AFTER_DAYS = 4
"""How long a season goes on after its last card."""

Ending = Literal["won", "draw", "no_contest", "cancelled"]

_FIRST_EVENT = 10_000
_OUTSIDER_RED_SHARE = 0.23
_ENDINGS: dict[str, Ending] = {"cancelled": "cancelled", "draw": "draw", "no_contest": "no_contest"}


class Incident(StrEnum):
    """What can happen to a bout, besides its fight. `START_MOVED` happens to all bouts of a card."""

    START_MOVED = "start_moved"
    FIGHTER_REPLACED = "fighter_replaced"
    CANCELLED = "cancelled"
    NO_CONTEST = "no_contest"
    OVERTURNED = "overturned"
    ID_CHANGED = "id_changed"
    GONE_AND_BACK = "gone_and_back"


@dataclass(frozen=True, slots=True)
class SeasonConfig:
    """Size of a season, and the league whose next cards it has.

    Attributes
    ----------
    league
        The league. Its upcoming cards are not part of the season, which comes after them.
    cards, fights_per_card
        How many cards, and bouts of each.
    days_between_cards
        Days from one card's start to the next one's.
    days_listed
        How many days before its start a card is listed.
    incidents_per_card
        How many incidents each card has. They are dealt from shuffled decks that hold each kind once.
    """

    league: LeagueConfig = field(default_factory=LeagueConfig)
    cards: int = 5
    fights_per_card: int = 12
    days_between_cards: int = 7
    days_listed: int = 12
    incidents_per_card: int = 2

    def __post_init__(self) -> None:
        """Raise ValidationError if a value is out of range."""
        if not 1 <= self.cards <= MAX_CARDS:
            raise ValidationError(f"cards must be in [1, {MAX_CARDS}], got {self.cards}")
        if not 2 <= self.fights_per_card <= 14:
            raise ValidationError(f"fights_per_card must be in [2, 14], got {self.fights_per_card}")
        if not 0 <= self.incidents_per_card <= self.fights_per_card:
            raise ValidationError(f"incidents_per_card must be in [0, fights_per_card], got {self.incidents_per_card}")
        if not (5 <= self.days_between_cards <= 60 and 5 <= self.days_listed <= 60):
            raise ValidationError("days_between_cards and days_listed must be in [5, 60]")


@dataclass(frozen=True, slots=True)
class Listing:
    """A bout under one id of the provider.

    Attributes
    ----------
    fight_id
        The provider's id.
    fighters
        Names in the order of the feed.
    listed
        Spans in which the provider lists it, in seconds of the season, the end excluded.
    starts
        The start that is announced from a moment on, as pairs of moment and start.
    moves
        Price moves in order of time, those after the bell included.
    results
        What is reported from a moment on, as pairs of moment and `first`, `second`, `draw` or `no_contest`.
    """

    fight_id: str
    fighters: tuple[str, str]
    listed: tuple[tuple[int, int], ...]
    starts: tuple[tuple[int, int], ...]
    moves: tuple[PriceMove, ...]
    results: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class FightRecord:
    """What a fight log has of a bout that was fought, but its day and its result.

    Attributes
    ----------
    fight_id, event
        As in the log of the league.
    red
        Index of the fighter in the red corner.
    fighter_ids
        Ids in the order of the bout's fighters.
    women, title_bout, weight_class, scheduled_rounds, method, end_time_seconds
        As in a fight log; the method is that of the first result.
    stat_lines
        Statistics by column of a fight log, in the order of the bout's fighters.
    """

    fight_id: str
    event: str
    red: int
    fighter_ids: tuple[str, str]
    women: bool
    title_bout: bool
    weight_class: str
    scheduled_rounds: int
    method: str
    end_time_seconds: float
    stat_lines: tuple[dict[str, int], dict[str, int]]


@dataclass(frozen=True, slots=True)
class SeasonBout:
    """The truth about a bout that was announced, and what became of it.

    Attributes
    ----------
    card
        Number of its card, from 0.
    fighters
        Names in the order of its listings.
    probability
        True probability that the first wins, given that one of them does.
    market_probability
        The market's at the bell.
    ending, winner
        How it ended in the end, and the winner's index if it was won.
    bell_seconds
        When it began, or would have.
    incidents
        What happened to it.
    listings
        Under which ids it was listed, one after the other.
    record
        What a fight log has of it, None if it was not fought.
    """

    card: int
    fighters: tuple[str, str]
    probability: float
    market_probability: float
    ending: Ending
    winner: int | None
    bell_seconds: int
    incidents: tuple[Incident, ...]
    listings: tuple[Listing, ...]
    record: FightRecord | None


@dataclass(frozen=True, eq=False)
class Season:
    """A season: the league before it, its bouts by card, and how long it takes."""

    config: SeasonConfig
    league: League
    bouts: tuple[SeasonBout, ...]
    length_seconds: int


def simulate_season(config: SeasonConfig) -> Season:
    """Return the season of `config`: the same bits for the same configuration.

    Raises ValidationError if the league has too few fighters for that many cards.
    """
    league, circuit, last_day = play_league(config.league)
    streams = _Streams(*map(np.random.default_rng, np.random.SeedSequence([config.league.seed, 1]).spawn(5)))
    deck = _incidents(streams.dealing)
    bouts: list[SeasonBout] = []
    for number in range(config.cards):
        card = _Card(config, circuit, number, last_day + 1 + number, streams)
        bouts += card.bouts([next(deck) for _ in range(config.incidents_per_card)])
    fought = [name for bout in bouts if bout.ending != "cancelled" for name in bout.fighters]
    if len(set(fought)) < len(fought):
        raise ValidationError("somebody would fight twice: take a larger roster_size, fewer cards or smaller ones")
    length_seconds = max(bout.bell_seconds for bout in bouts) + AFTER_DAYS * DAY_SECONDS
    return Season(config, league, tuple(bouts), length_seconds)


def season_document(season: Season) -> dict[str, Any]:
    """Return a season for `season.json`, in plain lists and objects."""
    return {
        "format": "simulated season",
        "version": 1,
        "seed": season.config.league.seed,
        "cards": season.config.cards,
        "length_seconds": season.length_seconds,
        "bookmakers": list(BOOKMAKER_OVERROUNDS),
        "bouts": [
            {
                "card": bout.card,
                "fighters": list(bout.fighters),
                "probability": bout.probability,
                "market_probability": bout.market_probability,
                "ending": bout.ending,
                "winner": bout.winner,
                "bell_seconds": bout.bell_seconds,
                "incidents": [incident.value for incident in bout.incidents],
                "listings": [
                    {
                        "id": listing.fight_id,
                        "fighters": list(listing.fighters),
                        "listed": listing.listed,
                        "starts": listing.starts,
                        "moves": [[move.at_seconds, move.bookmaker, move.prices] for move in listing.moves],
                        "results": listing.results,
                    }
                    for listing in bout.listings
                ],
                "record": None if bout.record is None else asdict(bout.record),
            }
            for bout in season.bouts
        ],
    }


def write_season(season: Season, folder: Path) -> None:
    """Write the league as `write_league` does, and `season.json`, into `folder`, made if absent."""
    write_league(season.league, folder)
    (folder / "season.json").write_text(json.dumps(season_document(season)) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a season and print what it holds."""
    parser = argparse.ArgumentParser(prog="python -m engine.simulation.season", description="Write a simulated season.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--cards", type=int, default=5, help="cards of the season (default: %(default)s)")
    parser.add_argument("--fights-per-card", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--fights", type=int, default=1500, help="fights in the log (default: %(default)s)")
    parser.add_argument("--roster-size", type=int, default=260, help="fighters under contract (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args(arguments)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    league = LeagueConfig(
        fights=options.fights,
        seed=options.seed,
        start=midnight + timedelta(days=2),
        quoted_at=datetime.now(UTC).replace(microsecond=0),
        roster_size=options.roster_size,
    )
    season = simulate_season(SeasonConfig(league=league, cards=options.cards, fights_per_card=options.fights_per_card))
    write_season(season, options.out)
    moves = sum(len(listing.moves) for bout in season.bouts for listing in bout.listings)
    sys.stdout.write(
        f"{len(season.bouts)} bouts, {moves:,} price moves, {season.length_seconds / DAY_SECONDS:.0f} days\n"
    )
    return 0


def _incidents(rng: np.random.Generator) -> Iterator[Incident]:
    while True:
        for place in rng.permutation(len(Incident)).tolist():
            yield list(Incident)[place]


@dataclass(frozen=True, eq=False)
class _Streams:
    """Random streams of a season, one for each kind of draw."""

    dealing: np.random.Generator
    prices: np.random.Generator
    endings: np.random.Generator
    statistics: np.random.Generator
    moments: np.random.Generator


class _Card:
    """The bouts of one card, main event first."""

    def __init__(self, config: SeasonConfig, circuit: Matchmaker, number: int, day: int, streams: _Streams) -> None:
        self._config, self._circuit, self._number, self._streams = config, circuit, number, streams
        self._announced = circuit.make_card(_FIRST_EVENT + number, day, config.fights_per_card, veterans_only=True)
        self._fought = self._announced
        start = (number + 1) * config.days_between_cards * DAY_SECONDS
        self._opens = max(0, start - config.days_listed * DAY_SECONDS)
        self._starts: tuple[tuple[int, int], ...] = ((0, start),)
        self._bell = start

    def bouts(self, incidents: Sequence[Incident]) -> Iterator[SeasonBout]:
        """Yield the bouts as announced and, after those whose fighter is replaced, as they became."""
        size, dealing = self._config.fights_per_card, self._streams.dealing
        at = dict(zip(dealing.choice(size, size=len(incidents), replace=False).tolist(), incidents, strict=True))
        if Incident.START_MOVED in incidents:
            self._starts += ((self._bell - self._hours(30, 60), self._bell + DAY_SECONDS),)
            self._bell += DAY_SECONDS
        for row, incident in at.items():
            if incident is Incident.FIGHTER_REPLACED:
                self._fought = self._circuit.replace_second(self._fought, row)
        endings = self._endings(at)
        lines = draw_stat_lines(self._fought, self._circuit.fighters, endings, self._streams.statistics)
        for row in range(size):
            incident, announced = at.get(row), self._bell - self._hours(36, 72)
            ending = str(endings["winner"].iat[row])
            if incident is Incident.FIGHTER_REPLACED:
                yield self._bout(row, self._announced, incident, (self._opens, announced), "cancelled", None)
                yield self._bout(
                    row, self._fought, incident, (announced, None), ending, self._record(row, endings, lines)
                )
            elif incident is Incident.CANCELLED:
                yield self._bout(row, self._announced, incident, (self._opens, announced), "cancelled", None)
            else:
                record = self._record(row, endings, lines)
                yield self._bout(row, self._announced, incident, (self._opens, None), ending, record)

    def _endings(self, at: Mapping[int, Incident]) -> pd.DataFrame:
        """Draw how the fights end, as far as no incident says so."""
        endings = draw_endings(self._fought, self._circuit.fighters, self._streams.endings)
        for row, incident in at.items():
            if incident is Incident.NO_CONTEST:
                endings.loc[row, ["winner", "method"]] = ["nc", "Could Not Continue"]
            elif incident is Incident.OVERTURNED and endings["winner"].iat[row] not in ("first", "second"):
                winner = "first" if self._fought.first_won[row] else "second"
                endings.loc[row, ["winner", "method"]] = [winner, "Decision - Split"]
                endings.loc[row, "end_time_seconds"] = 300.0 * self._fought.rounds[row]
        return endings

    def _record(self, row: int, endings: pd.DataFrame, lines: pd.DataFrame) -> FightRecord:
        """Return what a fight log has of a bout; favourites usually have the red corner."""
        card, fighters = self._fought, self._circuit.fighters
        division = WEIGHT_CLASSES[fighters.weight_class[card.first[row]]]
        columns = lines.drop(columns="fighter_id")
        counts = [
            {str(name): int(count) for name, count in columns.iloc[place].items()}
            for place in (row, row + len(card.day))
        ]
        names = (str(fighters.name[card.first[row]]), str(fighters.name[card.second[row]]))
        return FightRecord(
            fight_id=self._id(row, names, 0)[:16],
            event=f"Season Night {self._number + 1}",
            red=int((card.probability[row] < 0.5) ^ (self._streams.endings.random() < _OUTSIDER_RED_SHARE)),
            fighter_ids=(str(fighters.fighter_id[card.first[row]]), str(fighters.fighter_id[card.second[row]])),
            women=division.women,
            title_bout=bool(card.title_bout[row]),
            weight_class=division.name,
            scheduled_rounds=int(card.rounds[row]),
            method=str(endings["method"].iat[row]),
            end_time_seconds=float(endings["end_time_seconds"].to_numpy(np.float64)[row]),
            stat_lines=(counts[0], counts[1]),
        )

    def _bout(
        self,
        row: int,
        card: SimulatedFights,
        incident: Incident | None,
        span: tuple[int, int | None],
        ending: str,
        record: FightRecord | None,
    ) -> SeasonBout:
        """Return one bout, listed from the first moment of the span to the second, or to its end if that is None."""
        rng, fighters = self._streams.prices, self._circuit.fighters
        names = (str(fighters.name[card.first[row]]), str(fighters.name[card.second[row]]))
        view = float(draw_market_logit(card.probability[row : row + 1], card.unseen[row : row + 1], rng)[0])
        opens = span[0] + int(self._streams.moments.integers(0, 12 * HOUR_SECONDS))
        moves = draw_price_path(view, opens, self._bell, rng)
        over = self._bell + FIGHT_SECONDS * (self._config.fights_per_card - row)
        results: tuple[tuple[int, str], ...] = ()
        until = span[1]
        if until is None:
            until = over
            moves += draw_in_play(bool(card.first_won[row]), self._bell, over, rng)
            results = ((over, "no_contest" if ending == "nc" else ending),)
            if incident is Incident.OVERTURNED:
                results += ((over + OVERTURNED_AFTER_DAYS * DAY_SECONDS, "no_contest"),)
        listing = Listing(
            fight_id=self._id(row, names, 0),
            fighters=names,
            listed=((opens, until),),
            starts=self._starts,
            moves=tuple(move for move in moves if move.at_seconds < until),
            results=results,
        )
        last = results[-1][1] if results else "cancelled"
        return SeasonBout(
            card=self._number,
            fighters=names,
            probability=float(card.probability[row]),
            market_probability=float(expit(view)),
            ending=_ENDINGS.get(last, "won"),
            winner={"first": 0, "second": 1}.get(last),
            bell_seconds=self._bell,
            incidents=self._all_incidents(incident),
            listings=self._listings(listing, row, incident),
            record=record,
        )

    def _listings(self, listing: Listing, row: int, incident: Incident | None) -> tuple[Listing, ...]:
        """Return the listings of a bout: several, or with a gap, if its incident says so."""
        (begin, end), gone = listing.listed[0], self._bell - self._hours(36, 72)
        if incident is Incident.GONE_AND_BACK:
            back = gone + self._hours(8, 20)
            return (replace(listing, listed=((begin, gone), (back, end))),)
        if incident is Incident.ID_CHANGED:
            renamed = replace(listing, fight_id=self._id(row, listing.fighters, 1), listed=((gone, end),))
            return replace(listing, listed=((begin, gone),), results=()), renamed
        return (listing,)

    def _all_incidents(self, incident: Incident | None) -> tuple[Incident, ...]:
        moved = (Incident.START_MOVED,) if len(self._starts) > 1 else ()
        return moved if incident in (None, Incident.START_MOVED) else (*moved, incident)

    def _hours(self, least: int, most: int) -> int:
        return int(self._streams.moments.integers(least * HOUR_SECONDS, most * HOUR_SECONDS))

    def _id(self, row: int, names: tuple[str, str], change: int) -> str:
        return identifier("season", self._config.league.seed, self._number, row, *names, change)[:32]


if __name__ == "__main__":
    raise SystemExit(main())
