"""Importers of the public tables with one row a fight: the Ultimate UFC Dataset, and Kaggle's `ufcdata`.

These tables have no ids. A fight is known by its day and both names, `2024-02-10|danige|andrefili`, and a fighter by
his name, `name/danige`, so they do best in a log that has these fights already: there, both names and the day find
the fight. The Ultimate UFC Dataset brings prices, `raw_total_fight_data` of Kaggle also statistics; its `data` has
neither the method nor the time of a fight, so it adds none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from engine.data.fighter_names import fighter_name_key
from engine.fight_log_import import cells
from engine.fight_log_import.links import NAME_KEY
from engine.fight_log_import.source_rows import ImportFault, SourceRow, fault_at, read_rows
from engine.fight_log_import.source_tables import SourceTable, SourceTables
from engine.fight_log_import.ufcstats_export import CORNERS_SINCE, is_of_women, is_title_bout, weight_class_of

ULTIMATE = "ultimate"
KAGGLE = "kaggle"

_ULTIMATE_NAMES = {
    "red": ("R_fighter", "RedFighter"),
    "blue": ("B_fighter", "BlueFighter"),
    "date": ("date", "Date"),
    "location": ("location", "Location"),
    "winner": ("Winner",),
    "title_bout": ("title_bout", "TitleBout"),
    "weight_class": ("weight_class", "WeightClass"),
    "gender": ("gender", "Gender"),
    "rounds": ("no_of_rounds", "NumberOfRounds"),
    "method": ("finish", "Finish"),
    "seconds": ("total_fight_time_secs", "TotalFightTimeSecs"),
    "red_odds": ("R_odds", "RedOdds"),
    "blue_odds": ("B_odds", "BlueOdds"),
    "red_height": ("R_Height_cms", "RedHeightCms"),
    "blue_height": ("B_Height_cms", "BlueHeightCms"),
    "red_reach": ("R_Reach_cms", "RedReachCms"),
    "blue_reach": ("B_Reach_cms", "BlueReachCms"),
    "red_stance": ("R_Stance", "RedStance"),
    "blue_stance": ("B_Stance", "BlueStance"),
}
_RAW_STATISTICS = {"KD": "knockdowns", "SUB_ATT": "submission_attempts"}
_RAW_PAIRS = {"TD": "takedowns", "SIG_STR.": "significant_strikes"}


class _Columns:
    """The columns that a layout may have: listed ones, and those of a pattern."""

    def __init__(self, pattern: str, listed: Sequence[str]) -> None:
        self._pattern, self._listed = re.compile(pattern), set(listed)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._listed or self._pattern.fullmatch(name) is not None)

    def __iter__(self) -> Any:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)


_ULTIMATE_COLUMNS = _Columns(
    r"[RBrb]_.+|(Red|Blue)[A-Z]\w+|[RB][A-Z]\w*(Rank|Odds)|\w+(_dif|Dif)",
    [
        *(name for names in _ULTIMATE_NAMES.values() for name in names),
        *("country", "Country", "empty_arena", "EmptyArena", "better_rank", "BetterRank"),
        *("finish_details", "FinishDetails", "finish_round", "FinishRound", "finish_round_time", "FinishRoundTime"),
        *("constant_1", "weightclass_rank"),
    ],
)
_DATA_COLUMNS = _Columns(
    r"[RB]_.+", ["Referee", "date", "location", "Winner", "title_bout", "weight_class", "no_of_rounds"]
)
_RAW_COLUMNS = _Columns(
    r"[RB]_.+",
    ["win_by", "last_round", "last_round_time", "Format", "Referee", "date", "location", "Fight_type", "Winner"],
)


def format_of(columns: Sequence[str]) -> str | None:
    """Return the layout of a table, by its columns: `ultimate`, `kaggle data`, `kaggle raw`, or None."""
    have = set(columns)
    if {"R_fighter", "B_fighter", "Fight_type", "win_by"} <= have:
        return "kaggle raw"
    if {"R_fighter", "R_odds"} <= have or {"RedFighter", "RedOdds"} <= have:
        return ULTIMATE
    return "kaggle data" if {"R_fighter", "B_fighter", "Winner", "Referee"} <= have else None


def read_ultimate(path: Path) -> SourceTables:
    """Read the Ultimate UFC Dataset, of the older or the newer column names. Raises ValidationError for no text."""
    tables = _tables(ULTIMATE, {"winner": "Winner", "method": "finish", "end_time_seconds": "total_fight_time_secs"})
    rows = read_rows(path, (), _ULTIMATE_COLUMNS, tables.faults)
    names: dict[str, str] = {}
    if rows:
        have = rows[0].cells
        names = {
            key: next((name for name in spelt if name in have), spelt[0]) for key, spelt in _ULTIMATE_NAMES.items()
        }
    for row in rows:
        fight = _fight_cells(row, names, tables)
        if fight is None:
            continue
        faults = len(tables.faults)
        gender = row[names["gender"]].casefold()
        fight |= {
            "winner": row[names["winner"]],
            "weight_class": row[names["weight_class"]],
            "women": {"male": "0", "female": "1"}.get(gender, ""),
            "title_bout": _value(row, names["title_bout"], cells.parse_flag, tables.faults) or "",
            "scheduled_rounds": row[names["rounds"]],
            "method": row[names["method"]],
            "end_time_seconds": row[names["seconds"]],
        }
        for side in ("red", "blue"):
            price = _value(row, names[f"{side}_odds"], cells.parse_american, tables.faults)
            fight[f"{side}_decimal_odds"] = "" if price is None else f"{price:g}"
        if len(tables.faults) == faults:
            tables.fights.add(row.place, fight)
    return tables


def read_kaggle(path: Path, layout: str) -> SourceTables:
    """Read a table of Kaggle's `ufcdata`; `layout` as `format_of` returns it. Raises ValidationError for no text."""
    raw = layout == "kaggle raw"
    shown = {"winner": "Winner", "method": "win_by", "weight_class": "Fight_type" if raw else "weight_class"}
    tables = _tables(KAGGLE, shown)
    needed = {"R_fighter", "B_fighter", "date", "Winner"}
    rows = read_rows(path, needed, _RAW_COLUMNS if raw else _DATA_COLUMNS, tables.faults)
    names = {key: spelt[0] for key, spelt in _ULTIMATE_NAMES.items()}
    for row in rows:
        fight = _fight_cells(row, names, tables)
        if fight is None:
            continue
        faults = len(tables.faults)
        lines = _add_raw(row, fight, tables) if raw else _add_data(row, fight, tables)
        if len(tables.faults) == faults:
            tables.fights.add(row.place, fight)
            for line in lines:
                tables.stat_lines.add(row.place, line)
    return tables


