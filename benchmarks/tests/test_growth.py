from __future__ import annotations

import pytest

from benchmarks.growth.__main__ import main
from benchmarks.growth.steps import Step, exponents, table

STEPS = [Step(10, {"ms": 5.0, "MB": 1.0}), Step(100, {"ms": 50.0, "MB": 1.0}), Step(1_000, {"ms": 5_000.0, "MB": 2.0})]


def test_an_exponent_says_how_a_cost_grows_with_the_size() -> None:
    assert exponents(STEPS, "ms") == pytest.approx([1.0, 2.0])
    assert exponents(STEPS, "MB") == pytest.approx([0.0, 0.30103])


def test_a_step_that_grows_faster_than_the_size_is_bold() -> None:
    *_, second, third = table("jobs", STEPS).splitlines()
    assert second == "| 100 | 50 | 1.00 | 1 | 0.00 |"
    assert third == "| 1,000 | 5,000 | **2.00** | 2 | 0.30 |"


def test_what_cannot_be_measured_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["followers", "weight"])
    assert "'weight' is none of followers, waits, predictions" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("what", ["waits", "predictions"])
def test_the_smallest_sizes_are_measured(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([what, "--at-most", "10"])
    assert "| 1 |" in capsys.readouterr().out
