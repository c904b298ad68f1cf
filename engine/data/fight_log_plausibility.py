"""Checks for impossible content of well-formed fight logs: repeated fights, future results, ages, prices.

Applied when files are read, not to tables that are made in memory. The limits allow all fights of 1994 to 2024, with
the one-night tournaments of the nineties.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pandas as pd

from engine.data.data_faults import FaultCollector, TableSource

REMATCH_DAYS = 7  # no rematch comes sooner, except on the same night
MIN_AGE_YEARS = 14.0
MAX_AGE_YEARS = 80.0
MIN_IMPLIED_TOTAL = 0.9
MAX_IMPLIED_TOTAL = 1.4
MAX_ROUND_SECONDS = 600.0  # ten minutes, the longest round under the unified rules
RULES_SINCE = pd.Timestamp("2001-01-01")
MIN_OFFICIAL_CORNERS = 200
MAX_RED_SHARE = 0.9

_STOPPAGES = ("KO/TKO", "TKO - Doctor's Stoppage", "Submission")


def check_plausibility(
    fights: pd.DataFrame,
    fighters: pd.DataFrame | None,
    sources: Mapping[str, TableSource],
    latest: date,
    faults: FaultCollector,
) -> None:
    """Add everything that cannot be true of the fights to `faults`.

    Parameters
    ----------
    fights, fighters
        Tables as `clean_table` returns them; `fighters` None to skip the checks of ages.
    sources
        Source of each table, by name.
    latest
        Last possible day of a result.
    faults
        Collects the faults.
    """
    source = sources["fights"]
    day = fights["date"]
    faults.add_cells(
        source, day, day > pd.Timestamp(latest), "this day is in the future, so the result cannot be known"
    )
    _check_repeated(fights, source, faults)
    _check_crowded_days(fights, source, faults)
    _check_contradictions(fights, source, faults)
    _check_prices(fights, source, faults)
    if fighters is not None:
        _check_ages(fights, fighters, sources, faults)
    decided = fights["winner"].isin(["red", "blue"])
    official = decided & (fights["corner_reliable"] == 1.0)
    labelled = fights["history_only"] != 1.0
    if (fights["winner"] != "").all() and fights.loc[decided & labelled, "winner"].nunique() < 2:
        seen = sorted(set(fights.loc[labelled, "winner"]))
        faults.add(
            source,
            f"column 'winner' holds only {seen} in fights to learn from: wins of both 'red' and 'blue' are needed",
        )
    elif (
        official.sum() >= MIN_OFFICIAL_CORNERS
        and (share := (fights["winner"] == "red")[official].mean()) > MAX_RED_SHARE
    ):
        faults.add(
            source,
            f"red has won {share:.0%} of the {int(official.sum()):,} decided fights with corner_reliable 1: the winner "
            "seems to be listed first; write 0 in corner_reliable if the corners are not the official ones",
        )


def _check_repeated(fights: pd.DataFrame, source: TableSource, faults: FaultCollector) -> None:
    """Report fights of the same two fighters within a week, except after a no contest on the same night."""
    red, blue = fights["red_id"], fights["blue_id"]
    winner = fights["winner"]
    table = pd.DataFrame(
        {
            "first": red.where(red < blue, blue),
            "second": blue.where(red < blue, red),
            "date": fights["date"],
            "decided": winner.isin(["red", "blue"]),
            "seconds": fights["end_time_seconds"],
        }
    )
    known = fights["date"].notna() & (red != "") & (blue != "") & (red != blue)
    table = table[known].sort_values(["first", "second", "date"], kind="stable")
    before = table.groupby(["first", "second"]).shift()
    gap = (table["date"] - before["date"]).dt.days
    rematch = (gap == 0) & (table["decided"] != before["decided"]) & (table["seconds"] != before["seconds"])
    repeated = pd.Series(False, index=fights.index)
    repeated[table.index] = (gap < REMATCH_DAYS) & ~rematch
    remedy = f"the same two fought within {REMATCH_DAYS} days before: one fight under two ids? leave one of them out"
    faults.add_cells(source, fights["fight_id"], repeated, remedy)


def _check_crowded_days(fights: pd.DataFrame, source: TableSource, faults: FaultCollector) -> None:
    """Report several fights of one fighter on one day, except in a tournament, in which others have several too."""
    sides = [
        fights[["date", "event"]].assign(fighter=fights[side], fight=fights.index) for side in ("red_id", "blue_id")
    ]
    long = pd.concat(sides, ignore_index=True)
    long = long[long["date"].notna() & (long["fighter"] != "")].drop_duplicates(["fight", "fighter"])
    by_day = long.groupby(["date", "fighter"])
    long = long.assign(fights=by_day["fight"].transform("size"), events=by_day["event"].transform("nunique"))
    busy = long[long["fights"] > 1]
    company = busy.groupby(["date", "event"])["fighter"].transform("nunique")
    wrong = busy[(busy["events"] > 1) | (company < 2)]
    crowded = fights.index.isin(wrong["fight"])
    names = wrong.drop_duplicates("fight").set_index("fight")["fighter"].reindex(fights.index).rename("fighter")
    remedy = "this fighter has another fight on that day, which is no tournament: correct the id or the date"
    faults.add_cells(source, names, crowded, remedy)


def _check_contradictions(fights: pd.DataFrame, source: TableSource, faults: FaultCollector) -> None:
    winner, method = fights["winner"], fights["method"]
    decided = winner.isin(["red", "blue"])
    stopped = method.isin(_STOPPAGES) & (winner == "draw")
    faults.add_cells(source, method, stopped, "a draw has no stoppage: correct winner or method")
    void = decided & method.isin(["No Contest", "Draw"])
    faults.add_cells(source, method, void, "this has no winner, and one is named: correct winner or method")
    women = fights["weight_class"].str.startswith("Women's") & (fights["women"] == 0.0)
    faults.add_cells(source, fights["weight_class"], women, "women is 0 in a women's class: correct one of them")
    allowed = fights["scheduled_rounds"] * MAX_ROUND_SECONDS
    long = (fights["end_time_seconds"] > allowed) & (fights["date"] >= RULES_SINCE)
    remedy = "this is longer than all scheduled rounds: count seconds from the first bell"
    faults.add_cells(source, fights["end_time_seconds"], long, remedy)


def _check_prices(fights: pd.DataFrame, source: TableSource, faults: FaultCollector) -> None:
    for early in ("", "early_"):
        red, blue = fights[f"red_{early}decimal_odds"], fights[f"blue_{early}decimal_odds"]
        total = 1.0 / red + 1.0 / blue
        odd = (total < MIN_IMPLIED_TOTAL) | (total > MAX_IMPLIED_TOTAL)
        remedy = (
            f"with the other side's price the chances add up to less than {MIN_IMPLIED_TOTAL:g} or more than "
            f"{MAX_IMPLIED_TOTAL:g}: one of the two is misread"
        )
        faults.add_cells(source, red, odd, remedy)


def _check_ages(
    fights: pd.DataFrame, fighters: pd.DataFrame, sources: Mapping[str, TableSource], faults: FaultCollector
) -> None:
    born = fighters.drop_duplicates("fighter_id").set_index("fighter_id")["date_of_birth"]
    sides = [pd.DataFrame({"fighter": fights[side], "date": fights["date"]}) for side in ("red_id", "blue_id")]
    long = pd.concat(sides, ignore_index=True)
    age = (long["date"] - long["fighter"].map(born)).dt.days / 365.25
    cells = fighters["date_of_birth"].dt.strftime("%Y-%m-%d")
    for odd, which in (
        (age < MIN_AGE_YEARS, f"before birth or the age of {MIN_AGE_YEARS:g}"),
        (age > MAX_AGE_YEARS, f"beyond the age of {MAX_AGE_YEARS:g}"),
    ):
        wrong = fighters["fighter_id"].isin(set(long.loc[odd, "fighter"]))
        faults.add_cells(sources["fighters"], cells, wrong, f"fights {which}: correct this date or that of the fight")
