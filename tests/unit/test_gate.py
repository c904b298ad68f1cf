"""The promotion gate, as a table: figures in, verdict out."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.evaluation import Estimate
from ledger.gate import INTERCEPT_TOLERANCE, SLOPE_TOLERANCE, TOLERANCE, decide
from ledger.judgement import JudgedCoverage, JudgedForecast, Paired


def around(value: float, half: float | None = 0.0) -> Estimate:
    if half is None:
        return Estimate(value=value, lower=None, upper=None)
    return Estimate(value=value, lower=value - half, upper=value + half)


NOTHING = around(0.0)
GOOD: dict[str, Any] = {
    "champion": around(0.0, 0.003),
    "base_rate": around(-0.03, 0.01),
    "slope": around(1.0, 0.15),
    "intercept": around(0.0, 0.1),
    0.8: around(0.8, 0.02),
    0.95: around(0.95, 0.01),
}


def codes(**changes: Any) -> list[str]:
    """The reasons against a good challenger of which something is not as good; None for what is not known."""
    return codes_of(GOOD | changes)


def codes_of(figures: dict[Any, Any]) -> list[str]:
    challenger = JudgedForecast(
        forecast="challenger",
        log_loss=NOTHING,
        brier=NOTHING,
        slope=figures["slope"],
        intercept=figures["intercept"],
        coverage=tuple(JudgedCoverage(level=level, inside=figures[level], width=NOTHING) for level in (0.8, 0.95)),
    )
    against = [name for name in ("champion", "base_rate") if figures[name] is not None]
    paired = [Paired(against=name, log_loss=figures[name], brier=NOTHING) for name in against]  # type: ignore[arg-type]
    verdict = decide([challenger], paired)
    assert verdict.promote == (not verdict.reasons)
    assert all(reason.message for reason in verdict.reasons)
    return [reason.code for reason in verdict.reasons]


def test_a_good_challenger_is_promoted() -> None:
    assert codes() == []


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (around(-0.02, 0.005), []),
        (around(0.0, TOLERANCE - 1e-9), []),
        (around(0.002, 0.0029), []),
        (around(0.0, TOLERANCE + 1e-9), ["maybe_worse_than_champion"]),  # too few fights to know
        (around(-0.01, 0.02), ["maybe_worse_than_champion"]),
        (around(0.0, None), ["maybe_worse_than_champion"]),
        (around(TOLERANCE + 1e-9, 0.0), ["worse_than_champion"]),
        (around(0.02, 0.03), ["worse_than_champion"]),
    ],
)
def test_beside_a_champion(difference: Estimate, expected: list[str]) -> None:
    assert codes(champion=difference) == expected
    assert codes(champion=difference, base_rate=around(0.1)) == expected  # then nobody asks what it is worth at all


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (around(-0.03, 0.01), []),
        (around(-0.01, 0.02), ["no_better_than_base_rate"]),
        (around(0.01, 0.001), ["no_better_than_base_rate"]),
        (around(-0.03, None), ["no_better_than_base_rate"]),
    ],
)
def test_without_a_champion(difference: Estimate, expected: list[str]) -> None:
    assert codes(champion=None, base_rate=difference) == expected


@pytest.mark.parametrize(
    ("name", "estimate", "expected"),
    [
        ("slope", around(0.8, 0.15), []),
        ("slope", around(0.8, 0.2 - SLOPE_TOLERANCE - 1e-9), ["uncalibrated_slope"]),
        ("slope", around(1.3, 0.1), ["uncalibrated_slope"]),
        ("slope", around(0.2, None), []),
        ("slope", None, []),
        ("intercept", around(0.2, 0.15), []),
        ("intercept", around(-0.2, 0.2 - INTERCEPT_TOLERANCE - 1e-9), ["uncalibrated_intercept"]),
        ("intercept", around(0.3, 0.1), ["uncalibrated_intercept"]),
        ("intercept", None, []),
    ],
)
def test_calibration(name: str, estimate: Estimate | None, expected: list[str]) -> None:
    assert codes(**{name: estimate}) == expected


@pytest.mark.parametrize(
    ("level", "estimate", "expected"),
    [
        (0.8, around(0.75, 0.031), []),
        (0.8, around(0.75, 0.029), ["intervals_too_narrow"]),
        (0.95, around(0.9, 0.01), ["intervals_too_narrow"]),
        (0.95, around(0.99, 0.001), []),  # too wide costs bets, not money
        (0.95, around(0.5, None), []),
        (0.8, None, []),
    ],
)
def test_intervals(level: float, estimate: Estimate | None, expected: list[str]) -> None:
    assert codes_of({**GOOD, level: estimate}) == expected


def test_every_reason_is_given() -> None:
    bad = {
        "champion": around(0.05),
        "slope": around(0.5),
        "intercept": around(0.5),
        0.8: around(0.5),
        0.95: around(0.5),
    }
    assert codes_of({**GOOD, **bad}) == [
        "worse_than_champion",
        "uncalibrated_slope",
        "uncalibrated_intercept",
        "intervals_too_narrow",
        "intervals_too_narrow",
    ]
