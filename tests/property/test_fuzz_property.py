"""A short run of `tests.fuzz`: no mutated file ends as `internal`, hangs, or leaves something half-written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import fuzz


@pytest.mark.parametrize("reader", ["feed", "card", "results", "fight_log", "matrix"])
@settings(max_examples=30)
@given(number=st.integers(0, 10**9))
def test_no_mutated_file_ends_as_internal(reader: str, number: int) -> None:
    said, trace = fuzz.outcome(reader, number)
    assert said != "internal", trace


def test_no_mutated_estimator_ends_as_internal_or_takes_its_process_down() -> None:
    counts, faults = fuzz.run(list(fuzz.cases(25, 7, "joblib")))
    assert sum(counts.values()) == 25
    assert not faults
