from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import mirror
from engine.data.features import FEATURE_COLUMNS, build_matrix
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest
from engine.data.side_features import BASE_FEATURES
from engine.errors import AmbiguousFighterError, UnknownFighterError, ValidationError
from engine.evaluation.backtest import backtest_data_from_log

FIGHTERS = pd.DataFrame(
    [
        ("ana", "Ana Alves", "1990-01-01", 170, 172, "Southpaw", 0),
        ("bea", "Bea Brown", "1992-01-01", 168, None, "Orthodox", 0),
        ("cat", "Cat Costa", "1994-01-01", 165, 166, None, 0),
        ("dee", "Dee Dunn", "1996-01-01", 160, 161, "Orthodox", 0),
        ("eve", "Eve Exeter", None, None, None, None, 0),
        ("fay", "Fay Ford", None, None, None, None, 1),
    ],
    columns=["fighter_id", "name", "date_of_birth", "height_cm", "reach_cm", "stance", "ambiguous_name"],
)


def fight(fight_id: str, day: str, red: str, blue: str, winner: str, method: str, seconds: int) -> dict[str, object]:
    return {
        "fight_id": fight_id,
        "date": day,
        "event": f"Event of {day}",
        "weight_class": "Women's Flyweight",
        "women": 1,
        "title_bout": 0,
        "scheduled_rounds": 3,
        "red_id": red,
        "blue_id": blue,
        "winner": winner,
        "method": method,
        "end_time_seconds": seconds,
        "corner_reliable": 1,
        "red_decimal_odds": 1.8,
        "blue_decimal_odds": 2.1,
    }


def line(fight_id: str, fighter: str, landed: int, takedowns: int, control: float | None) -> dict[str, object]:
    return {
        "fight_id": fight_id,
        "fighter_id": fighter,
        "knockdowns": 1,
        "submission_attempts": 2,
        "takedowns_landed": takedowns,
        "takedowns_attempted": 2 * takedowns,
        "significant_strikes_landed": landed,
        "significant_strikes_attempted": 4 * landed,
        "control_seconds": control,
    }


@pytest.fixture(scope="module")
def log() -> FightLog:
    fights = [
        fight("1", "2020-01-01", "ana", "bea", "red", "KO/TKO", 300),
        fight("2", "2020-03-01", "ana", "cat", "draw", "Decision - Majority", 900),
        fight("3", "2020-05-01", "bea", "ana", "nc", "Overturned", 100),
        fight("4", "2020-07-01", "ana", "cat", "blue", "Submission", 600),
        fight("5", "2020-09-01", "ana", "bea", "red", "Decision - Split", 900),
    ]
    lines = [
        line("1", "ana", 20, 1, 60),
        line("1", "bea", 10, 0, 0),
        line("2", "ana", 30, 3, None),
        line("2", "cat", 60, 1, None),
        line("4", "ana", 10, 0, 0),
        line("4", "cat", 40, 4, 300),
    ]
    return FightLog(pd.DataFrame(fights), pd.DataFrame(lines), FIGHTERS)


def test_a_history_worked_out_by_hand(log: FightLog) -> None:
    matrix = build_matrix(log)
    assert matrix.won.tolist() == [1, 0, 1]
    row = matrix.X.iloc[-1]
    expected = {
        "age": (date(2020, 9, 1) - date(1990, 1, 1)).days / 365.25,
        "southpaw": 1.0,
        "ufc_fights": 4,
        "ufc_wins": 1,
        "ufc_losses": 1,
        "win_streak": 0,
        "loss_streak": 1,
        "days_since": 62,
        "cage_min": 30.0,  # the no contest has no stat lines
        "ko_wins": 1,
        "sub_wins": 0,
        "ko_losses": 0,
        "slpm": 60 / 30,
        "sapm": 110 / 30,
        "str_acc": 0.25,
        "str_def": 0.75,
        "td15": 4 / 2,
        "td_acc": 0.5,
        "td_def": 0.5,
        "td_abs15": 5 / 2,
        "sub15": 6 / 2,
        "kd15": 3 / 2,
        "kd_abs15": 3 / 2,
        "ctrl_share": 60 / 900,  # control is unknown in the second fight
        "ctrl_abs_share": 300 / 900,
        "last3_win": (0.5 + 0.5 + 0.0) / 3,
        "last3_strdiff": ((20 - 10) / 5 + (30 - 60) / 15 + (10 - 40) / 10) / 3,
    }
    assert {name: row[f"red_{name}"] for name in expected} == pytest.approx(expected)
    assert row["diff_ufc_fights"] == row["red_ufc_fights"] - row["blue_ufc_fights"] == 2
    assert matrix.experience.tolist() == [0, 1, 2]


