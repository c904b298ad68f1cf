"""The promotion gate: may a challenger replace the champion? A pure function of the figures of a comparison.

The incumbents are the champion and, if it is another model, the anchor (`ledger.models.promotions`). A challenger is
refused

- with incumbents: if its log loss may be higher by more than `LOG_LOSS_TOLERANCE`, that is, if the one-sided bound of
the difference at the error of this try is above it (a test of non-inferiority); - without incumbents: if it is not
shown to beat the base rate, by the same bound; - if the interval of its calibration slope lies wholly outside 1 -+
`SLOPE_TOLERANCE`, or that of the intercept with known corners outside 0 -+ `INTERCEPT_TOLERANCE`, and it is further off
than each incumbent by more than that; - if it gives no intervals, unless the incumbents give none either; - if the
interval of its coverage lies wholly below the level less `COVERAGE_TOLERANCE`, and an incumbent's coverage is higher by
more than that; - if its intervals are wider than an incumbent's by more than `WIDTH_TOLERANCE`, unless their coverage
is known to be at most the level plus `COVERAGE_TOLERANCE`. Without incumbents' intervals: if they are wider than
`MAX_WIDTH`.

A challenger that is off, and no more so than the incumbents, passes with a remark: refusing it would keep a model that
is as far off. Missing figures (no odds, fewer than 10 events) are no reason, except for the log loss. All reasons are
given, not only the first. docs/decisions.md explains the tolerances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ledger.contracts.job_reports.backtest_report import Estimate
from ledger.contracts.job_reports.judgement_report import (
    EvaluatedCoverage,
    EvaluatedForecast,
    GateReason,
    GateReasonCode,
    PairedDifference,
    PromotionVerdict,
)

LOG_LOSS_TOLERANCE = 0.005
TOTAL_ERROR = 0.025
"""Probability that any of the tries for one champion's place accepts a challenger that is worse by more than the
tolerance.
"""
SLOPE_TOLERANCE = 0.1
INTERCEPT_TOLERANCE = 0.1
COVERAGE_TOLERANCE = 0.02
WIDTH_TOLERANCE = 0.1
MAX_WIDTH = {0.8: 0.5, 0.95: 0.7}
"""About the range that contains this share of all closing odds: such an interval is uninformative."""
INCUMBENTS = ("champion", "anchor")
_WORSE: dict[str, tuple[GateReasonCode, GateReasonCode]] = {
    "champion": ("worse_than_champion", "maybe_worse_than_champion"),
    "anchor": ("worse_than_anchor", "maybe_worse_than_anchor"),
}


class FailedCriterion(NamedTuple):
    """A reason, or a remark if the incumbents are as far off."""

    reason: GateReason
    excused: bool


def error_for_try(tries: int) -> float:
    """Return the error probability of a try, the first being 1; over all tries it sums to TOTAL_ERROR."""
    return TOTAL_ERROR / (tries * (tries + 1))


def decide_promotion(
    forecasts: Sequence[EvaluatedForecast],
    paired: Sequence[PairedDifference],
    corner_known: Sequence[EvaluatedForecast] = (),
) -> PromotionVerdict:
    """Return the verdict on the forecast `challenger`. Raises LookupError if that is not among the forecasts."""
    challenger, incumbents = _roles(forecasts)
    faults = [
        *_log_loss({each.against: each for each in paired}),
        *_slope(challenger, incumbents),
        *_intervals(challenger, incumbents),
    ]
    if corner_known:
        faults += _intercept(*_roles(corner_known))
    reasons, remarks = (tuple(each.reason for each in faults if each.excused == excused) for excused in (False, True))
    return PromotionVerdict(promote=not reasons, reasons=reasons, remarks=remarks)


def _roles(forecasts: Sequence[EvaluatedForecast]) -> tuple[EvaluatedForecast, dict[str, EvaluatedForecast]]:
    named = {each.forecast: each for each in forecasts}
    return named["challenger"], {role: each for role, each in named.items() if role in INCUMBENTS}


def _fault(code: GateReasonCode, message: str, *, excused: bool = False) -> FailedCriterion:
    return FailedCriterion(GateReason(code=code, message=message), excused)


def _log_loss(differences: dict[str, PairedDifference]) -> Iterator[FailedCriterion]:
    for role, (worse, maybe) in _WORSE.items():
        if (difference := differences.get(role)) is None:
            continue
        text = f"its log loss is {_signed(difference.log_loss)} against the {role}'s"
        if difference.log_loss.value > LOG_LOSS_TOLERANCE:
            yield _fault(worse, f"{text}, at most {LOG_LOSS_TOLERANCE:+g} may be")
        elif difference.most is None:
            yield _fault(maybe, f"{text}, on too few events to know how much worse it may be: judge it on more fights")
        elif difference.most > LOG_LOSS_TOLERANCE:
            yield _fault(
                maybe,
                f"{text}: with the error that is left to this try it may be worse by up to {difference.most:.4f}, "
                f"and {LOG_LOSS_TOLERANCE:g} is allowed; judge it on more fights",
            )
    rate = differences.get("base_rate")
    if not differences.keys() & _WORSE.keys() and rate is not None and (rate.most is None or rate.most > 0.0):
        yield _fault(
            "no_better_than_base_rate",
            f"its log loss is {_signed(rate.log_loss)} against that of the base rate: it is not shown to know anything",
        )


def _slope(challenger: EvaluatedForecast, incumbents: dict[str, EvaluatedForecast]) -> Iterator[FailedCriterion]:
    slope = challenger.slope
    if slope is not None and _outside(slope, 1.0, SLOPE_TOLERANCE):
        text = "too sure of itself" if slope.value < 1.0 else "too timid"
        others = {role: each.slope for role, each in incumbents.items() if each.slope is not None}
        yield _off("uncalibrated_slope", f"it is {text}: calibration slope", slope, others, 1.0, SLOPE_TOLERANCE)


def _intercept(challenger: EvaluatedForecast, incumbents: dict[str, EvaluatedForecast]) -> Iterator[FailedCriterion]:
    intercept = challenger.intercept
    if intercept is not None and _outside(intercept, 0.0, INTERCEPT_TOLERANCE):
        others = {role: each.intercept for role, each in incumbents.items() if each.intercept is not None}
        text = "with known corners it leans to one side: calibration intercept"
        yield _off("uncalibrated_intercept", text, intercept, others, 0.0, INTERCEPT_TOLERANCE)


def _off(
    code: GateReasonCode, text: str, found: Estimate, others: dict[str, Estimate], ideal: float, tolerance: float
) -> FailedCriterion:
    """Compare a coefficient outside its tolerance with the incumbents': excused if it is not further off."""
    sign = 1.0 if found.value > ideal else -1.0
    distance = sign * (found.value - ideal)
    excused = bool(others) and all(distance <= sign * (other.value - ideal) + tolerance for other in others.values())
    message = f"{text} {_plain(found)}"
    for role, other in others.items():
        message += f", the {role}'s {_plain(other)}"
    if excused:
        message += ": allowed, because it is no further off"
    elif others:
        message += f": it may be further off by {tolerance:g} at most"
    return _fault(code, message, excused=excused)


