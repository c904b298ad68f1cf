"""Importer of exports in the layout of the UFC Stats scrapers: six CSV files, of which each is known by its columns.

Fights and fighters have the ids at the ends of their links. Fights, however, name their fighters, so a name is looked
up in the list of fighters; age and weight decide between two of one name, or the fight is a fault. A
fighter without a row there gets the id `name/KEY`, and is noted.

The official corners are known since 2010-03-21: before, the source lists the winner first. The export repeats a fight
when its event was renamed; the row whose event is still in the list of events counts. Statistics of the rounds are
added up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from engine.data.fight_log_tables import WEIGHT_LIMITS_LBS
from engine.data.fighter_names import fighter_name_key
from engine.fight_log_import import cells
from engine.fight_log_import.links import NAME_KEY
from engine.fight_log_import.source_rows import ImportFault, SourceRow, fault_at, read_rows
from engine.fight_log_import.source_tables import SourceTable, SourceTables

SOURCE = "ufcstats"
CORNERS_SINCE = date(2010, 3, 21)
FILES: dict[str, tuple[str, ...]] = {
    "events": ("EVENT", "URL", "DATE", "LOCATION"),
    "fight_links": ("EVENT", "BOUT", "URL"),
    "results": (
        *("EVENT", "BOUT", "OUTCOME", "WEIGHTCLASS", "METHOD", "ROUND", "TIME", "TIME FORMAT", "REFEREE", "DETAILS"),
        "URL",
    ),
    "statistics": (
        *("EVENT", "BOUT", "ROUND", "FIGHTER", "KD", "SIG.STR.", "SIG.STR. %", "TOTAL STR.", "TD", "TD %", "SUB.ATT"),
        *("REV.", "CTRL", "HEAD", "BODY", "LEG", "DISTANCE", "CLINCH", "GROUND"),
    ),
    "fighter_names": ("FIRST", "LAST", "NICKNAME", "URL"),
    "fighters": ("FIGHTER", "HEIGHT", "WEIGHT", "REACH", "STANCE", "DOB", "URL"),
}
"""Columns of each file."""
NEEDED = ("events", "results", "fighters")
OUTCOMES = {"W/L": "red", "L/W": "blue", "D/D": "draw", "NC/NC": "nc"}
MIN_AGE_YEARS, MAX_AGE_YEARS = 18.0, 45.0  # only to choose between two fighters of one name

_CLASSES = sorted((name for name in WEIGHT_LIMITS_LBS if name != "Other"), key=len, reverse=True)
_FIGHT_NAMES = {
    "fight_id": "URL",
    "event": "EVENT",
    "weight_class": "WEIGHTCLASS",
    "winner": "OUTCOME",
    "method": "METHOD",
    "end_time_seconds": "TIME",
    "scheduled_rounds": "TIME FORMAT",
    "red_id": "BOUT",
    "blue_id": "BOUT",
}
_LINE_NAMES = {"fight_id": "BOUT", "fighter_id": "FIGHTER", "control_seconds": "CTRL", "knockdowns": "KD"}
_FIGHTER_NAMES = {
    "fighter_id": "URL",
    "name": "FIGHTER",
    "date_of_birth": "DOB",
    "height_cm": "HEIGHT",
    "reach_cm": "REACH",
    "stance": "STANCE",
}


class _Known(NamedTuple):
    """A fighter of the list: id, name, day of birth and weight, as far as the export has them."""

    id: str
    name: str
    born: date | None
    pounds: float | None


def role_of(columns: Sequence[str]) -> str | None:
    """Return which of `FILES` a file is, by its columns; None if it is none of them."""
    have = set(columns)
    if "METHOD" in have and {"BOUT", "OUTCOME"} <= have:
        return "results"
    if {"BOUT", "FIGHTER", "ROUND"} <= have:
        return "statistics"
    if {"FIGHTER", "DOB"} <= have:
        return "fighters"
    exact = (role for role in ("events", "fight_links", "fighter_names") if set(FILES[role]) <= have)
    return next(exact, None)


def read_ufcstats(files: Mapping[str, Path]) -> SourceTables:
    """Read an export; `files` are its files by their role. Raises ValidationError for a file that is no text."""
    tables = SourceTables(
        SOURCE, SourceTable(_FIGHT_NAMES), SourceTable(_LINE_NAMES), SourceTable(_FIGHTER_NAMES), [], []
    )
    rows = {
        role: read_rows(path, set(FILES[role]) - {"REFEREE", "DETAILS", "LOCATION"}, FILES[role], tables.faults)
        for role, path in files.items()
        if role != "fight_links"  # the results have the same links
    }
    fighters = _Fighters(rows["fighters"], rows.get("fighter_names", []), tables)
    fights = _read_fights(rows["results"], _read_days(rows["events"], tables.faults), fighters, tables)
    if "statistics" in rows:
        _read_statistics(rows["statistics"], fights, tables)
    return tables


def weight_class_of(text: str) -> str:
    """Return the weight class that a bout's title names; Other for none."""
    return next((name for name in _CLASSES if f" {name.casefold()} " in f" {text.casefold()} "), "Other")


