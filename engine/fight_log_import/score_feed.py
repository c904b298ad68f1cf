"""Importer of feeds of scores: results in the shape of The Odds API's `/scores`, and results that have a feed's ids.

A feed has names, the start and a score for each side, and so never adds a fight: it links the feed's ids, under which
prices are kept, to fights of the log, and its results are compared with those of the log. The higher score wins; equal
scores are a draw. Fights that are not completed are left out; those that are, and have no scores, are linked and noted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from engine.data.fighter_names import fighter_name_key
from engine.errors import ValidationError
from engine.fight_log_import.links import NAME_KEY
from engine.fight_log_import.source_rows import ImportFault, Place, fault_at, read_text
from engine.fight_log_import.source_tables import SourceTable, SourceTables

SOURCE = "scores"


@dataclass(frozen=True, slots=True)
class FeedResult:
    """A result under a feed's id; `winner` is None if the feed has none yet."""

    fight_id: str
    day: date
    fighters: tuple[str, str]
    winner: Literal["red", "blue", "draw", "nc"] | None = None


def read_scores(paths: Sequence[Path]) -> SourceTables:
    """Read JSON files of scores, oldest first: of a fight the last entry counts. Raises ValidationError for no list."""
    results: dict[str, FeedResult] = {}
    faults: dict[str, ImportFault] = {}
    for path in paths:
        for number, found in enumerate(parse_scores(read_text(path), path.name), 1):
            if isinstance(found, FeedResult):
                results[found.fight_id] = found
                faults.pop(found.fight_id, None)
            elif found is not None:
                faults[found[0] or f"{path.name} {number}"] = found[1]
    tables = from_feed_results(list(results.values()), list(faults.values()))
    tables.notes += [
        f"{' v '.join(one.fighters)} ({one.fight_id}) is completed and has no scores"
        for one in results.values()
        if one.winner is None
    ]
    return tables


def parse_scores(text: str, file: str) -> Iterator[FeedResult | tuple[str, ImportFault] | None]:
    """Yield each entry of a JSON text: a completed fight, None, or its id with a fault.

    Raises ValidationError for another text.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"{file} is not JSON ({str(error)[:100]}): save the answer of /scores again") from None
    entries = content.get("data") if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise ValidationError(f"{file} is no list of scores: save the answer of /scores again")
    for number, entry in enumerate(entries, 1):
        place = Place(f"{file} entry {number}")
        try:
            yield _result(entry)
        except _FaultyEntryError as fault:
            fight_id = entry.get("id") if isinstance(entry, dict) else None
            named = fight_id if isinstance(fight_id, str) else ""
            yield named, fault_at(place, fault.column, fault.value, fault.remedy)


def from_feed_results(results: Sequence[FeedResult], faults: Sequence[ImportFault] = ()) -> SourceTables:
    """Return results under a feed's ids as a source's tables."""
    names = {"fight_id": "id", "date": "commence_time", "winner": "scores"}
    tables = SourceTables(SOURCE, SourceTable(names), SourceTable(), SourceTable(), [*faults])
    known: set[str] = set()
    for result in results:
        place = Place(f"result {result.fight_id}")
        ids = [NAME_KEY + fighter_name_key(name) for name in result.fighters]
        for fighter_id, name in zip(ids, result.fighters, strict=True):
            if fighter_id not in known:
                known.add(fighter_id)
                tables.fighters.add(place, {"fighter_id": fighter_id, "name": name})
        tables.fights.add(
            place,
            {
                "fight_id": result.fight_id,
                "date": str(result.day),
                "red_id": ids[0],
                "blue_id": ids[1],
                "winner": result.winner or "",
            },
        )
    return tables


class _FaultyEntryError(Exception):
    def __init__(self, column: str, value: Any, remedy: str) -> None:
        self.column, self.value, self.remedy = column, json.dumps(value)[:200], remedy
        super().__init__(remedy)


def _result(entry: Any) -> FeedResult | None:
    """Return the result of an entry; None if the fight is not completed."""
    if not isinstance(entry, dict):
        raise _FaultyEntryError("entry", entry, "is no object: save the answer of /scores again")
    fight_id, started = entry.get("id"), entry.get("commence_time")
    if not isinstance(fight_id, str) or not 0 < len(fight_id) <= 200:
        raise _FaultyEntryError("id", fight_id, "is no id: write the feed's id of the fight")
    fighters = entry.get("home_team"), entry.get("away_team")
    keys = [fighter_name_key(name) if isinstance(name, str) else "" for name in fighters]
    if not all(keys) or keys[0] == keys[1]:
        raise _FaultyEntryError("home_team, away_team", fighters, "are not two names: write both fighters")
    try:
        day = datetime.fromisoformat(started).astimezone(UTC).date()  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise _FaultyEntryError("commence_time", started, "is no time: write it as 2026-11-21T23:00:00Z") from None
    if entry.get("completed") is not True:
        return None
    return FeedResult(fight_id, day, (str(fighters[0]), str(fighters[1])), _winner(entry, keys))


def _winner(entry: dict[str, Any], keys: Sequence[str]) -> Literal["red", "blue", "draw"] | None:
    scores = entry.get("scores")
    if scores is None:
        return None
    try:
        points = {fighter_name_key(score["name"]): float(score["score"]) for score in scores}
        first, second = (points[key] for key in keys)
    except (TypeError, KeyError, ValueError):
        remedy = "is no score of both fighters although the fight is completed: add the result by hand"
        raise _FaultyEntryError("scores", scores, remedy) from None
    return "draw" if first == second else "red" if first > second else "blue"