def _intervals(challenger: EvaluatedForecast, incumbents: dict[str, EvaluatedForecast]) -> Iterator[FailedCriterion]:
    given = {role: {each.level: each for each in one.coverage} for role, one in incumbents.items() if one.coverage}
    if not challenger.coverage and (given or not incumbents):
        yield _fault("no_intervals", "it gives no intervals, so that every fight would be abstained from")
    for each in challenger.coverage:
        others = {role: levels[each.level] for role, levels in given.items() if each.level in levels}
        yield from _too_narrow(each, others)
        yield from _too_wide(each, others)


def _too_narrow(found: EvaluatedCoverage, others: dict[str, EvaluatedCoverage]) -> Iterator[FailedCriterion]:
    inside = found.inside
    if inside is None or inside.upper is None or inside.upper >= found.level - COVERAGE_TOLERANCE:
        return
    held = {role: each.inside for role, each in others.items() if each.inside is not None}
    excused = bool(held) and all(inside.value >= each.value - COVERAGE_TOLERANCE for each in held.values())
    message = f"{_share(inside)} of the closing odds lay inside its {found.level:.0%} intervals"
    for role, each in held.items():
        message += f", inside the {role}'s {_share(each)}"
    if excused:
        message += ": allowed, because they hold no fewer"
    yield _fault("intervals_too_narrow", message, excused=excused)


def _too_wide(found: EvaluatedCoverage, others: dict[str, EvaluatedCoverage]) -> Iterator[FailedCriterion]:
    width, inside = found.width.value, found.inside
    text = f"its {found.level:.0%} intervals are {width:.3f} wide"
    held = "" if inside is None else f" and hold {_share(inside)} of the closing odds"
    if not others:
        most = MAX_WIDTH.get(found.level, 1.0)
        if width > most:
            yield _fault("intervals_too_wide", f"{text}{held}: beyond {most:g} they say nothing of a fight")
        return
    role, least = min(((role, each.width.value) for role, each in others.items()), key=lambda one: one[1])
    honest = inside is not None and inside.value <= found.level + COVERAGE_TOLERANCE
    if width > (1.0 + WIDTH_TOLERANCE) * least and not honest:
        yield _fault(
            "intervals_too_wide",
            f"{text}{held}, the {role}'s {least:.3f}: more than {WIDTH_TOLERANCE:.0%} wider is allowed only if they "
            f"hold at most {found.level + COVERAGE_TOLERANCE:.0%}",
        )


def _outside(estimate: Estimate, ideal: float, tolerance: float) -> bool:
    if estimate.lower is None or estimate.upper is None:
        return False
    return estimate.lower > ideal + tolerance or estimate.upper < ideal - tolerance


def _signed(estimate: Estimate) -> str:
    return f"{estimate.value:+.4f}{_ends(estimate, '+.4f')}"


def _plain(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}{_ends(estimate, '.3f')}"


def _share(estimate: Estimate) -> str:
    return f"{estimate.value:.1%}{_ends(estimate, '.1%')}"


def _ends(estimate: Estimate, form: str) -> str:
    if estimate.lower is None or estimate.upper is None:
        return ""
    return f" [{estimate.lower:{form}}, {estimate.upper:{form}}]"