def is_of_women(title: str) -> bool:
    """Return True if a bout's title is one of women."""
    return "women's" in title.casefold()


def is_title_bout(title: str) -> bool:
    """Return True for a title, also of a tournament."""
    return "title" in title.casefold() or "championship" in title.casefold()


class _Fighters:
    """The export's fighters by name, who are added to the tables when a fight names them."""

    def __init__(self, rows: Sequence[SourceRow], names: Sequence[SourceRow], tables: SourceTables) -> None:
        self._tables = tables
        self._by_name: dict[str, dict[str, _Known]] = defaultdict(dict)
        self._by_key: dict[str, dict[str, _Known]] = defaultdict(dict)
        self._added: set[str] = set()
        seen: set[str] = set()
        for row in rows:
            known = self._read(row)
            if known is not None and known.id not in seen:
                seen.add(known.id)
                self._index(known)
        for row in names:
            fighter_id = _value(row, "URL", cells.parse_link, tables.faults)
            name = _spaced(f"{row['FIRST']} {row['LAST']}")
            if fighter_id and name and fighter_id not in seen:
                self._add_row(row, {"fighter_id": fighter_id, "name": name})
                self._index(_Known(fighter_id, name, None, None))

    def find(self, name: str, day: date, weight_class: str, row: SourceRow) -> str | None:
        """Return the id of the fighter of a fight; None, with a fault, if two may be meant."""
        found = self._by_name.get(name) or self._by_key.get(fighter_name_key(name)) or {}
        candidates = list(found.values())
        if not candidates:
            return self._add_unlisted(name, row)
        if len(candidates) == 1:
            return candidates[0].id
        chosen = _choose(candidates, day, WEIGHT_LIMITS_LBS[weight_class])
        links = ", ".join(sorted(known.id for known in candidates))
        if chosen is None:
            remedy = f"{name!r} may be any of the fighters {links}: import this fight from tables, with their ids"
            self._tables.faults.append(fault_at(row.place, "BOUT", row["BOUT"], remedy))
            return None
        self._tables.notes.append(
            f"{row.place.file} line {row.place.line}: {name!r} is taken for {chosen.id}, by age and weight, of {links}"
        )
        return chosen.id

    def _read(self, row: SourceRow) -> _Known | None:
        faults = self._tables.faults
        fighter_id = _value(row, "URL", cells.parse_link, faults)
        if fighter_id is None:
            return None
        name = _spaced(row["FIGHTER"])
        if not name:
            faults.append(fault_at(row.place, "FIGHTER", "", "is blank: write the fighter's name"))
            return None
        born = None if cells.is_blank(row["DOB"]) else _value(row, "DOB", cells.parse_day, faults)
        height = _value(row, "HEIGHT", cells.parse_height, faults)
        reach = _value(row, "REACH", cells.parse_inches, faults)
        weight = row["WEIGHT"].removesuffix(".").removesuffix("lbs").strip()
        cells_of_row = {
            "fighter_id": fighter_id,
            "name": name,
            "date_of_birth": "" if born is None else str(born),
            "height_cm": "" if height is None else f"{height:g}",
            "reach_cm": "" if reach is None else f"{reach:g}",
            "stance": "" if cells.is_blank(row["STANCE"]) else row["STANCE"],
        }
        self._add_row(row, cells_of_row)
        return _Known(fighter_id, name, born, float(weight) if weight.isdecimal() else None)

    def _index(self, known: _Known) -> None:
        self._by_name[known.name][known.id] = known
        self._by_key[fighter_name_key(known.name)][known.id] = known

    def _add_row(self, row: SourceRow, cells_of_row: dict[str, str]) -> None:
        if cells_of_row["fighter_id"] not in self._added:
            self._added.add(cells_of_row["fighter_id"])
            self._tables.fighters.add(row.place, cells_of_row)

    def _add_unlisted(self, name: str, row: SourceRow) -> str:
        fighter_id = f"{NAME_KEY}{fighter_name_key(name)}"
        if fighter_id not in self._added:
            self._tables.notes.append(
                f"{row.place.file} line {row.place.line}: {name!r} is not in the list of fighters, and is {fighter_id}"
            )
        self._add_row(row, {"fighter_id": fighter_id, "name": name})
        return fighter_id


