from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.data.features import build_matrix
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterSnapshot
from engine.data.rated_log import RATING_COLUMNS, rate_log
from engine.ratings.rating_filter import RatedFights, RatingParams, run_rating_filter
from engine.simulation.league import League

FIGHTERS = 12


def _fights(seed: int = 0, n: int = 60) -> RatedFights:
    rng = np.random.default_rng(seed)
    pairs = np.array([rng.permutation(FIGHTERS)[:2] for _ in range(n)])
    score = rng.choice([1.0, 0.5, 0.0, np.nan], n, p=[0.5, 0.05, 0.4, 0.05])
    return RatedFights(
        fighters=pairs,
        day=np.sort(rng.integers(0, 40, n)) * 120,
        x=rng.normal(size=(n, 3)),
        corner=rng.integers(-1, 2, n).astype(float),
        market=np.where(rng.random(n) < 0.7, rng.normal(0.0, 0.8, n), np.nan),
        score=score,
    )


def _swapped(fights: RatedFights, rows: np.ndarray) -> RatedFights:
    sign = np.where(rows, -1.0, 1.0)
    return replace(
        fights,
        fighters=np.where(rows[:, None], fights.fighters[:, ::-1], fights.fighters),
        x=fights.x * sign[:, None],
        corner=fights.corner * sign,
        market=fights.market * sign,
        score=np.where(rows, 1.0 - fights.score, fights.score),
    )


def _dense(fights: RatedFights, p: RatingParams) -> np.ndarray:
    """The filter of the module's docstring in plain matrices: the logit and its variance before each fight."""
    n, k = fights.x.shape
    base = k + 1
    mean = np.zeros(base + FIGHTERS)
    P = np.diag([p.coefficient_variance] * k + [p.corner_variance] + [p.strength_variance] * FIGHTERS)
    last: dict[int, int] = {}
    out = np.empty((n, 2))
    before = fights.day[0]
    for day in np.unique(fights.day):
        rows = np.flatnonzero(fights.day == day)
        P[:k, :k] += np.eye(k) * p.coefficient_drift * (day - before) / 365.25
        before = day
        for f in dict.fromkeys(fights.fighters[rows].ravel().tolist()):
            if f in last:
                years = (day - last[f]) / 365.25
                scale = np.ones(len(mean))
                scale[base + f] = np.exp(-p.fade * years)
                mean, P = mean * scale, P * np.outer(scale, scale)
                P[base + f, base + f] += p.strength_drift * years
            last[f] = day
        H = np.zeros((len(rows), len(mean)))
        H[:, :k], H[:, k] = fights.x[rows], fights.corner[rows]
        H[np.arange(len(rows)), base + fights.fighters[rows, 0]] += 1.0
        H[np.arange(len(rows)), base + fights.fighters[rows, 1]] -= 1.0
        out[rows, 0] = H @ mean - H[:, k] * mean[k]
        out[rows, 1] = np.diag(H @ P @ H.T)
        priced = np.isfinite(fights.market[rows])
        A = H[priced]
        gain = P @ A.T @ np.linalg.inv(A @ P @ A.T + p.market_noise * np.eye(len(A)))
        mean = mean + gain @ (fights.market[rows][priced] - A @ mean)
        P = P - gain @ A @ P
        scored = np.isfinite(fights.score[rows])
        A, y = H[scored], fights.score[rows][scored]
        q = np.where(priced[scored], p.priced_sharpness, p.unpriced_sharpness)
        prior, inverse, z = mean.copy(), np.linalg.inv(P), mean.copy()
        for _ in range(100):  # gradient and curvature of the log posterior in all states
            win = 1.0 / (1.0 + np.exp(-q * (A @ z)))
            slope = A.T @ (q * (y - win)) - inverse @ (z - prior)
            curvature = (A.T * (q**2 * win * (1.0 - win))) @ A + inverse
            z = z + np.linalg.solve(curvature, slope)
        win = 1.0 / (1.0 + np.exp(-q * (A @ z)))
        mean, P = z, np.linalg.inv((A.T * (q**2 * win * (1.0 - win))) @ A + inverse)
    return out


