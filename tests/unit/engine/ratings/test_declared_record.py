from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, logit

from engine.data.features import build_matrix
from engine.data.fight_log import FightLog
from engine.data.fight_log_tables import DECLARED_COUNTS
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest
from engine.data.rated_log import RATING_COLUMNS
from engine.errors import AmbiguousFighterError
from engine.ratings.declared_record import DeclaredRecordParams, declared_prior
from engine.ratings.rating_filter import RatingParams
from engine.simulation.league import League, LeagueConfig, simulate_league

VARIANCE = RatingParams().strength_variance
TYPICAL = DeclaredRecordParams().typical_share
DECLARED_COLUMNS = (*DECLARED_COUNTS, "declared_last_bout")
DECLARED = ["declared_wins", "declared_losses", "declared_draws", "declared_last_bout"]


def prior(*record: float, idle_years: float = np.nan) -> tuple[float, float]:
    mean, variance = declared_prior(np.array([record], dtype=np.float64), np.array([idle_years]))
    return float(mean[0]), float(variance[0])


@pytest.mark.parametrize("record", [(np.nan, np.nan, np.nan), (np.nan, np.nan, 0.0), (0.0, 0.0, 0.0)])
def test_a_fighter_without_earlier_bouts_has_the_prior_of_the_filter(record: tuple[float, ...]) -> None:
    assert prior(*record) == (0.0, VARIANCE)


@pytest.mark.parametrize("record", [(14, 1, 0), (3, 0, 0), (6, 6, 2), (1, 9, 0), (30, 8, 0), (200, 0, 0), (0, 200, 0)])
def test_the_posterior_is_the_mode_of_the_documented_density(record: tuple[float, float, float]) -> None:
    wins, _, draws = record
    bouts, level = sum(record), float(logit(TYPICAL))
    weight, share = min(0.5 * bouts, 4.0), (wins + draws / 2) / bouts

    def minus_log_density(theta: float) -> float:
        return theta**2 / (2 * VARIANCE) - weight * float(
            share * log_expit(theta + level) + (1 - share) * log_expit(-theta - level)
        )

    mode = float(minimize_scalar(minus_log_density, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9}).x)
    p = float(expit(mode + level))
    assert prior(*record) == pytest.approx((mode, 1 / (1 / VARIANCE + weight * p * (1 - p))), abs=1e-6)


def test_a_typical_record_moves_no_mean_and_better_ones_move_it_up() -> None:
    mean, variance = prior(17, 3, 0)
    assert mean == pytest.approx(0.0, abs=1e-12)
    assert variance < VARIANCE
    means = [prior(wins, 12 - wins, 0)[0] for wins in range(13)]
    assert means == sorted(means)
    assert means[0] < 0 < means[-1]


def test_the_guide_s_examples() -> None:
    shown = [round(100 * float(expit(prior(*record, 0)[0]))) for record in ((14, 0), (14, 1), (5, 5))]
    assert shown == [56, 53, 37]


def test_no_record_says_more_than_a_few_bouts_and_an_old_one_says_less() -> None:
    assert prior(200, 0, 0) == prior(8, 0, 0)
    least = 1 / (1 / VARIANCE + 4.0 / 4)
    for record in ((200, 0, 0), (100, 100, 0), (0, 200, 0), (8, 8, 0)):
        mean, variance = prior(*record)
        assert abs(mean) < 1.5
        assert least <= variance < VARIANCE
    means = [prior(14, 0, 0, idle_years=years)[0] for years in (0.0, 1.0, 5.0, 100.0)]
    assert means == sorted(means, reverse=True)
    assert prior(14, 0, 0, idle_years=100.0) == pytest.approx((0.0, VARIANCE), abs=1e-3)
    assert prior(14, 0, 0, idle_years=-3.0) == prior(14, 0, 0) == prior(14, 0, 0, idle_years=0.0)


@pytest.fixture(scope="module")
def declared() -> League:
    return simulate_league(LeagueConfig(fights=450, seed=11, debut_win_share=TYPICAL))


def with_record(league: League, position: int, wins: int, losses: int) -> FightLog:
    people = league.log.fighters.copy()
    values = dict.fromkeys(DECLARED_COLUMNS) | {"declared_wins": wins, "declared_losses": losses}
    for column, value in values.items():
        people.loc[position, column] = value
    return FightLog(league.log.fights, league.log.stat_lines, people)


@pytest.mark.slow
def test_a_record_in_the_log_moves_the_ratings_from_the_debut_on(declared: League) -> None:
    without = build_matrix(
        FightLog(declared.log.fights, declared.log.stat_lines, declared.log.fighters[_plain(declared)])
    )
    matrix = build_matrix(declared.log)
    others = matrix.X.columns.difference([*RATING_COLUMNS])
    pd.testing.assert_frame_equal(matrix.X[others], without.X[others], check_exact=True)
    debut = matrix.experience == 0
    for column in RATING_COLUMNS:
        moved = matrix.X[column] != without.X[column]
        assert moved[debut].mean() > 0.9
    fighter = 5
    better = build_matrix(with_record(declared, fighter, 20, 0))
    worse = build_matrix(with_record(declared, fighter, 0, 20))
    id_ = declared.log.fighters["fighter_id"][fighter]
    fights = declared.log.fights[declared.log.is_label].reset_index(drop=True)
    first = fights.index[(fights["red_id"] == id_) | (fights["blue_id"] == id_)][0]
    sign = 1.0 if fights["red_id"][first] == id_ else -1.0
    assert sign * (better.X["diff_rating"] - worse.X["diff_rating"])[first] > 0.3
    pd.testing.assert_frame_equal(better.X[: int(first)], worse.X[: int(first)], check_exact=True)


