"""A log whose recent closing odds are missing says so, and a rating that does not learn from odds is not concerned."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest, drop_unused_flags
from engine.simulation.league import League

FLAG = "past_odds_missing"


def without_odds(log: FightLog, rows: np.ndarray) -> FightLog:
    fights = log.fights.copy()
    fights.loc[rows, "red_decimal_odds"] = np.nan
    return FightLog(fights, log.stat_lines, log.fighters)


def flagged(log: FightLog, *names: str, debut: bool = False) -> bool:
    snapshot = FighterSnapshot.from_arrays(FighterSnapshot.from_log(log).to_arrays())
    first, second = (FighterRequest(name=name, debut=debut and number == 1) for number, name in enumerate(names))
    rows = snapshot.features([FightRequest(first=first, second=second, date=log.data_cutoff + timedelta(days=7))])
    assert rows.errors == (None,)
    return FLAG in rows.flags[0]


@pytest.fixture(scope="module")
def names(league: League) -> tuple[str, str]:
    """Two fighters of the last card."""
    by_id = league.log.fighters.set_index("fighter_id")["name"]
    return by_id[league.log.fights["red_id"].iloc[-1]], by_id[league.log.fights["red_id"].iloc[-2]]


def recent(log: FightLog) -> np.ndarray:
    days = pd.Timestamp(log.data_cutoff) - log.fights["date"]
    return np.asarray(days < pd.Timedelta(days=365))


@pytest.mark.slow
def test_a_log_with_odds_in_less_than_half_of_its_last_year_is_flagged(league: League, names: tuple[str, str]) -> None:
    last_year = np.flatnonzero(recent(league.log))
    own = last_year[-15:]  # so that the two fighters keep odds
    others = np.setdiff1d(last_year, own)
    assert not flagged(league.log, *names)
    assert not flagged(without_odds(league.log, others[: int(0.3 * len(last_year))]), *names)
    assert flagged(without_odds(league.log, others[: int(0.7 * len(last_year))]), *names)
    assert flagged(without_odds(league.log, others[: int(0.7 * len(last_year))]), names[0], "Nobody Known", debut=True)


@pytest.mark.slow
def test_a_fighter_without_odds_in_his_last_three_fights_is_flagged_and_a_debutant_is_not(
    league: League, names: tuple[str, str]
) -> None:
    id_ = league.log.fighters.set_index("name").loc[names[0], "fighter_id"]
    fights = league.log.fights
    own = np.flatnonzero(((fights["red_id"] == id_) | (fights["blue_id"] == id_)) & league.log.is_label)
    assert len(own) >= 3
    assert flagged(without_odds(league.log, own[-3:]), *names)
    assert flagged(without_odds(league.log, own[-3:]), *reversed(names))
    assert not flagged(without_odds(league.log, own[-2:]), *names)
    history = FightLog(
        without_odds(league.log, own[-3:]).fights.assign(history_only=np.isin(np.arange(len(fights)), own[-3:])),
        league.log.stat_lines,
        league.log.fighters,
    )
    assert not flagged(history, *names)
    assert not flagged(league.log, names[0], "Nobody Known", debut=True)


def test_only_a_rating_that_learns_from_odds_is_concerned() -> None:
    flags = ("debutant", "declared_record", FLAG, "stale_fight_log")
    assert drop_unused_flags(flags, ["diff_age", "diff_rating"]) == flags
    assert drop_unused_flags(flags, ["diff_results_rating"]) == ("debutant", "declared_record", "stale_fight_log")
    assert drop_unused_flags(flags, ["diff_age"]) == ("debutant", "stale_fight_log")