def _tables(source: str, shown: dict[str, str]) -> SourceTables:
    by_fighter = {"red_id": "R_fighter", "blue_id": "B_fighter", "fight_id": "date, R_fighter, B_fighter"}
    return SourceTables(
        source,
        SourceTable(by_fighter | {"scheduled_rounds": "no_of_rounds"} | shown),
        SourceTable({"control_seconds": "CTRL"}),
        SourceTable({"height_cm": "Height_cms", "reach_cm": "Reach_cms", "stance": "Stance"}),
    )


def _fight_cells(row: SourceRow, names: dict[str, str], tables: SourceTables) -> dict[str, str] | None:
    """Return the cells that both tables have, and add the fighters; None, with a fault, without day and names."""
    day: date | None = _value(row, names["date"], cells.parse_day, tables.faults)
    pair = [" ".join(row[names[side]].split()) for side in ("red", "blue")]
    for side, name in zip(("red", "blue"), pair, strict=True):
        if not fighter_name_key(name):
            tables.faults.append(fault_at(row.place, names[side], name, "is no name: write the fighter's name"))
    keys = [fighter_name_key(name) for name in pair]
    if day is None or not all(keys):
        return None
    for side, name, key in zip(("red", "blue"), pair, keys, strict=True):
        _add_fighter(row, names, side, {"fighter_id": NAME_KEY + key, "name": name}, tables)
    location = row[names["location"]]
    return {
        "fight_id": "|".join((str(day), *sorted(keys))),
        "date": str(day),
        "new_event": f"UFC in {location} on {day}" if location else f"UFC on {day}",
        "red_id": NAME_KEY + keys[0],
        "blue_id": NAME_KEY + keys[1],
        "corner_reliable": "1" if day >= CORNERS_SINCE else "0",
    }


