"""The promotion gate: may a challenger take the champion's place? A pure function of the figures of a judgement.

A challenger is refused

- against a champion: where the upper end of the interval of the difference of log loss lies above `TOLERANCE`: then it
  is worse by more than that, or may be (a test of non-inferiority);
- without a champion: where it is not shown to beat the base rate (upper end of the difference above 0);
- where the interval of its calibration slope lies wholly outside 1 -+ `SLOPE_TOLERANCE`, or that of the intercept
  outside 0 -+ `INTERCEPT_TOLERANCE`;
- where the interval of its coverage lies wholly below the level less `COVERAGE_TOLERANCE`.

What the figures do not say (no odds, fewer than 10 events) is no reason. Every reason is given, not the first alone.
docs/decisions.md says where the tolerances come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ledger.evaluation import Estimate
from ledger.judgement import JudgedForecast, Paired, Reason, Verdict

TOLERANCE = 0.005
SLOPE_TOLERANCE = 0.1
INTERCEPT_TOLERANCE = 0.1
COVERAGE_TOLERANCE = 0.02


def decide(forecasts: Sequence[JudgedForecast], paired: Sequence[Paired]) -> Verdict:
    """Return the verdict on the forecast `challenger`. Raises LookupError where that is not among the forecasts."""
    challenger = {each.forecast: each for each in forecasts}["challenger"]
    differences: dict[str, Estimate] = {each.against: each.log_loss for each in paired}
    reasons = (
        *_beside(differences),
        *_calibration(challenger),
        *_coverage(challenger),
    )
    return Verdict(promote=not reasons, reasons=reasons)


def _beside(differences: dict[str, Estimate]) -> Iterator[Reason]:
    if (difference := differences.get("champion")) is not None:
        if difference.value > TOLERANCE:
            yield Reason(
                code="worse_than_champion",
                message=f"its log loss is {_signed(difference)} against the champion's, at most {TOLERANCE:+g} may be",
            )
        elif difference.upper is None or difference.upper > TOLERANCE:
            yield Reason(
                code="maybe_worse_than_champion",
                message=f"its log loss is {_signed(difference)} against the champion's: it may be worse by more than "
                f"{TOLERANCE:g}, judge it on more fights",
            )
    elif (rate := differences.get("base_rate")) is not None and (rate.upper is None or rate.upper > 0.0):
        yield Reason(
            code="no_better_than_base_rate",
            message=f"its log loss is {_signed(rate)} against that of the base rate: it is not shown to know anything",
        )


def _calibration(challenger: JudgedForecast) -> Iterator[Reason]:
    if (slope := challenger.slope) is not None and _outside(slope, 1.0, SLOPE_TOLERANCE):
        said = "too sure of itself" if slope.value < 1.0 else "too timid"
        yield Reason(
            code="uncalibrated_slope",
            message=f"it is {said}: calibration slope {slope.value:.3f} [{slope.lower:.3f}, {slope.upper:.3f}]",
        )
    if (intercept := challenger.intercept) is not None and _outside(intercept, 0.0, INTERCEPT_TOLERANCE):
        yield Reason(
            code="uncalibrated_intercept",
            message=f"it leans to one side: calibration intercept {_signed(intercept)}",
        )


def _coverage(challenger: JudgedForecast) -> Iterator[Reason]:
    for each in challenger.coverage:
        inside = each.inside
        if inside is not None and inside.upper is not None and inside.upper < each.level - COVERAGE_TOLERANCE:
            yield Reason(
                code="intervals_too_narrow",
                message=f"{inside.value:.1%} [{inside.lower:.1%}, {inside.upper:.1%}] of the closing odds lay inside "
                f"its {each.level:.0%} intervals",
            )


def _outside(estimate: Estimate, ideal: float, tolerance: float) -> bool:
    if estimate.lower is None or estimate.upper is None:
        return False
    return estimate.lower > ideal + tolerance or estimate.upper < ideal - tolerance


def _signed(estimate: Estimate) -> str:
    ends = "" if estimate.lower is None else f" [{estimate.lower:+.4f}, {estimate.upper:+.4f}]"
    return f"{estimate.value:+.4f}{ends}"
