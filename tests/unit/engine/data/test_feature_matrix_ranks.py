from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from engine.data.feature_matrix_columns import _ranks


@pytest.mark.parametrize("different", [1, 2, 7, 500, 10**9])
def test_ranks_have_the_bits_of_scipy_s(different: int) -> None:
    rng = np.random.default_rng(different)
    values = np.concatenate([rng.integers(0, different, 1_001) / 7.0, [-0.0, 0.0, 0.0]])
    assert _ranks(values).tobytes() == rankdata(values).tobytes()
