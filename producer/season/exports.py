"""The export of a statistics service that follows a played season: a fight log of its fights, with each new result.

The folder has versions, as `engine.data.fight_log_versions` reads them: `current` is a symbolic link to the newest one,
which is replaced in one step.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.dataset_files import table_file
from producer.service.played_season import PlayedListing, PlayedSeason

CURRENT, VERSIONS = "current", "versions"
KEPT_VERSIONS = 3
FIGHT_COLUMNS = (
    *("fight_id", "date", "event", "weight_class", "women", "title_bout", "scheduled_rounds", "red_id", "blue_id"),
    *("winner", "method", "end_time_seconds", "corner_reliable", "announced_winner"),
)
OVERTURNED = "Overturned"


class SeasonExport:
    """The export of one season.

    Parameters
    ----------
    season
        What is played.
    league
        Folder of the league's fight log, which has the fighters.
    folder
        Where the export is written.
    """

    def __init__(self, season: PlayedSeason, league: Path, folder: Path) -> None:
        self._season = season
        self._folder = folder
        self._written: tuple[str, ...] | None = None
        self._version = 0
        with table_file(league, "fighters").open(encoding="utf-8", newline="") as stream:
            self._people = {row["fighter_id"]: row for row in csv.DictReader(stream)}
        self._listings = {listing.fight_id: listing for listing in season.listings}

    def write(self, moment: float) -> bool:
        """Write what has been reported by a moment; return False if that is written already."""
        reported = [
            (bout["record"], listing, str(listing.result_at(moment)))
            for bout in self._season.document["bouts"]
            if (listing := self._listings[bout["listings"][-1]["id"]]).result_at(moment) is not None
        ]
        state = tuple(f"{listing.fight_id} {result}" for _, listing, result in reported)
        if state == self._written:
            return False
        self._version += 1
        new = self._folder / VERSIONS / f"{self._version:06d}"
        new.mkdir(parents=True)
        people = sorted({fighter for record, _, _ in reported for fighter in record["fighter_ids"]})
        _write(new / "fights.csv", FIGHT_COLUMNS, (_fight_row(*each) for each in reported))
        lines = [line for record, _, _ in reported for line in _stat_lines(record)]
        _write(new / "stat_lines.csv", tuple(lines[0]) if lines else ("fight_id", "fighter_id"), lines)
        _write(new / "fighters.csv", tuple(next(iter(self._people.values()))), (self._people[name] for name in people))
        link = self._folder / f".{CURRENT}"
        link.symlink_to(Path(VERSIONS) / new.name)
        link.replace(self._folder / CURRENT)
        self._written = state
        for old in sorted((self._folder / VERSIONS).iterdir())[:-KEPT_VERSIONS]:
            shutil.rmtree(old)
        return True


def _fight_row(record: Mapping[str, Any], listing: PlayedListing, result: str) -> dict[str, object]:
    red = record["red"]
    sides = {"first": "red" if red == 0 else "blue", "second": "red" if red == 1 else "blue"}
    words = {**sides, "draw": "draw", "no_contest": "nc"}
    announced = words[listing.results[0][1]]
    overturned = words[result] != announced
    return {
        "fight_id": record["fight_id"],
        "date": datetime.fromtimestamp(listing.bell, UTC).date().isoformat(),
        "event": record["event"],
        "weight_class": record["weight_class"],
        "women": int(record["women"]),
        "title_bout": int(record["title_bout"]),
        "scheduled_rounds": record["scheduled_rounds"],
        "red_id": record["fighter_ids"][red],
        "blue_id": record["fighter_ids"][1 - red],
        "winner": words[result],
        "method": OVERTURNED if overturned else record["method"],
        "end_time_seconds": record["end_time_seconds"],
        "corner_reliable": 1,
        "announced_winner": announced if overturned else "",
    }


def _stat_lines(record: Mapping[str, Any]) -> Iterator[dict[str, object]]:
    for fighter_id, counts in zip(record["fighter_ids"], record["stat_lines"], strict=True):
        yield {"fight_id": record["fight_id"], "fighter_id": fighter_id, **counts}


def _write(
    path: Path, columns: Sequence[str], rows: Iterator[Mapping[str, object]] | Sequence[Mapping[str, object]]
) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
