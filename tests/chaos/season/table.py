"""A season under faults as a table for people, and the same as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.chaos.season.run import SeasonCourse, SeasonPlan

SHOWN = 20


def summary(plan: SeasonPlan, course: SeasonCourse) -> dict[str, Any]:
    """Return the figures of a season."""
    evidence = course.evidence
    counts = evidence.counts()
    findings = [
        f"{name} {kind}: {sentence}"
        for name, count in counts.items()
        for kind, sentences in (("lost", count.lost), ("doubled", count.doubled), ("wrong", count.wrong))
        for sentence in sentences
    ]
    findings += [f"odd: {oddity}" for oddity in course.oddities]
    return {
        "seed": plan.seed,
        "cards": plan.cards,
        "bouts": len(evidence.season.document["bouts"]),
        "took_seconds": round(course.took_seconds, 1),
        "requests": len(evidence.requests),
        "readings": len(evidence.retrievals),
        "outcomes": dict(Counter(f"{each.kind} {each.state}" for each in evidence.outcomes)),
        "restarts": sum(course.exits.values()),
        "faults": {fault.value: times for fault, times in sorted(course.faults.items())},
        "left_out": sorted(course.left_out),
        "counts": {
            name: {
                "expected": count.expected,
                "lost": len(count.lost),
                "doubled": len(count.doubled),
                "wrong": len(count.wrong),
            }
            for name, count in counts.items()
        },
        "kept": not findings,
        "findings": findings,
    }


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """Yield the table."""
    yield (
        f"{figures['cards']} cards, {figures['bouts']} bouts, {figures['requests']:,} requests and "
        f"{figures['readings']:,} readings in {figures['took_seconds']} s; seed {figures['seed']}, "
        f"{figures['restarts']} processes were started again"
    )
    yield f"{'':<12}{'expected':>10}{'lost':>8}{'doubled':>10}{'wrong':>8}"
    for name, count in figures["counts"].items():
        yield f"{name:<12}{count['expected']:>10,}{count['lost']:>8}{count['doubled']:>10}{count['wrong']:>8}"
    for fault, times in figures["faults"].items():
        yield f"{fault:<60}{times:>4} times"
    for fault in figures["left_out"]:
        yield f"left out: {fault}"
    findings = figures["findings"]
    for finding in findings[:SHOWN]:
        yield f"FOUND {finding}"
    if len(findings) > SHOWN:
        yield f"FOUND {len(findings) - SHOWN:,} more: see --json"
