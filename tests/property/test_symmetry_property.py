from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.statistics.complements import complement, logit_of, margin_of, probability_of

probabilities = st.floats(0.0, 1.0)


@given(st.lists(st.tuples(probabilities, probabilities), min_size=1, max_size=40))
def test_swapping_sides_gives_exactly_the_complement(pairs: list[tuple[float, float]]) -> None:
    forward, mirrored = np.array(pairs).T
    p = probability_of(1.1 * logit_of(margin_of(forward, mirrored)))
    q = probability_of(1.1 * logit_of(margin_of(mirrored, forward)))
    assert [complement(value) for value in p.tolist()] == q.tolist()
    assert [complement(value) for value in q.tolist()] == p.tolist()
    assert np.all(p + q == 1.0)


@given(st.floats(-20.0, 20.0))
def test_the_grid_is_finer_than_anything_that_is_shown(logit: float) -> None:
    p = float(probability_of(np.array([logit]))[0])
    assert abs(p - 1.0 / (1.0 + np.exp(-logit))) <= 2.0**-40


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=50))
def test_one_value_or_many_have_the_same_bits(logits: list[float]) -> None:
    together = probability_of(np.array(logits))
    assert together.tolist() == [float(probability_of(np.array([value]))[0]) for value in logits]


def test_certainty_stays_finite() -> None:
    assert np.isfinite(logit_of(np.array([0.5, -0.5]))).all()
