from __future__ import annotations

import math

import numpy as np
import pytest

from engine.errors import ValidationError
from engine.market.closing_line import closing_line_value
from engine.market.devigging import devig


@pytest.mark.parametrize(
    ("price", "closing", "edge"),
    [(2.0, 0.5, 0.0), (2.2, 0.5, 0.1), (1.8, 0.5, -0.1), (5.0, 0.25, 0.25), (1.25, 0.72, -0.1)],
)
def test_a_price_is_held_against_the_fair_close(price: float, closing: float, edge: float) -> None:
    value = closing_line_value(price, closing)
    assert value.edge == pytest.approx(edge)
    assert value.log_ratio == pytest.approx(math.log1p(edge))


def test_the_closing_price_itself_loses_the_margin() -> None:
    closing = np.array([[1.50, 2.70], [1.91, 1.91], [1.08, 9.00]])
    value = closing_line_value(closing, devig(closing))
    assert np.all(value.edge < 0.0)
    assert np.all(value.log_ratio < 0.0)
    overround = (1.0 / closing).sum(axis=1)
    assert value.edge[1] == pytest.approx(1.0 / overround[1] - 1.0)


def test_no_price_or_no_close_is_no_value() -> None:
    value = closing_line_value([2.0, np.nan, 2.0], [0.6, 0.6, np.nan])
    assert np.isnan(value.edge).tolist() == np.isnan(value.log_ratio).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("price", "closing", "message"),
    [(1.0, 0.5, "above 1"), (math.inf, 0.5, "finite"), (2.0, 0.0, r"in \(0, 1\)"), (2.0, 1.0, r"in \(0, 1\)")],
)
def test_what_cannot_be_is_refused(price: float, closing: float, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        closing_line_value(price, closing)
