"""The promotion gate, as a table: figures in, verdict out."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.judgement_report import (
    EvaluatedCoverage,
    EvaluatedForecast,
    PairedDifference,
    PromotionVerdict,
)
from ledger.models.promotion_gate import (
    COVERAGE_TOLERANCE,
    INTERCEPT_TOLERANCE,
    LOG_LOSS_TOLERANCE,
    MAX_WIDTH,
    SLOPE_TOLERANCE,
    TOTAL_ERROR,
    WIDTH_TOLERANCE,
    decide_promotion,
    error_for_try,
)


def around(value: float, half: float | None = 0.0) -> Estimate:
    if half is None:
        return Estimate(value=value, lower=None, upper=None)
    return Estimate(value=value, lower=value - half, upper=value + half)


NOTHING = around(0.0)
LEVELS = (0.8, 0.95)
GOOD: dict[str, Any] = {
    "slope": around(1.0, 0.15),
    "intercept": around(0.0, 0.1),
    "inside": {0.8: around(0.8, 0.02), 0.95: around(0.95, 0.01)},
    "width": {0.8: 0.4, 0.95: 0.57},
}


def forecast(role: str, figures: dict[str, Any]) -> EvaluatedForecast:
    return EvaluatedForecast(
        forecast=role,  # type: ignore[arg-type]
        log_loss=NOTHING,
        brier=NOTHING,
        slope=figures["slope"],
        intercept=figures["intercept"],
        coverage=tuple(
            EvaluatedCoverage(level=level, inside=figures["inside"].get(level), width=around(width))
            for level, width in figures["width"].items()
        ),
    )


def paired(role: str, difference: Estimate, most: float | None = None) -> PairedDifference:
    bound = difference.upper if most is None else most
    return PairedDifference(against=role, log_loss=difference, brier=NOTHING, most=bound)  # type: ignore[arg-type]


def verdict(differences: list[PairedDifference], **figures: dict[str, Any]) -> PromotionVerdict:
    """Decide about a good challenger, and good incumbents, that are changed as said."""
    roles = ["challenger", *(each.against for each in differences if each.against != "base_rate")]
    forecasts = [forecast(role, GOOD | figures.get(role, {})) for role in roles]
    found = decide_promotion(forecasts, differences, forecasts)
    assert found.promote == (not found.reasons)
    assert all(reason.message for reason in (*found.reasons, *found.remarks))
    return found


def codes(*differences: PairedDifference, **figures: dict[str, Any]) -> list[str]:
    beside = list(differences) or [paired("champion", around(0.0, 0.003))]
    return [reason.code for reason in verdict(beside, **figures).reasons]


def test_a_good_challenger_is_promoted() -> None:
    assert codes() == []


@pytest.mark.parametrize("role", ["champion", "anchor"])
@pytest.mark.parametrize(
    ("difference", "most", "expected"),
    [
        (around(-0.02, 0.005), None, []),
        (around(0.0, LOG_LOSS_TOLERANCE - 1e-9), None, []),
        (around(0.002, 0.0029), None, []),
        (around(0.002, 0.0029), LOG_LOSS_TOLERANCE + 1e-9, ["maybe_worse_than_"]),  # a later try has to be surer
        (around(0.0, LOG_LOSS_TOLERANCE + 1e-9), None, ["maybe_worse_than_"]),  # too few fights to know
        (around(-0.01, 0.02), None, ["maybe_worse_than_"]),
        (around(0.0, None), None, ["maybe_worse_than_"]),
        (around(LOG_LOSS_TOLERANCE + 1e-9, 0.0), None, ["worse_than_"]),
        (around(0.02, 0.03), None, ["worse_than_"]),
    ],
)
def test_beside_the_incumbents(role: str, difference: Estimate, most: float | None, expected: list[str]) -> None:
    good = paired("champion", around(0.0, 0.003))
    found = paired(role, difference, most)
    beside = [found] if role == "champion" else [good, found]
    assert codes(*beside) == [f"{code}{role}" for code in expected]
    # Beside a champion nobody asks what it is worth at all.
    assert codes(*beside, paired("base_rate", around(0.1))) == [f"{code}{role}" for code in expected]


def test_as_good_as_the_champion_is_not_enough_beside_a_better_anchor() -> None:
    anchor = paired("anchor", around(0.004, 0.003))
    assert codes(paired("champion", around(0.0, 0.003)), anchor) == ["maybe_worse_than_anchor"]


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
    assert codes(paired("base_rate", difference)) == expected


def test_the_errors_of_all_tries_add_up_to_what_is_allowed() -> None:
    errors = [error_for_try(tries) for tries in range(1, 5000)]
    assert errors[:2] == [TOTAL_ERROR / 2, TOTAL_ERROR / 6]
    assert sum(errors) < TOTAL_ERROR
    assert sum(errors) == pytest.approx(TOTAL_ERROR, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "estimate", "expected"),
    [
        ("slope", around(0.8, 0.15), []),
        ("slope", around(0.8, 0.2 - SLOPE_TOLERANCE - 1e-9), ["uncalibrated_slope"]),
        ("slope", around(1.3, 0.1), ["uncalibrated_slope"]),
        ("slope", around(0.2, None), []),
        ("slope", None, []),
        ("intercept", around(0.2, 0.15), []),
        ("intercept", around(-0.25, 0.25 - INTERCEPT_TOLERANCE - 1e-9), ["uncalibrated_intercept"]),
        ("intercept", around(0.3, 0.1), ["uncalibrated_intercept"]),
        ("intercept", None, []),
    ],
)
def test_calibration(name: str, estimate: Estimate | None, expected: list[str]) -> None:
    assert codes(challenger={name: estimate}) == expected


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "code"),
    [
        ("slope", around(1.45, 0.2), around(1.47, 0.2), "uncalibrated_slope"),
        ("slope", around(1.45, 0.2), around(1.351, 0.2), "uncalibrated_slope"),
        ("slope", around(0.6, 0.1), around(0.55, 0.1), "uncalibrated_slope"),
        ("intercept", around(-0.3, 0.1), around(-0.25, 0.1), "uncalibrated_intercept"),
    ],
)
def test_a_challenger_that_is_no_further_off_than_the_champion_passes_with_a_remark(
    name: str, ours: Estimate, theirs: Estimate, code: str
) -> None:
    found = verdict([paired("champion", around(0.0, 0.003))], challenger={name: ours}, champion={name: theirs})
    assert found.promote
    assert [remark.code for remark in found.remarks] == [code]
    for estimate in (ours, theirs):
        assert f"{estimate.value:.3f}" in found.remarks[0].message


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "code"),
    [
        ("slope", around(1.45, 0.2), around(1.34, 0.2), "uncalibrated_slope"),  # more timid by more than the tolerance
        ("slope", around(0.6, 0.1), around(1.45, 0.1), "uncalibrated_slope"),  # off to the other side
        ("intercept", around(-0.3, 0.1), around(0.3, 0.1), "uncalibrated_intercept"),
    ],
)
def test_a_challenger_that_is_further_off_than_the_champion_is_told_what_it_owes(
    name: str, ours: Estimate, theirs: Estimate, code: str
) -> None:
    found = verdict([paired("champion", around(0.0, 0.003))], challenger={name: ours}, champion={name: theirs})
    assert [reason.code for reason in found.reasons] == [code]
    assert f"the champion's {theirs.value:.3f}" in found.reasons[0].message
    assert "further off by 0.1 at most" in found.reasons[0].message


def test_timid_champions_do_not_add_up_beside_the_anchor() -> None:
    both = [paired(role, around(0.0, 0.003)) for role in ("champion", "anchor")]
    slopes: dict[str, dict[str, Any]] = {"challenger": {"slope": around(1.5, 0.2)}, "champion": {"slope": around(1.45)}}
    assert codes(*both, **slopes, anchor={"slope": around(1.45)}) == []
    assert codes(*both, **slopes, anchor={"slope": around(1.3)}) == ["uncalibrated_slope"]


@pytest.mark.parametrize(
    ("level", "estimate", "expected"),
    [
        (0.8, around(0.75, 0.031), []),
        (0.8, around(0.75, 0.029), ["intervals_too_narrow"]),
        (0.95, around(0.9, 0.01), ["intervals_too_narrow"]),
        (0.95, around(0.99, 0.001), []),  # holds more than it says, and is no wider than the champion's
        (0.95, around(0.5, None), []),
        (0.8, None, []),
    ],
)
def test_intervals_that_hold_too_little(level: float, estimate: Estimate | None, expected: list[str]) -> None:
    ours: dict[str, Any] = {"inside": {**GOOD["inside"], level: estimate}}
    assert codes(challenger=ours) == expected
    if expected:  # no fewer than the champion's
        same = verdict([paired("champion", around(0.0, 0.003))], challenger=ours, champion=ours)
        assert same.promote
        assert [remark.code for remark in same.remarks] == expected


@pytest.mark.parametrize(
    ("width", "inside", "expected"),
    [
        (0.4 * (1 + WIDTH_TOLERANCE) - 1e-9, 0.99, []),
        (0.4 * (1 + WIDTH_TOLERANCE) + 1e-9, 0.99, ["intervals_too_wide"]),
        (0.4 * (1 + WIDTH_TOLERANCE) + 1e-9, 0.8 + COVERAGE_TOLERANCE - 1e-9, []),  # the width holds what it promises
        (0.9, 1.0, ["intervals_too_wide"]),
        (0.9, None, ["intervals_too_wide"]),  # and without odds nobody knows that it does
    ],
)
def test_intervals_that_are_wider_than_the_champion_s(width: float, inside: float | None, expected: list[str]) -> None:
    share = None if inside is None else around(inside, 0.01)
    ours = {"width": {**GOOD["width"], 0.8: width}, "inside": {**GOOD["inside"], 0.8: share}}
    assert codes(challenger=ours) == expected


def test_without_a_champion_s_intervals_there_is_a_most_that_they_may_be_wide() -> None:
    for level, most in MAX_WIDTH.items():
        wide = {"width": {**GOOD["width"], level: most + 1e-9}}
        assert codes(paired("base_rate", around(-0.03, 0.01)), challenger=wide) == ["intervals_too_wide"]
        assert codes(challenger=wide, champion={"width": {}}) == ["intervals_too_wide"]
    assert codes(challenger={}, champion={"width": {}}) == []


def test_a_model_without_intervals_may_only_follow_one_without() -> None:
    none: dict[str, Any] = {"width": {}}
    assert codes(challenger=none) == ["no_intervals"]
    assert codes(paired("base_rate", around(-0.03, 0.01)), challenger=none) == ["no_intervals"]
    assert codes(challenger=none, champion=none) == []


def test_every_reason_is_given() -> None:
    bad: dict[str, Any] = {
        "slope": around(0.5),
        "intercept": around(0.5),
        "inside": dict.fromkeys(LEVELS, around(0.5)),
    }
    assert codes(paired("champion", around(0.05)), challenger=bad) == [
        "worse_than_champion",
        "uncalibrated_slope",
        "intervals_too_narrow",
        "intervals_too_narrow",
        "uncalibrated_intercept",
    ]