def _add_fighter(
    row: SourceRow, names: dict[str, str], side: str, fighter: dict[str, str], tables: SourceTables
) -> None:
    known = next((one for one in tables.fighters.rows if one["fighter_id"] == fighter["fighter_id"]), None)
    if known is None:
        tables.fighters.add(row.place, fighter)
        known = fighter
    for name, key in (("height_cm", "height"), ("reach_cm", "reach"), ("stance", "stance")):
        text = row[names[f"{side}_{key}"]]
        if text and not known.get(name):
            known[name] = text


def _add_data(row: SourceRow, fight: dict[str, str], tables: SourceTables) -> list[dict[str, str]]:
    """Add the cells of `data`: a draw there may be a no contest, so it counts as unknown."""
    winner = row["Winner"].casefold()
    if winner not in ("red", "blue", "draw", ""):
        remedy = "is no winner: write Red, Blue or Draw"
        tables.faults.append(fault_at(row.place, "Winner", row["Winner"], remedy))
    title = row["title_bout"] and _value(row, "title_bout", cells.parse_flag, tables.faults)
    fight |= {
        "winner": winner if winner in ("red", "blue") else "",
        "weight_class": row["weight_class"],
        "scheduled_rounds": row["no_of_rounds"],
        "title_bout": title or "",
    }
    return []


def _add_raw(row: SourceRow, fight: dict[str, str], tables: SourceTables) -> list[dict[str, str]]:
    """Add the cells of `raw_total_fight_data`; return the two lines of statistics, none if they are blank."""
    title = " ".join(row["Fight_type"].split())
    winners = {row["R_fighter"]: "red", row["B_fighter"]: "blue"}
    # Neither drawn nor void fights have a winner there; what was decided without one is a draw.
    void = "draw" if row["win_by"].casefold().startswith("decision") else "nc"
    winner = winners.get(row["Winner"]) if row["Winner"] else void
    if winner is None:
        remedy = "is none of the two fighters: write one of the two names, or nothing"
        tables.faults.append(fault_at(row.place, "Winner", row["Winner"], remedy))
    try:
        rounds, seconds = cells.fought_seconds(row["Format"], row["last_round"], row["last_round_time"])
        fight |= {"scheduled_rounds": "" if rounds is None else str(rounds), "end_time_seconds": str(seconds)}
    except ValueError as error:
        shown = f"{row['Format']}, {row['last_round']}, {row['last_round_time']}"
        tables.faults.append(fault_at(row.place, "Format, last_round, last_round_time", shown, str(error)))
    fight |= {
        "winner": winner or "",
        "weight_class": weight_class_of(title),
        "women": "1" if is_of_women(title) else "0",
        "title_bout": "1" if is_title_bout(title) else "0",
        "method": row["win_by"],
    }
    if all(cells.is_blank(row[f"{mark}_KD"]) for mark in "RB"):
        return []
    return [
        {"fight_id": fight["fight_id"], "fighter_id": fight[f"{side}_id"]} | _statistics(row, mark, tables.faults)
        for side, mark in (("red", "R"), ("blue", "B"))
    ]


def _statistics(row: SourceRow, mark: str, faults: list[ImportFault]) -> dict[str, str]:
    found: dict[str, str] = {}
    for column, name in _RAW_STATISTICS.items():
        found[name] = str(_value(row, f"{mark}_{column}", cells.parse_count, faults))
    for column, name in _RAW_PAIRS.items():
        landed, attempted = _value(row, f"{mark}_{column}", cells.parse_pair, faults) or ("", "")
        found |= {f"{name}_landed": str(landed), f"{name}_attempted": str(attempted)}
    control = row[f"{mark}_CTRL"]  # absent in the older tables
    seconds = None if cells.is_blank(control) else _value(row, f"{mark}_CTRL", cells.parse_clock, faults)
    return found | {"control_seconds": "" if seconds is None else str(seconds)}


def _value(row: SourceRow, column: str, parse: Callable[[str], Any], faults: list[ImportFault]) -> Any:
    """Return the parsed cell; None, with a fault, if that is impossible."""
    try:
        return parse(row[column])
    except ValueError as error:
        faults.append(fault_at(row.place, column, row[column], str(error)))
        return None