def _choose(candidates: Sequence[_Known], day: date, limit: float) -> _Known | None:
    """Return the only one who can have fought on that day in that class; None if two can."""
    of_age = [
        known
        for known in candidates
        if known.born is None or MIN_AGE_YEARS <= (day - known.born).days / 365.25 <= MAX_AGE_YEARS
    ]
    if len(of_age) == 1:
        return of_age[0]
    of_weight = [known for known in of_age if known.pounds == limit]
    return of_weight[0] if len(of_weight) == 1 else None


def _read_days(rows: Sequence[SourceRow], faults: list[ImportFault]) -> dict[str, date | None]:
    """Return the day of each event by name; None if it is faulty."""
    days: dict[str, date | None] = {}
    for row in rows:
        name = _spaced(row["EVENT"])
        day = _value(row, "DATE", cells.parse_day, faults)
        if name in days and days[name] != day:
            faults.append(fault_at(row.place, "EVENT", name, "is the name of two events on different days: rename one"))
            day = None
        days[name] = day
    return days


def _read_fights(
    rows: Sequence[SourceRow], days: Mapping[str, date | None], fighters: _Fighters, tables: SourceTables
) -> dict[tuple[str, str], list[tuple[str, dict[str, str]]]]:
    """Add the fights; return the ids of each event's bout, with the ids of its fighters by name."""
    by_id: dict[str, list[SourceRow]] = defaultdict(list)
    for row in rows:
        fight_id = _value(row, "URL", cells.parse_link, tables.faults)
        if fight_id is not None:
            by_id[fight_id].append(row)
    fights: dict[tuple[str, str], list[tuple[str, dict[str, str]]]] = defaultdict(list)
    for fight_id, repeated in by_id.items():
        chosen = _choose_row(fight_id, repeated, days, tables)
        named = None if chosen is None else _read_fight(fight_id, chosen, days, fighters, tables)
        if chosen is not None and named is not None:
            fights[_spaced(chosen["EVENT"]), _spaced(chosen["BOUT"])].append((fight_id, named))
    return fights


def _choose_row(
    fight_id: str, rows: Sequence[SourceRow], days: Mapping[str, date | None], tables: SourceTables
) -> SourceRow | None:
    if len(rows) == 1:
        return rows[0]
    listed = [row for row in rows if _spaced(row["EVENT"]) in days] or list(rows)
    contents = {tuple((name, _spaced(text)) for name, text in row.cells.items()) for row in listed}
    if len(contents) > 1:
        remedy = f"is the id of line {listed[0].place.line} too, with other values: leave one of the lines"
        tables.faults.append(fault_at(listed[-1].place, "URL", fight_id, remedy))
        return None
    tables.notes.append(
        f"{listed[0].place.file}: fight {fight_id} is there {len(rows)} times; that of event "
        f"{_spaced(listed[0]['EVENT'])!r} counts"
    )
    return listed[0]


def _read_fight(
    fight_id: str, row: SourceRow, days: Mapping[str, date | None], fighters: _Fighters, tables: SourceTables
) -> dict[str, str] | None:
    faults = tables.faults
    before = len(faults)
    event = _spaced(row["EVENT"])
    if event not in days:
        faults.append(fault_at(row.place, "EVENT", event, "is not in the list of events: add it there with its day"))
    day = days.get(event)
    sides = [_spaced(side) for side in f" {row['BOUT']} ".split(" vs. ")]
    if len(sides) != 2 or not all(sides):
        faults.append(fault_at(row.place, "BOUT", row["BOUT"], "does not name two fighters: write A vs. B"))
    outcome = OUTCOMES.get(row["OUTCOME"].replace(" ", "").upper())
    if outcome is None:
        faults.append(fault_at(row.place, "OUTCOME", row["OUTCOME"], f"is no outcome: write one of {list(OUTCOMES)}"))
    timed = None
    try:
        timed = cells.fought_seconds(_spaced(row["TIME FORMAT"]), row["ROUND"], row["TIME"])
    except ValueError as error:
        shown = f"{row['TIME FORMAT']}, {row['ROUND']}, {row['TIME']}"
        faults.append(fault_at(row.place, "TIME FORMAT, ROUND, TIME", shown, str(error)))
    if len(faults) > before or day is None or timed is None or outcome is None:
        return None
    title = _spaced(row["WEIGHTCLASS"].replace("TitleBout", "Title Bout"))
    weight_class = weight_class_of(title)
    ids = [fighters.find(side, day, weight_class, row) for side in sides]
    if ids[0] is None or ids[1] is None:
        return None
    tables.fights.add(
        row.place,
        {
            "fight_id": fight_id,
            "date": str(day),
            "event": event,
            "weight_class": weight_class,
            "women": "1" if is_of_women(title) else "0",
            "title_bout": "1" if is_title_bout(title) else "0",
            "scheduled_rounds": "" if timed[0] is None else str(timed[0]),
            "red_id": ids[0],
            "blue_id": ids[1],
            "winner": outcome,
            "method": _spaced(row["METHOD"]),
            "end_time_seconds": str(timed[1]),
            "corner_reliable": "1" if day >= CORNERS_SINCE else "0",
        },
    )
    return {sides[0]: ids[0], sides[1]: ids[1]}


