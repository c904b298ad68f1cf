"""Data for the demo and the preflight: a simulated league, or the held-back last weeks of a real fight log.

Both provide three response bodies as of The Odds API v4: a valid one, one that was cut off in transfer, and one with
an unknown fighter; and the true probabilities or results of the fights.
"""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from ledger.contracts.codec import job_refused
from ledger.dataset_files import table_file
from producer.errors import NotInstalledError
from producer.feed.parsing import PriceFormat
from producer.service.service_process import require_modules

LEAGUE_FIGHTS = 1_500
CARDS = 3
ROSTER, CARDS_OF_THE_ROSTER, ROSTER_PER_CARD = 260, 6, 30
"""Fighters under contract, the cards of a season for which they suffice, and how many more each further card needs."""
# Long enough for three events with closing odds, short enough for the model to be up to date.
HELD_BACK_DAYS = 56
REPLAY_SECONDS = 3_600.0
CORNERS = ("red", "blue")
UNKNOWN_NAME = "Nobody Inparticular"
FIGHT_COLUMNS = ("fight_id", "date", "red_id", "blue_id", "winner", "red_decimal_odds", "blue_decimal_odds")


@dataclass(frozen=True)
class FeedBody:
    """A response body, and the fighters in it who have no earlier fights."""

    content: bytes
    debutants: tuple[str, ...] = ()


@dataclass(frozen=True)
class DemoData:
    """The data of one demo: a fight log, feed bodies, and the truth about their fights.

    `truth` maps event id and fighter's name to the true probability if it is known, otherwise to the result as text.
    """

    log: Path
    bodies: tuple[FeedBody, ...]
    price_format: PriceFormat
    truth: Mapping[str, Mapping[str, float | str]]
    cutoff: date | None = None
    deadline: datetime | None = None


def simulated_data(folder: Path, seed: int, season_cards: int = 0, fights: int = LEAGUE_FIGHTS) -> DemoData:
    """Simulate a league in `folder`, with a season of further cards if asked for.

    Raises NotInstalledError if the simulation fails.
    """
    require_modules("workers", "numpy", "pandas", "engine")
    command = [sys.executable, "-m", "engine.simulation.league"]
    if season_cards:
        roster = ROSTER + ROSTER_PER_CARD * max(0, season_cards - CARDS_OF_THE_ROSTER)
        command = [sys.executable, "-m", "engine.simulation.season"]
        command += ["--cards", str(season_cards), "--roster-size", str(roster)]
    command += ["--out", str(folder), "--fights", str(fights), "--seed", str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise NotInstalledError(f"the simulation failed; is cornerman[workers] installed whole?\n{run.stderr.strip()}")
    events = json.loads((folder / "feed.json").read_bytes())
    truth = json.loads((folder / "truth.json").read_bytes())
    return DemoData(log=folder, bodies=_bodies(events, frozenset()), price_format=PriceFormat.AMERICAN, truth=truth)


def held_back_data(folder: Path, now: datetime) -> DemoData:
    """Hold back the last weeks of a fight log and return them as upcoming fights.

    Raises JobRefusedError if a table is missing, not CSV, lacks a column, or has too few priced fights in its last
    weeks.
    """
    fights = list(_rows(folder, "fights", FIGHT_COLUMNS))
    names = {row["fighter_id"]: row["name"] for row in _rows(folder, "fighters", ("fighter_id", "name"))}
    last = max((row["date"] for row in fights), default="")
    try:
        since = (date.fromisoformat(last) - timedelta(days=HELD_BACK_DAYS)).isoformat()
    except ValueError as error:
        raise job_refused(f"{folder}: the fights table holds no fights with dates like 2024-12-14") from error
    days: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in fights:
        if row["date"] >= since and row["red_decimal_odds"] and row["blue_decimal_odds"]:
            days[row["date"]].append(row)
    chosen = sorted(days)[:CARDS]
    if len(chosen) < CARDS:
        raise job_refused(f"{folder}: fewer than {CARDS} days with closing odds in the last {HELD_BACK_DAYS} days")
    known = {row[corner] for row in fights if row["date"] < chosen[0] for corner in ("red_id", "blue_id")}
    held_back = [row for day in chosen for row in days[day]]
    people = {row[corner] for row in held_back for corner in ("red_id", "blue_id")}
    debutants = frozenset(names.get(fighter, fighter) for fighter in people - known)
    return DemoData(
        log=folder,
        bodies=_bodies([_event(row, names) for row in held_back], debutants),
        price_format=PriceFormat.DECIMAL,
        truth={row["fight_id"]: _result(row, names) for row in held_back},
        cutoff=date.fromisoformat(chosen[0]),
        deadline=now + timedelta(seconds=REPLAY_SECONDS),
    )


def _bodies(events: list[dict[str, Any]], debutants: frozenset[str]) -> tuple[FeedBody, ...]:
    cards: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        cards[event["commence_time"]].append(event)
    good, cut, unknown = (cards[start] for start in sorted(cards)[:CARDS])
    whole = json.dumps(cut).encode()
    unknown = json.loads(json.dumps(unknown).replace(json.dumps(unknown[0]["home_team"]), json.dumps(UNKNOWN_NAME)))
    return _body(good, debutants), FeedBody(whole[: len(whole) // 2]), _body(unknown, debutants)


def _body(events: list[dict[str, Any]], debutants: frozenset[str]) -> FeedBody:
    present = {event[side] for event in events for side in ("home_team", "away_team")}
    return FeedBody(json.dumps(events).encode(), tuple(sorted(present & debutants)))


def _rows(folder: Path, table: str, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        path = table_file(folder, table)
    except FileNotFoundError as error:
        raise job_refused(str(error)) from error
    if path.suffix == ".parquet":
        raise job_refused(
            f"{path}: the demo reads CSV only; a training job reads Parquet too: cornerman train {folder}"
        )
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, restval="")
            if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
                raise job_refused(f"{path} lacks {', '.join(missing)}")
            yield from reader
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise job_refused(f"{path} cannot be read as CSV in UTF-8: {error}") from error


def _event(row: Mapping[str, str], names: Mapping[str, str]) -> dict[str, Any]:
    sides = [(names.get(row[f"{corner}_id"], row[f"{corner}_id"]), row[f"{corner}_decimal_odds"]) for corner in CORNERS]
    # Sorted by name, because feeds do not contain the corners, and the red corner would reveal the favourite.
    outcomes = [{"name": name, "price": _number(price)} for name, price in sorted(sides)]
    return {
        "id": row["fight_id"],
        "sport_key": "mma_mixed_martial_arts",
        "commence_time": f"{row['date']}T22:00:00Z",
        "home_team": outcomes[0]["name"],
        "away_team": outcomes[1]["name"],
        "bookmakers": [{"key": "closing", "markets": [{"key": "h2h", "outcomes": outcomes}]}],
    }


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise job_refused(f"the fights table has the closing price {text[:40]!r}, which is not a number") from error


def _result(row: Mapping[str, str], names: Mapping[str, str]) -> dict[str, float | str]:
    words = {corner: "won" if row["winner"] == corner else "lost" for corner in CORNERS}
    if row["winner"] not in CORNERS:
        words = dict.fromkeys(CORNERS, row["winner"])
    return {names.get(row[f"{corner}_id"], row[f"{corner}_id"]): words[corner] for corner in CORNERS}
