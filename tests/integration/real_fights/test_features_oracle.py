"""The features of real fights against a table that somebody else's code computed from the same records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.data.features import build_matrix
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest
from engine.data.side_features import BASE_FEATURES
from tests.support.real_fights import DATA, real_log, real_replay

ROUNDING = 6e-5  # the table is rounded to four decimals
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not (DATA / "prefight_features.csv.gz").is_file(), reason=f"no real fights in {DATA}"),
]


@pytest.fixture(scope="module")
def log() -> FightLog:
    return real_log()


def test_every_feature_of_every_fight_is_the_oracle_s(log: FightLog) -> None:
    oracle = pd.read_csv(DATA / "prefight_features.csv.gz").set_index("fight_id")
    X = build_matrix(log, decisive_only=False, keep_gaps=True, rated=real_replay()).X
    assert len(X) == len(oracle) == 7974
    names = [name for name in BASE_FEATURES if f"r_{name}" in oracle]
    assert len(names) == 32
    for name in names:
        for ours, theirs in (("red", "r"), ("blue", "b")):
            expected = oracle.loc[log.fights["fight_id"], f"{theirs}_{name}"].to_numpy(np.float64)
            np.testing.assert_allclose(X[f"{ours}_{name}"], expected, rtol=0, atol=ROUNDING, err_msg=name)


def test_a_real_card_is_served_as_it_would_be_trained_on(log: FightLog) -> None:
    day = log.fights["date"].iloc[-1]
    card = log.fights[log.fights["date"] == day]
    fighters = log.fighters.set_index("fighter_id")
    names, ambiguous = fighters["name"], fighters["ambiguous_name"]
    card = card[~card["red_id"].map(ambiguous) & ~card["blue_id"].map(ambiguous)]
    served = FighterSnapshot.from_log(log.before(day.date())).features(
        [
            FightRequest(
                first=FighterRequest(name=names[bout.red_id]),
                second=FighterRequest(name=names[bout.blue_id]),
                date=day.date(),
                weight_class=bout.weight_class,
                scheduled_rounds=int(bout.scheduled_rounds),
                title_bout=bout.title_bout,
            )
            for bout in card.itertuples()
        ]
    )
    expected = build_matrix(log, decisive_only=False, rated=real_replay()).X.loc[card.index]
    assert served.errors == (None,) * len(card) != ()
    np.testing.assert_array_equal(served.X.to_numpy(), expected.to_numpy())


def test_every_real_fighter_is_found_by_name(log: FightLog) -> None:
    fighters = log.fighters[~log.fighters["ambiguous_name"]]
    snapshot = FighterSnapshot.from_log(log, rated=real_replay())
    day = log.data_cutoff.replace(year=log.data_cutoff.year + 1)
    rows = snapshot.features(
        [
            FightRequest(first=FighterRequest(name=name), second=FighterRequest(name="Nobody", debut=True), date=day)
            for name in fighters["name"]
        ]
    )
    assert [first for first, _ in rows.fighter_ids] == fighters["fighter_id"].tolist()