def test_it_is_the_filter_of_its_equations() -> None:
    params = RatingParams(max_idle_days=10**6)
    fights = _fights()
    found, _ = run_rating_filter(fights, FIGHTERS, params)
    np.testing.assert_allclose(found, _dense(fights, params), atol=1e-8)


def test_swapping_fighters_turns_the_sign_of_their_forecast_and_changes_no_other_bit() -> None:
    fights = _fights(1)
    rows = np.random.default_rng(2).random(len(fights.day)) < 0.5
    (forecast, ratings), (turned, others) = (
        run_rating_filter(each, FIGHTERS) for each in (fights, _swapped(fights, rows))
    )
    np.testing.assert_array_equal(np.where(rows, -1.0, 1.0) * turned[:, 0], forecast[:, 0])
    np.testing.assert_array_equal(turned[:, 1], forecast[:, 1])
    np.testing.assert_array_equal(others.strength, ratings.strength)
    np.testing.assert_array_equal(others.coefficients, ratings.coefficients)


def test_nothing_of_a_day_moves_a_forecast_of_that_day_or_an_earlier_one() -> None:
    fights = _fights(3)
    day = fights.day[30]
    late = fights.day >= day
    other = replace(
        fights,
        market=np.where(late, 1.0 - 3.0 * fights.market, fights.market),
        score=np.where(late, 1.0 - fights.score, fights.score),
    )
    (before, _), (after, _) = (run_rating_filter(each, FIGHTERS) for each in (fights, other))
    known = fights.day <= day
    np.testing.assert_array_equal(before[known], after[known])
    assert np.any(before[~known, 0] != after[~known, 0])


def test_a_fighter_who_was_idle_for_long_returns_with_his_strength_alone() -> None:
    fights = RatedFights(
        fighters=np.array([[0, 1], [2, 3], [0, 2]]),
        day=np.array([0, 3000, 3001]),
        x=np.zeros((3, 1)),
        corner=np.zeros(3),
        market=np.array([2.0, np.nan, np.nan]),
        score=np.array([1.0, np.nan, np.nan]),
    )
    forecast, ratings = run_rating_filter(fights, 4)
    params = RatingParams()
    after_odds = 2.0 * params.strength_variance / (2.0 * params.strength_variance + params.market_noise)
    assert forecast[2, 0] > 0.0
    assert forecast[2, 0] / np.exp(-params.fade * 3001 / 365.25) > after_odds  # the result has raised it further
    # Without covariances a result between two others moves no strength of fighter 1.
    assert ratings.last_day.tolist() == [3001, 0, 3001, 3000]
    assert ratings.strength[1] < 0.0


def test_a_served_rating_is_the_scored_one_to_the_bit(league: League) -> None:
    log = league.log
    day = log.fights["date"].iloc[-1].date()
    last = (log.fights["date"] == log.fights["date"].iloc[-1]).to_numpy()
    scored = build_matrix(log, decisive_only=False).X[list(RATING_COLUMNS)].to_numpy()[last]
    fights = log.fights[last]
    snapshot = FighterSnapshot.from_log(log.before(day))
    served, _ = snapshot.fight_rows(
        fights[["red_id", "blue_id"]].to_numpy(dtype=np.str_),
        fights["date"].to_numpy(),
        np.zeros((int(last.sum()), 4)),
    )
    np.testing.assert_array_equal(served[list(RATING_COLUMNS)].to_numpy(), scored)


def test_ratings_by_results_know_no_odds(league: League) -> None:
    log = league.log
    prices = log.fights[["blue_decimal_odds", "red_decimal_odds"]].to_numpy()
    fights = log.fights.assign(red_decimal_odds=prices[:, 0], blue_decimal_odds=prices[:, 1])
    other = FightLog(fights, log.stat_lines, log.fighters)
    before, after = rate_log(log).logits, rate_log(other).logits
    np.testing.assert_array_equal(before[:, 1], after[:, 1])
    assert np.any(before[:, 0] != after[:, 0])
