from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.statistics.complements import (
    complement,
    logit_on_grid,
    logit_to_probability,
    margin_to_logit,
    mirror_averaged_margin,
)

probabilities = st.floats(0.0, 1.0)


@given(st.lists(st.tuples(probabilities, probabilities), min_size=1, max_size=40))
def test_swapping_sides_gives_exactly_the_complement(pairs: list[tuple[float, float]]) -> None:
    forward, mirrored = np.array(pairs).T
    p = logit_to_probability(1.1 * margin_to_logit(mirror_averaged_margin(forward, mirrored)))
    q = logit_to_probability(1.1 * margin_to_logit(mirror_averaged_margin(mirrored, forward)))
    assert [complement(value) for value in p.tolist()] == q.tolist()
    assert [complement(value) for value in q.tolist()] == p.tolist()
    assert np.all(p + q == 1.0)


@given(st.floats(-20.0, 20.0))
def test_the_grid_is_finer_than_anything_that_is_shown(logit: float) -> None:
    p = float(logit_to_probability(np.array([logit]))[0])
    assert abs(p - 1.0 / (1.0 + np.exp(-logit))) <= 2.0**-40


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=50))
def test_one_value_or_many_have_the_same_bits(logits: list[float]) -> None:
    together = logit_to_probability(np.array(logits))
    assert together.tolist() == [float(logit_to_probability(np.array([value]))[0]) for value in logits]


@given(st.lists(st.floats(-40.0, 40.0), min_size=1, max_size=50))
def test_a_logit_on_the_grid_has_the_same_probability_and_is_odd(logits: list[float]) -> None:
    values = np.array(logits)
    found = logit_on_grid(values)
    np.testing.assert_array_equal(logit_to_probability(found), logit_to_probability(values))
    np.testing.assert_array_equal(found * 2.0**40, np.rint(found * 2.0**40))
    np.testing.assert_array_equal(logit_on_grid(-values), -found)
    assert np.abs(found - values).max() < 2.0**-40


def test_certainty_stays_finite() -> None:
    assert np.isfinite(margin_to_logit(np.array([0.5, -0.5]))).all()