def _plain(league: League) -> list[str]:
    return [str(name) for name in league.log.fighters if name not in DECLARED_COLUMNS]


@pytest.mark.slow
def test_a_debutant_of_a_request_is_rated_as_one_of_the_log_and_a_swap_is_exact(declared: League) -> None:
    debuts = build_matrix(declared.log, decisive_only=False)
    cutoff = debuts.date[np.flatnonzero((debuts.experience == 0) & (np.arange(450) > 300))[0]].astype(date)
    later = declared.log.fights[declared.log.fights["date"] >= pd.Timestamp(cutoff)]
    past = declared.log.before(cutoff)
    known = {*past.fights["red_id"], *past.fights["blue_id"]}
    people = declared.log.fighters.set_index("fighter_id")
    snapshot = FighterSnapshot.from_log(
        FightLog(past.fights, past.stat_lines, past.fighters[past.fighters["fighter_id"].isin(known)])
    )

    def fighter(id_: str) -> FighterRequest:
        row: dict[Any, Any] = people.loc[id_].to_dict()
        born, reach = row["date_of_birth"], row["reach_cm"]
        if id_ in known:
            return FighterRequest(name=row["name"])
        wins, losses, draws, last = (row[column] for column in DECLARED)
        return FighterRequest(
            name=row["name"],
            debut=True,
            date_of_birth=None if pd.isna(born) else born.date(),
            height_cm=row["height_cm"],
            reach_cm=None if pd.isna(reach) else reach,
            stance=row["stance"],
            record=(int(wins), int(losses), int(draws), last.date()),
        )

    card = later[later["date"] == later["date"].iloc[0]]
    requests = [
        FightRequest(first=fighter(bout.red_id), second=fighter(bout.blue_id), date=bout.date.date())
        for bout in card.itertuples()
    ]
    new = [not {bout.red_id, bout.blue_id} <= known for bout in card.itertuples()]
    assert any(new)
    rows = snapshot.features(requests)
    assert rows.errors == (None,) * len(card)
    assert ["declared_record" in flags for flags in rows.flags] == new
    every = build_matrix(declared.log, decisive_only=False)
    trained = every.X[every.date == np.datetime64(card["date"].iloc[0])].reset_index(drop=True)
    for column in RATING_COLUMNS:
        np.testing.assert_array_equal(rows.X[column], trained[column])
    swapped = snapshot.features([FightRequest(first=one.second, second=one.first, date=one.date) for one in requests])
    np.testing.assert_array_equal(swapped.X[[*RATING_COLUMNS]], -rows.X[[*RATING_COLUMNS]])
    again = FighterSnapshot.from_arrays(FighterSnapshot.from_log(declared.log).to_arrays())
    assert again.records is not None


def test_the_record_of_the_log_stands_and_a_veteran_has_none(declared: League) -> None:
    id_, name = "newcomer", "New Comer"
    table = declared.log.fighters
    row = table.iloc[[0]].assign(
        fighter_id=id_, name=name, declared_wins=9, declared_losses=0, declared_last_bout=pd.Timestamp("2020-01-01")
    )
    log = FightLog(declared.log.fights, declared.log.stat_lines, pd.concat([table, row], ignore_index=True))
    snapshot = FighterSnapshot.from_arrays(FighterSnapshot.from_log(log).to_arrays())
    other = FighterRequest(name=str(table["name"][0]))
    day = log.data_cutoff + timedelta(days=30)

    def rating(record: tuple[int, int, int, date | None] | None, debutant: str = name) -> float:
        request = FightRequest(first=FighterRequest(name=debutant, debut=True, record=record), second=other, date=day)
        rows = snapshot.features([request])
        if rows.errors[0] is not None:
            raise rows.errors[0]
        return float(rows.X["diff_rating"].iloc[0])

    assert rating(None) == rating((0, 9, 0, None))
    assert (
        rating((9, 0, 0, None), "Stranger One") > rating(None, "Stranger One") > rating((0, 9, 0, None), "Stranger One")
    )
    with pytest.raises(AmbiguousFighterError, match="declared a debutant"):
        rating((9, 0, 0, None), str(table["name"][1]))


def test_a_league_without_declared_records_keeps_its_bits(declared: League) -> None:
    plain = simulate_league(LeagueConfig(fights=450, seed=11))
    pd.testing.assert_frame_equal(plain.log.fights, declared.log.fights)
    pd.testing.assert_frame_equal(plain.log.fighters[_plain(plain)], declared.log.fighters[_plain(plain)])
    assert plain.truth == declared.truth
    assert plain.upcoming == declared.upcoming
    assert plain.log.fighters["declared_wins"].isna().all()
    assert FighterSnapshot.from_log(plain.log).records is None