def test_a_history_only_fight_moves_states_and_is_no_label(log: FightLog) -> None:
    marked = FightLog(log.fights.assign(history_only=[1, 0, 0, 0, 0]), log.stat_lines, log.fighters)
    whole, later = build_matrix(log), build_matrix(marked)
    pd.testing.assert_frame_equal(later.X, whole.X.iloc[1:].reset_index(drop=True), check_exact=True)
    assert (later.won.tolist(), later.experience.tolist()) == (whole.won[1:].tolist(), whole.experience[1:].tolist())
    assert len(backtest_data_from_log(marked).early_odds) == len(later)
    assert build_matrix(marked, decisive_only=False).won.tolist() == [-1, -1, -1, 0, 1]
    known, same = FighterSnapshot.from_log(log), FighterSnapshot.from_log(marked)
    np.testing.assert_array_equal(same.state, known.state)
    assert same.data_cutoff == known.data_cutoff


@pytest.mark.slow
def test_a_result_that_is_overturned_later_counts_as_it_was_announced(log: FightLog) -> None:
    on_the_day = log.fights.assign(winner=log.fights["winner"].replace({"nc": "blue"}))
    rewritten = log.fights.assign(announced_winner=["", "", "blue", "", ""])
    seen, later = (FightLog(fights, log.stat_lines, log.fighters) for fights in (on_the_day, rewritten))
    one, other = build_matrix(seen), build_matrix(later)
    pd.testing.assert_frame_equal(one.X, other.X, check_exact=True)
    assert one.won.tolist() == other.won.tolist() == [1, 0, 0, 1]
    assert len(backtest_data_from_log(later).early_odds) == len(other)
    # Without the announced winner nobody has won: what was known to all until it was overturned is missing.
    assert build_matrix(log).X["blue_ufc_wins"].tolist() != one.X["blue_ufc_wins"].tolist()


def test_elo_of_the_first_two_fights(log: FightLog) -> None:
    matrix = build_matrix(log, decisive_only=False)
    assert matrix.won.tolist() == [1, -1, -1, 0, 1]
    elo = matrix.X["red_elo"]
    assert elo[1] == 1500 + 80 * 1.2 / 2
    expected = 1 / (1 + 10 ** (-48 / 400))
    assert matrix.X["blue_elo"][2] == pytest.approx(1548 + 80 * (0.5 - expected))
    assert elo[3] == matrix.X["blue_elo"][2]  # a no contest moves nothing
    assert matrix.X["red_opp_elo"][3] == pytest.approx((1500 + 1500 + 1452) / 3)


def test_a_debut_has_no_statistics(log: FightLog) -> None:
    row = build_matrix(log).X.iloc[0]
    unknown = {name for name in BASE_FEATURES if np.isnan(row[f"red_{name}"])}
    zero = {name for name in BASE_FEATURES if row[f"red_{name}"] == 0}
    assert {"days_since", "opp_elo", "slpm", "td_def", "ctrl_share", "last3_win", "last3_strdiff"} <= unknown
    assert {"ufc_fights", "win_streak", "cage_min", "ko_losses"} <= zero
    assert row["red_elo"] == 1500


def request(first: str | FighterRequest, second: str | FighterRequest, **more: Any) -> FightRequest:
    sides = [FighterRequest(name=side) if isinstance(side, str) else side for side in (first, second)]
    return FightRequest(first=sides[0], second=sides[1], **({"date": date(2020, 10, 1)} | more))


def test_each_request_has_a_row_or_an_error_of_its_own(log: FightLog) -> None:
    known = FighterSnapshot.from_log(log)
    rows = known.features(
        [
            request("Ana Alves", "Zoe Zander"),
            request("bea brown", "Ana Alves"),
            request("Fay Ford", "Ana Alves"),
            request("Ana Alves", "ana alves"),
            request("Ana Alves", "Bea Brown", weight_class="Feather"),
            request("Ana Alves", "Bea Brown", date=date(2020, 9, 1)),
            request(FighterRequest(name="Ana Alves", debut=True), "Bea Brown"),
            request("Ana Alves", "Eve Exeter"),
        ]
    )
    assert [type(error) for error in rows.errors] == [
        UnknownFighterError,
        type(None),
        AmbiguousFighterError,
        ValidationError,
        ValidationError,
        ValidationError,
        AmbiguousFighterError,
        type(None),
    ]
    assert rows.X.index.tolist() == [1, 7]
    assert rows.fighter_ids == (("bea", "ana"), ("ana", "eve"))
    assert rows.experience.tolist() == [3, 0]
    assert tuple(rows.X.columns) == FEATURE_COLUMNS
    assert known.features([]).X.shape == (0, len(FEATURE_COLUMNS))


