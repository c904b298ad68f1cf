"""Fight logs written as other people's files: an export of UFC Stats, and the public tables."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from engine.data.fight_log import FightLog
from engine.fight_log_import.ufcstats_export import CORNERS_SINCE, FILES

NAMES = {
    "events": "ufc_event_details.csv",
    "fight_links": "ufc_fight_details.csv",
    "results": "ufc_fight_results.csv",
    "statistics": "ufc_fight_stats.csv",
    "fighter_names": "ufc_fighter_details.csv",
    "fighters": "ufc_fighter_tott.csv",
}
OUTCOMES = {"red": "W/L", "blue": "L/W", "draw": "D/D", "nc": "NC/NC"}
_LINK = "http://ufcstats.example/{}-details/{}"


def as_exported(log: FightLog) -> FightLog:
    """What of a log an export of UFC Stats has: no prices, no flags of its own."""
    prices = [f"{side}_{early}decimal_odds" for side in ("red", "blue") for early in ("", "early_")]
    corners = log.fights["date"] >= pd.Timestamp(CORNERS_SINCE)
    fights = log.fights.assign(
        **dict.fromkeys(prices), corner_reliable=corners, history_only=False, announced_winner=""
    )
    declared = [name for name in log.fighters if name.startswith("declared_")]
    used = {*fights["red_id"], *fights["blue_id"]}
    fighters = log.fighters[log.fighters["fighter_id"].isin(used)].drop(columns=declared).assign(ambiguous_name=False)
    return FightLog(fights, log.stat_lines, fighters)


def write_ufcstats(log: FightLog, folder: Path, fights: Sequence[str] | None = None) -> Path:
    """Write an export of a log, of all fights or of some; every event needs a name of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = log.fights if fights is None else log.fights[log.fights["fight_id"].isin(fights)]
    names = dict(zip(log.fighters["fighter_id"], log.fighters["name"], strict=True))
    rows = chosen.to_dict("records")
    bouts = {row["fight_id"]: f"{names[row['red_id']]}  vs. {names[row['blue_id']]} " for row in rows}
    days = chosen.drop_duplicates("event")
    used = {*chosen["red_id"], *chosen["blue_id"]}
    people = [row for row in log.fighters.to_dict("records") if row["fighter_id"] in used]
    lines = {fight: list(of.to_dict("records")) for fight, of in log.stat_lines.groupby("fight_id")}
    _write(
        folder / NAMES["events"],
        FILES["events"],
        ([row.event, _link("event", row.Index), f"{row.date:%B %d, %Y}", "Town, Land"] for row in days.itertuples()),
    )
    _write(
        folder / NAMES["fight_links"],
        FILES["fight_links"],
        ([row["event"], bouts[row["fight_id"]], _link("fight", row["fight_id"])] for row in rows),
    )
    _write(
        folder / NAMES["results"],
        FILES["results"],
        ([f"{row['event']} ", bouts[row["fight_id"]], *_result(row)] for row in rows),
    )
    _write(
        folder / NAMES["statistics"],
        FILES["statistics"],
        (
            [row["event"], bouts[row["fight_id"]], *cells]
            for row in rows
            for cells in _rounds(lines.get(row["fight_id"], []), names, _rounds_of(row))
        ),
    )
    _write(
        folder / NAMES["fighter_names"],
        FILES["fighter_names"],
        ([*_split(row["name"]), "", _link("fighter", row["fighter_id"])] for row in people),
    )
    _write(folder / NAMES["fighters"], FILES["fighters"], map(_biography, people))
    return folder


def write_ultimate(log: FightLog, path: Path) -> Path:
    """Write the layout of the Ultimate UFC Dataset, with prices as American odds."""
    names = dict(zip(log.fighters["fighter_id"], log.fighters["name"], strict=True))
    columns = (
        *("R_fighter", "B_fighter", "R_odds", "B_odds", "R_ev", "date", "location", "country", "Winner", "title_bout"),
        *("weight_class", "gender", "no_of_rounds", "R_age", "height_dif", "finish", "total_fight_time_secs"),
    )
    winners = {"red": "Red", "blue": "Blue", "draw": "Draw", "nc": "No Contest"}
    rows = (
        [
            *(names[row["red_id"]], names[row["blue_id"]]),
            *(_american(row["red_decimal_odds"]), _american(row["blue_decimal_odds"]), ""),
            *(f"{row['date']:%Y-%m-%d}", "Town, Land", "Land", winners[row["winner"]], bool(row["title_bout"])),
            *(row["weight_class"], "FEMALE" if row["women"] else "MALE", _blank(row["scheduled_rounds"]), "30", "0"),
            *(row["method"], f"{row['end_time_seconds']:.1f}"),
        ]
        for row in log.fights.to_dict("records")
    )
    _write(path, columns, rows)
    return path


