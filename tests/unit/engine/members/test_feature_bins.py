from __future__ import annotations

import numpy as np
import pytest

from engine.members.feature_bins import BinEdges


@pytest.mark.parametrize("most", [254, 1000])
@pytest.mark.parametrize("rows", [1, 8, 127, 128, 129, 400])
def test_a_code_is_how_many_cuts_are_at_most_the_value(most: int, rows: int) -> None:
    """However many cuts a column has, whether values are missing, between cuts, or on one."""
    rng = np.random.default_rng(rows)
    counts = [0, 1, 2, 33, 254, *(() if most == 254 else (256, 257, most))]
    cuts = [np.sort(rng.normal(size=count).astype(np.float32)) for count in counts]
    table = BinEdges(np.concatenate(cuts), np.cumsum([0, *counts]))
    X = rng.normal(size=(rows, len(counts)))
    for column, those in enumerate(cuts):
        if len(those):
            on = rng.random(rows) < 0.3
            X[on, column] = rng.choice(those, on.sum())
    X[rng.random(X.shape) < 0.1] = np.nan
    codes = table.encode(X)
    assert codes.dtype == (np.uint8 if most == 254 else np.uint16)
    for column, those in enumerate(cuts):
        known = ~np.isnan(X[:, column])
        expected = np.searchsorted(those, X[:, column].astype(np.float32), side="right")
        low, high = codes[:rows, column + len(counts)], codes[:rows, column]
        np.testing.assert_array_equal(low, np.where(known, expected, 0))
        np.testing.assert_array_equal(high, np.where(known, expected, table.missing_code))
