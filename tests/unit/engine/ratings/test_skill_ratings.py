from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.ratings.skill_ratings import SKILLS, SkillObservations, run_skill_ratings

FIGHTERS, K = 8, len(SKILLS)
SKILL = SKILLS["strikes"]


def _observed(seed: int = 0, n: int = 40) -> SkillObservations:
    rng = np.random.default_rng(seed)
    value = rng.gamma(2.0, 1.0, (n, 2, K))
    value[rng.random(value.shape) < 0.2] = np.nan
    return SkillObservations(
        fighters=np.array([rng.permutation(FIGHTERS)[:2] for _ in range(n)]),
        day=np.sort(rng.integers(0, 20, n)) * 90,
        group=rng.integers(0, 3, n),
        value=value,
        weight=rng.uniform(0.0, 3.0, value.shape),
    )


def test_one_observation_is_a_kalman_update_by_hand() -> None:
    value, weight = np.full((2, 2, K), np.nan), np.zeros((2, 2, K))
    value[0, 0, 0], weight[0, 0, 0] = 1.5, 2.0
    observed = SkillObservations(
        np.array([[0, 1], [0, 1]]), np.array([0, 365]), np.zeros(2, dtype=np.int64), value, weight
    )
    before, after = run_skill_ratings(observed, 2)
    spread = SKILL.offence + SKILL.vulnerability + SKILL.noise / 2.0
    np.testing.assert_array_equal(before[0], 0.0)
    np.testing.assert_allclose(before[1, 0, 0], SKILL.offence / spread * 1.5)  # the class mean is still 0
    np.testing.assert_allclose(before[1, 1, K], SKILL.vulnerability / spread * 1.5)
    np.testing.assert_array_equal(after[0], before[1, 0])


def test_a_swap_of_the_sides_swaps_the_ratings_to_the_bit() -> None:
    observed = _observed()
    swapped = replace(
        observed,
        fighters=observed.fighters[:, ::-1],
        value=observed.value[:, ::-1].copy(),
        weight=observed.weight[:, ::-1].copy(),
    )
    (before, after), (turned, others) = (run_skill_ratings(each, FIGHTERS) for each in (observed, swapped))
    np.testing.assert_array_equal(turned[:, ::-1], before)
    np.testing.assert_array_equal(others, after)


def test_what_happens_on_a_day_moves_no_rating_before_a_fight_of_that_day() -> None:
    observed = _observed(1)
    day = observed.day[20]
    late = observed.day >= day
    other = replace(observed, value=np.where(late[:, None, None], 2.0 * observed.value + 1.0, observed.value))
    (before, _), (changed, _) = (run_skill_ratings(each, FIGHTERS) for each in (observed, other))
    np.testing.assert_array_equal(before[observed.day <= day], changed[observed.day <= day])
    assert np.any(before[observed.day > day] != changed[observed.day > day])


def test_no_rating_is_missing() -> None:
    before, after = run_skill_ratings(_observed(2), FIGHTERS)
    assert np.isfinite(before).all()
    assert np.isfinite(after).all()