def write_kaggle_raw(log: FightLog, path: Path) -> Path:
    """Write the layout of `raw_total_fight_data` of Kaggle's `ufcdata`, with semicolons."""
    names = dict(zip(log.fighters["fighter_id"], log.fighters["name"], strict=True))
    lines = {(row["fight_id"], row["fighter_id"]): row for row in log.stat_lines.to_dict("records")}
    counted = ("KD", "SIG_STR.", "SIG_STR_pct", "TD", "SUB_ATT", "CTRL")
    columns = (
        *("R_fighter", "B_fighter", *(f"{mark}_{name}" for name in counted for mark in "RB"), "win_by", "last_round"),
        *("last_round_time", "Format", "Referee", "date", "location", "Fight_type", "Winner"),
    )
    rows = []
    for row in log.fights.to_dict("records"):
        found = [lines.get((row["fight_id"], row[f"{side}_id"])) for side in ("red", "blue")]
        cells = [_raw(line) for line in found]
        timed, last, clock = _timed(row)
        rows.append(
            [
                *(names[row["red_id"]], names[row["blue_id"]]),
                *(cell for pair in zip(*cells, strict=True) for cell in pair),
                *(row["method"], last, clock, timed, "", f"{row['date']:%B %d, %Y}", "Town, Land", _title(row)),
                names[row[f"{row['winner']}_id"]] if row["winner"] in ("red", "blue") else "",
            ]
        )
    _write(path, columns, rows, delimiter=";")
    return path


def _raw(line: dict[str, Any] | None) -> list[str]:
    if line is None:
        return ["", "", "", "", "", ""]
    control = "--" if line["control_seconds"] != line["control_seconds"] else _clock(line["control_seconds"])
    strikes = f"{line['significant_strikes_landed']:g} of {line['significant_strikes_attempted']:g}"
    takedowns = f"{line['takedowns_landed']:g} of {line['takedowns_attempted']:g}"
    return [f"{line['knockdowns']:g}", strikes, "50%", takedowns, f"{line['submission_attempts']:g}", control]


def _american(price: float) -> str:
    if price != price:
        return ""
    return f"{(price - 1) * 100:.6f}" if price >= 2 else f"{-100 / (price - 1):.6f}"


def _result(row: dict[str, Any]) -> list[str]:
    timed, last, clock = _timed(row)
    title, link = _title(row), _link("fight", row["fight_id"])
    return [OUTCOMES[row["winner"]], title, f"{row['method']} ", last, clock, timed, "Referee", "Details ", link]


def _title(row: dict[str, Any]) -> str:
    weight_class = "Tournament" if row["weight_class"] == "Other" else row["weight_class"]
    women = row["women"] and not weight_class.startswith("Women's")
    return f"{'UFC ' if row['title_bout'] else ''}{chr(39).join(['Women', 's ']) if women else ''}{weight_class} " + (
        "Title Bout" if row["title_bout"] else "Bout"
    )


def _rounds_of(row: dict[str, Any]) -> int:
    return int(_timed(row)[1])


def _timed(row: dict[str, Any]) -> tuple[str, str, str]:
    """Format, last round and time of a fight, with rounds that are long enough."""
    seconds, rounds = int(row["end_time_seconds"]), row["scheduled_rounds"]
    if rounds != rounds:
        return "No Time Limit", "1", _clock(seconds)
    minutes = max(5, math.ceil(seconds / 60 / rounds))
    last = math.ceil(seconds / 60 / minutes)
    text = f"{rounds:g} Rnd ({'-'.join([str(minutes)] * int(rounds))})"
    return text, str(last), _clock(seconds - (last - 1) * minutes * 60)


def _rounds(lines: list[dict[str, Any]], names: dict[str, str], rounds: int) -> Iterable[list[str]]:
    """Rows of each round; what was counted is in the first and the last."""
    if not lines:
        return [[""] * 17, [""] * 17]
    return [
        [f"Round {number}", names[line["fighter_id"]], *_counts(line, number, rounds)]
        for line in lines
        for number in range(1, rounds + 1)
    ]


def _counts(line: dict[str, Any], number: int, rounds: int) -> list[str]:
    part = {name: _part(line[name], number, rounds) for name in line if name not in ("fight_id", "fighter_id")}
    control = part["control_seconds"]
    strikes = f"{part['significant_strikes_landed']} of {part['significant_strikes_attempted']}"
    takedowns = f"{part['takedowns_landed']} of {part['takedowns_attempted']}"
    shown = "--" if control is None else _clock(control)
    counts = [f"{part['knockdowns']}.0", strikes, "---", strikes, takedowns, "---", f"{part['submission_attempts']}"]
    return [*counts, "0", shown, *(["0 of 0"] * 6)]


def _part(total: float, number: int, rounds: int) -> int | None:
    if total != total:
        return None
    first = int(total) // 2 if rounds > 1 else int(total)
    return first if number == 1 else int(total) - first if number == rounds else 0


def _biography(row: dict[str, Any]) -> list[str]:
    inches = None if row["height_cm"] != row["height_cm"] else round(row["height_cm"] / 2.54)
    height = "--" if inches is None else f"{inches // 12}' {inches % 12}\""
    reach = "--" if row["reach_cm"] != row["reach_cm"] else f'{row["reach_cm"] / 2.54:.6g}"'
    born = "--" if row["date_of_birth"] is pd.NaT else f"{row['date_of_birth']:%b %d, %Y}"
    return [row["name"], height, "155 lbs.", reach, row["stance"], born, _link("fighter", row["fighter_id"])]


def _split(name: str) -> tuple[str, str]:
    first, _, last = name.partition(" ")
    return first, last


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _blank(number: float) -> str:
    return "" if number != number else f"{number:g}"


def _link(kind: str, name: Any) -> str:
    return _LINK.format(kind, f"{name:04d}" if isinstance(name, int) else name)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream, delimiter=delimiter)
        out.writerow(columns)
        out.writerows(rows)