def test_flags(log: FightLog) -> None:
    stale = date(2020, 9, 1) + timedelta(days=181)
    newcomer = FighterRequest(
        name="Zoe Zander", debut=True, date_of_birth=date(1999, 1, 1), height_cm=160, reach_cm=160, stance="southpaw"
    )
    rows = FighterSnapshot.from_log(log).features(
        [
            request("Ana Alves", "Cat Costa"),
            request("Ana Alves", newcomer),
            request("Ana Alves", "Bea Brown", date=stale),
            request("Dee Dunn", "Eve Exeter"),
        ]
    )
    assert rows.flags == (
        ("few_fights", "features_imputed"),  # the stance of Cat Costa is unknown
        ("debutant", "features_imputed"),
        ("features_imputed", "stale_fight_log"),  # the reach of Bea Brown is unknown
        ("debutant", "features_imputed"),
    )
    assert rows.fighter_ids[1] == ("ana", None)
    assert rows.X.loc[1, ["blue_height_cm", "blue_southpaw", "blue_ufc_fights"]].tolist() == [160, 1, 0]


def test_a_biography_in_the_request_fills_gaps_and_overrules_nothing(log: FightLog) -> None:
    bea = FighterRequest(name="Bea Brown", reach_cm=169, height_cm=150, stance="southpaw")
    cat = FighterRequest(name="Cat Costa", stance="southpaw")
    rows = FighterSnapshot.from_log(log).features([request("Ana Alves", bea), request("Ana Alves", cat)])
    assert rows.X.loc[0, ["blue_reach_cm", "blue_height_cm", "blue_southpaw"]].tolist() == [169, 168, 0]
    assert rows.X.loc[1, "blue_southpaw"] == 1
    assert rows.flags[1] == ("few_fights",)


def test_context_comes_from_the_request_or_the_fighters_or_stays_unknown(log: FightLog) -> None:
    rows = FighterSnapshot.from_log(log).features(
        [
            request("Ana Alves", "Bea Brown", weight_class="Women's Bantamweight", scheduled_rounds=5, title_bout=True),
            request("Ana Alves", "Bea Brown", weight_class="Catch Weight"),
            request("Ana Alves", "Dee Dunn"),
            request("Dee Dunn", "Eve Exeter"),
        ]
    )
    expected = [[1, 1, 5, 135], [1, np.nan, np.nan, np.nan], [1, np.nan, np.nan, 125], [np.nan] * 4]
    context = rows.X[["women", "title_bout", "scheduled_rounds", "weight_limit_lbs"]].to_numpy()
    np.testing.assert_array_equal(context, expected)


def test_whether_women_fight_is_unknown_if_neither_fighters_nor_class_tell(log: FightLog) -> None:
    rows = FighterSnapshot.from_log(log).features(
        [
            request("Dee Dunn", "Eve Exeter", weight_class=weight_class)
            for weight_class in ("Catch Weight", "Open Weight", "Other", "Lightweight", "Women's Flyweight")
        ]
    )
    np.testing.assert_array_equal(rows.X["women"], [np.nan, np.nan, np.nan, 0.0, 1.0])


def test_the_order_of_listing_only_mirrors_the_row(log: FightLog) -> None:
    rows = (
        FighterSnapshot.from_log(log).features([request("Ana Alves", "Bea Brown"), request("Bea Brown", "Ana Alves")]).X
    )
    np.testing.assert_array_equal(mirror(rows.loc[[0]]).to_numpy(), rows.loc[[1]].to_numpy())


def test_a_snapshot_survives_as_plain_read_only_arrays(log: FightLog) -> None:
    snapshot = FighterSnapshot.from_log(log)
    arrays = snapshot.to_arrays()
    assert not any(array.dtype.hasobject for array in arrays.values())
    for array in arrays.values():
        array.flags.writeable = False
    again = FighterSnapshot.from_arrays(arrays)
    card = [request("Ana Alves", "Bea Brown")]
    pd.testing.assert_frame_equal(again.features(card).X, snapshot.features(card).X)
    assert again.data_cutoff == date(2020, 9, 1)
    with pytest.raises(ValidationError, match=r"lacks the arrays \['state'\]"):
        FighterSnapshot.from_arrays({name: array for name, array in arrays.items() if name != "state"})
    with pytest.raises(ValidationError, match=r"'state' has shape \(6, 2\)"):
        FighterSnapshot.from_arrays(arrays | {"state": np.zeros((6, 2))})
