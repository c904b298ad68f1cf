"""Point in time and symmetry of the features: small generated logs with draws, tournaments, missing statistics."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.feature_matrix import TrainingMatrix, mirror
from engine.data.features import build_matrix
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest

START = date(2020, 1, 4)
FIGHTERS = pd.DataFrame(
    {
        "fighter_id": list("abcde"),
        "name": ["Ann Abel", "Bob Bly", "Cy Coe", "Di Dorn", "Ed Eck"],
        "date_of_birth": ["1990-01-01", None, "1985-05-05", "1999-09-09", "1993-03-03"],
        "height_cm": [170, 180, None, 165, 190],
        "reach_cm": [None, 182, 175, 165, 190],
        "stance": ["Orthodox", None, "Southpaw", "Switch", "Southpaw"],
        "ambiguous_name": 0,
        "declared_wins": [14, None, 3, 0, None],
        "declared_losses": [1, None, 3, 0, None],
        "declared_last_bout": ["2019-06-01", None, None, None, None],
    }
)
COUNTS = ("knockdowns", "submission_attempts", "takedowns", "significant_strikes")
METHODS = ("KO/TKO", "Submission", "Decision - Split", "Overturned")


@st.composite
def one_fight(draw: st.DrawFn) -> dict[str, object]:
    red, blue = draw(st.permutations("abcde"))[:2]
    counts = st.tuples(*[st.integers(0, 9)] * len(COUNTS), st.integers(0, 60))
    return {
        "day": draw(st.integers(0, 4)),
        "red_id": red,
        "blue_id": blue,
        "winner": draw(st.sampled_from(["red", "red", "blue", "blue", "draw", "nc"])),
        "method": draw(st.sampled_from(METHODS)),
        "end_time_seconds": draw(st.integers(60, 900)),
        "weight_class": draw(st.sampled_from(["Lightweight", "Welterweight", "Catch Weight"])),
        "statistics": draw(st.none() | st.tuples(counts, counts)),
    }


FIGHTS = st.lists(one_fight(), min_size=2, max_size=12)


def make_log(bouts: list[dict[str, object]]) -> FightLog:
    lines = []
    for number, bout in enumerate(bouts):
        for fighter, counts in zip((bout["red_id"], bout["blue_id"]), bout["statistics"] or (), strict=False):  # type: ignore[call-overload]
            knockdowns, attempts, takedowns, strikes, control = counts
            lines.append((f"{number:02}", fighter, knockdowns, attempts, takedowns, 9, strikes, 9, control))
    names = ["fight_id", "fighter_id", *COUNTS[:2], "takedowns_landed", "takedowns_attempted"]
    names += ["significant_strikes_landed", "significant_strikes_attempted", "control_seconds"]
    # The last, lonely fight makes sure that there are stat lines; it is later than every generated one.
    lines += [("zz", fighter, 0, 0, 0, 0, 0, 0, 0) for fighter in "ab"]
    last = {"day": 9, "red_id": "a", "blue_id": "b", "winner": "red", "method": "KO/TKO", "end_time_seconds": 60}
    fights = pd.DataFrame([*bouts, last | {"weight_class": "Lightweight"}])
    fights = fights.assign(
        fight_id=[*(f"{number:02}" for number in range(len(bouts))), "zz"],
        date=[START + timedelta(days=7 * int(day)) for day in fights["day"]],
        event=fights["day"].astype(str),
        women=0,
        title_bout=0,
        scheduled_rounds=3,
        corner_reliable=1,
    )
    return FightLog(fights, pd.DataFrame(lines, columns=names), FIGHTERS)


def rows_by_fight(log: FightLog) -> pd.DataFrame:
    return build_matrix(log, decisive_only=False).X.set_axis(log.fights["fight_id"], axis="index")


@settings(max_examples=15)
@given(bouts=FIGHTS, later=FIGHTS)
def test_later_fights_and_results_of_the_day_never_change_a_row(
    bouts: list[dict[str, object]], later: list[dict[str, object]]
) -> None:
    last_day = max(int(str(bout["day"])) for bout in bouts)
    # The same pairs fight on the last day with other results and statistics, and more fights follow.
    unread = ("winner", "method", "end_time_seconds", "statistics")
    changed = [bout if bout["day"] != last_day else bout | {name: later[0][name] for name in unread} for bout in bouts]
    moved = [bout | {"day": last_day + 1 + int(str(bout["day"]))} for bout in later if last_day < 4]
    log, other = make_log(bouts), make_log([*changed, *(bout for bout in moved if int(str(bout["day"])) < 9)])
    ids = [f"{number:02}" for number in range(len(bouts))]
    pd.testing.assert_frame_equal(rows_by_fight(other).loc[ids], rows_by_fight(log).loc[ids], check_exact=True)


@settings(max_examples=12)
@given(bouts=FIGHTS, seed=st.integers(0, 99))
def test_corners_mirror_and_the_order_of_rows_says_nothing(bouts: list[dict[str, object]], seed: int) -> None:
    other = {"red": "blue", "blue": "red", "draw": "draw", "nc": "nc"}
    log = make_log(bouts)
    fights = log.fights.sample(frac=1, random_state=seed)
    swapped = FightLog(
        fights.assign(red_id=fights["blue_id"], blue_id=fights["red_id"], winner=fights["winner"].map(other)),
        log.stat_lines.sample(frac=1, random_state=seed),
        log.fighters[::-1],
    )
    straight, turned = build_matrix(log), build_matrix(swapped)
    pd.testing.assert_frame_equal(mirror(straight.X), turned.X, check_exact=True)
    np.testing.assert_array_equal(straight.won, 1 - turned.won)


@settings(max_examples=12)
@given(bouts=FIGHTS, marks=st.lists(st.booleans(), min_size=13, max_size=13))
def test_history_only_fights_move_the_others_rows_as_any_and_are_never_labels(
    bouts: list[dict[str, object]], marks: list[bool]
) -> None:
    log = make_log(bouts)
    marked = FightLog(log.fights.assign(history_only=marks[: len(log.fights)]), log.stat_lines, log.fighters)
    every, some = build_matrix(log, decisive_only=False), build_matrix(marked, decisive_only=False)
    pd.testing.assert_frame_equal(some.X, every.X, check_exact=True)
    kept = ~marked.fights["history_only"].to_numpy()
    np.testing.assert_array_equal(some.won, np.where(kept, every.won, -1))
    assert len(build_matrix(marked)) == int((kept & (every.won >= 0)).sum())


@settings(max_examples=12)
@given(bouts=FIGHTS, day=st.integers(1, 9))
def test_serving_gives_the_rows_that_training_sees(bouts: list[dict[str, object]], day: int) -> None:
    first = min(int(str(bout["day"])) for bout in bouts)
    today = START + timedelta(days=7 * max(day, first + 1))
    log = make_log(bouts)
    asked = log.fights[log.fights["date"].dt.date == today]
    names = log.fighters.set_index("fighter_id")["name"]
    served = FighterSnapshot.from_log(log.before(today)).features(
        [
            FightRequest(
                first=FighterRequest(name=names[bout.red_id]),
                second=FighterRequest(name=names[bout.blue_id]),
                date=today,
                weight_class=bout.weight_class,
                scheduled_rounds=3,
                title_bout=False,
            )
            for bout in asked.itertuples()
        ]
    )
    trained: TrainingMatrix = build_matrix(log, decisive_only=False)
    rows = np.flatnonzero(trained.date == np.datetime64(today))
    assert set(served.errors) <= {None}
    expected = trained.X.iloc[rows].reset_index(drop=True)
    # Whether women fight is in the log for men's classes, and for debutants unknown to a request.
    known = expected.columns.drop("women")
    pd.testing.assert_frame_equal(served.X[known], expected[known], check_exact=True)
    np.testing.assert_array_equal(served.experience, trained.experience[rows])
