"""A chaos run as a table for people, and the same as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

from tests.chaos.checker import Verdict, ending
from tests.chaos.faults import Fault
from tests.chaos.jobs import SUCCEEDED
from tests.chaos.run import Blow, Course, Plan

SHOWN = 10
COUNTS = ("lost", "duplicated", "unexpected", "hanging")


def summary(plan: Plan, course: Course, verdict: Verdict) -> dict[str, Any]:
    """Return the figures of a run as JSON values."""
    evidence = course.evidence
    endings = Counter(ending(outcome) for outcome in evidence.outcomes.values() if outcome is not None)
    begun = evidence.attempts_begun
    return {
        "seed": plan.seed,
        "submitted": len(evidence.accepted),
        "succeeded": endings.pop(SUCCEEDED, 0),
        "failed": dict(sorted(endings.items())),
        **{count: len(getattr(verdict, count)) for count in COUNTS},
        "refused_for_their_deadline": course.refused,
        "redeliveries": begun.total() - len(begun),
        "delivered": len(set(evidence.posted or ())),
        "delivered_again": len(evidence.posted or ()) - len(set(evidence.posted or ())),
        "pool_exits": {str(code): count for code, count in sorted(course.exits.items())},
        "trainings": sum(task.training is not None for task in evidence.accepted.values()),
        "parts": len(evidence.parts),
        "parts_again": sum(part.attempt - 1 for part in evidence.parts),
        "took_seconds": round(course.took_seconds, 1),
        "jobs_per_second": round(len(evidence.accepted) / course.took_seconds, 1),
        "faults": {fault.value: _times(course.blows, fault) for fault in Fault if fault not in course.left_out},
        "findings": [finding for count in COUNTS for finding in getattr(verdict, count)] + course.oddities,
    }


def _times(blows: list[Blow], fault: Fault) -> dict[str, Any]:
    """Return how often a fault was dealt, how long it lasted, and how long until all that it hit was answered.

    The last counts only where it was dealt alone: the jobs of a pair cannot be told apart.
    """
    dealt = [blow for blow in blows if blow.fault is fault]
    lasted = [blow.healed_seconds - blow.struck_seconds for blow in dealt]
    answered = [
        blow.answered_seconds - blow.struck_seconds
        for blow in dealt
        if blow.alone and blow.answered_seconds is not None
    ]
    return {
        "times": len(dealt),
        "lasted_seconds_median": _rounded(median(lasted)),
        "answered_seconds_median": _rounded(median(answered)) if answered else None,
        "answered_seconds_max": _rounded(max(answered)) if answered else None,
    }


def _rounded(seconds: float) -> float:
    return round(seconds, 1)


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """Write the figures as plain lines."""
    for name in ("submitted", "succeeded"):
        yield f"{name:<28}{figures[name]:>8,}"
    for code, count in figures["failed"].items():
        yield f"{'failed: ' + code:<28}{count:>8,}"
    for name in (*COUNTS, "redeliveries"):
        yield f"{name:<28}{figures[name]:>8,}"
    for name in ("trainings", "parts"):
        yield f"{name:<28}{figures[name]:>8,}"
    for name in ("delivered", "delivered_again"):
        yield f"{'webhook: ' + name.replace('_', ' '):<28}{figures[name]:>8,}"
    yield f"{'parts begun again':<28}{figures['parts_again']:>8,}"
    for code, count in figures["pool_exits"].items():
        yield f"{'pools that ended with ' + code:<28}{count:>8,}"
    yield f"{'seconds':<28}{figures['took_seconds']:>8,}"
    yield f"{'jobs a second':<28}{figures['jobs_per_second']:>8,}"
    yield ""
    yield f"{'fault':<52}{'times':>6}{'lasts s':>10}{'answered s: median':>20}{'max':>8}"
    for fault, times in figures["faults"].items():
        lasted, middle, most = ("-" if value is None else value for value in list(times.values())[1:])
        yield f"{fault:<52}{times['times']:>6}{lasted:>10}{middle:>20}{most:>8}"
    findings = figures["findings"]
    for finding in findings[:SHOWN]:
        yield f"FOUND {finding}"
    if len(findings) > SHOWN:
        yield f"FOUND {len(findings) - SHOWN:,} more: see --json"