_COUNTS = {"KD": "knockdowns", "SUB.ATT": "submission_attempts"}
_PAIRS = {"TD": "takedowns", "SIG.STR.": "significant_strikes"}


def _read_statistics(
    rows: Sequence[SourceRow],
    fights: Mapping[tuple[str, str], Sequence[tuple[str, dict[str, str]]]],
    tables: SourceTables,
) -> None:
    """Add up the rounds of each fighter; a fight with a faulty row has no statistics."""
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    first: dict[tuple[str, str], SourceRow] = {}
    rounds: set[tuple[str, str, str]] = set()
    broken: set[str] = set()
    unclear: set[tuple[str, str]] = set()
    for row in rows:
        if not row["FIGHTER"]:
            continue  # the scrapers write such rows for fights without statistics
        bout = _spaced(row["EVENT"]), _spaced(row["BOUT"])
        meant = fights.get(bout, ())
        if len(meant) != 1:  # 0: the bout of an event's earlier name, or of a faulty fight
            unclear |= {bout} if meant else set()
            continue
        fight_id, named = meant[0]
        fighter_id = named.get(_spaced(row["FIGHTER"]))
        added = _read_round(row, tables.faults)
        if fighter_id is None:
            tables.faults.append(fault_at(row.place, "FIGHTER", row["FIGHTER"], "is not one of the bout's fighters"))
        elif (fight_id, fighter_id, row["ROUND"]) in rounds:
            tables.faults.append(fault_at(row.place, "ROUND", row["ROUND"], "is there twice: leave one of the rows"))
            fighter_id = None
        if fighter_id is None or added is None:
            broken.add(fight_id)
            continue
        rounds.add((fight_id, fighter_id, row["ROUND"]))
        key = fight_id, fighter_id
        first.setdefault(key, row)
        have = sums.get(key)
        sums[key] = added if have is None else {name: _plus(have[name], value) for name, value in added.items()}
    tables.notes += [f"statistics of {bout!r} on {event!r} may be of either of two fights" for event, bout in unclear]
    for (fight_id, fighter_id), total in sums.items():
        if fight_id not in broken:
            shown = {name: "" if value is None else str(value) for name, value in total.items()}
            tables.stat_lines.add(
                first[fight_id, fighter_id].place, {"fight_id": fight_id, "fighter_id": fighter_id} | shown
            )


def _read_round(row: SourceRow, faults: list[ImportFault]) -> dict[str, int | None] | None:
    found: dict[str, int | None] = {}
    before = len(faults)
    for column, name in _COUNTS.items():
        found[name] = _value(row, column, cells.parse_count, faults)
    for column, name in _PAIRS.items():
        pair = _value(row, column, cells.parse_pair, faults)
        found[f"{name}_landed"], found[f"{name}_attempted"] = pair or (None, None)
    blank = cells.is_blank(row["CTRL"])
    found["control_seconds"] = None if blank else _value(row, "CTRL", cells.parse_clock, faults)
    return found if len(faults) == before else None


def _plus(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _value(row: SourceRow, column: str, parse: Callable[[str], Any], faults: list[ImportFault]) -> Any:
    """Return the parsed cell; None, with a fault, if that is impossible."""
    try:
        return parse(row[column])
    except ValueError as error:
        faults.append(fault_at(row.place, column, row[column], str(error)))
        return None


def _spaced(text: str) -> str:
    return " ".join(text.split())
