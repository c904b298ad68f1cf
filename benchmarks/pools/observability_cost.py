"""Cost of the metrics of a job: `python -m benchmarks.pools.observability_cost`, with `--json` for one document.

Ours: a child sends events through a pipe, and the main process counts them. Naive: prometheus_client's multiprocess
mode, in which each child counts in files of its own that stay after its end. Measured is the CPU time of this process,
minimum of the repeats, because other load on the machine can only lengthen a measurement.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Histogram, multiprocess, values
from prometheus_client.exposition import generate_latest

from benchmarks.results import Row, document, table
from ledger.contracts.jobs import DecisionRules, Fight, Fighter, PredictCard, Quote
from ledger.contracts.reports import CardReport, Decision, FighterAnswer, FightReport, Interval
from workers.child.card_metrics import measure_card
from workers.observability.metrics import Metrics
from workers.pool.event_pipe import AttemptEnded, CardMetrics, Event, EventPipe

FIGHTS = 12
CHILDREN = 200  # that have come and gone, as in a week of an autoscaled pool
CALLS, REPEATS = 200, 30
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Measure and print."""
    rows = [
        Row("send and count a job without a card", "us", _naive_job(), _ours_job(None), 1.0, False),
        Row(f"the same for a card of {FIGHTS} fights", "us", _naive_job(), _ours_job(_figures()), None, False,
            "naive counts none of the card's figures"),
        Row(f"read /metrics after {CHILDREN} children", "ms", *_reads(), 1.0, False),
    ]  # fmt: skip
    print(json.dumps(document(rows)) if "--json" in sys.argv else table(rows))


def _ours_job(figures: CardMetrics | None) -> tuple[float, ...]:
    """Measure the child's and the main process's part together; for a card including its metrics."""
    telemetry, metrics = EventPipe(), Metrics(["predict"])
    event: Event = AttemptEnded("predict_card", "succeeded", 1, 0.1, 0.1, figures)
    card, report = _card()

    def observe() -> None:
        if figures is not None:
            measure_card(card, report, NOW)
        telemetry.send(event)
        for told in telemetry.receive(0):
            metrics.observe(told)

    return _microseconds(observe)


def _naive_job() -> tuple[float, ...]:
    with tempfile.TemporaryDirectory() as folder:
        return _microseconds(_naive_counting(folder, lambda: 1))


def _reads() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure the milliseconds of rendering the metrics, with the files of children and without."""
    with tempfile.TemporaryDirectory() as folder:
        child = [0]
        for child[0] in range(CHILDREN):
            _naive_counting(folder, lambda: child[0])()
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
        naive = _microseconds(lambda: generate_latest(registry), calls=1, repeats=3)
    metrics = Metrics(["predict"])
    ours = _microseconds(lambda: generate_latest(metrics.registry), calls=3, repeats=10)
    return tuple(cost / 1000 for cost in naive), tuple(cost / 1000 for cost in ours)


def _naive_counting(folder: str, process: Callable[[], int]) -> Callable[[], None]:
    before = values.ValueClass
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    values.ValueClass = values.MultiProcessValue(process)  # type: ignore[no-untyped-call]
    try:
        registry = CollectorRegistry()
        jobs = Counter("jobs", "Jobs", ("kind", "outcome"), registry=registry)
        attempts = Counter("attempts", "Attempts", ("kind", "ending"), registry=registry)
        waits = Histogram("waits", "Waits", ("kind",), registry=registry)
        runs = Histogram("runs", "Runs", ("kind",), registry=registry)

        def count() -> None:
            jobs.labels("predict_card", "succeeded").inc()
            attempts.labels("predict_card", "settled").inc()
            waits.labels("predict_card").observe(0.1)
            runs.labels("predict_card").observe(0.1)

        count()
        return count
    finally:
        values.ValueClass = before


def _microseconds(work: Callable[[], object], calls: int = CALLS, repeats: int = REPEATS) -> tuple[float, ...]:
    """Return the three smallest times of the repeats, in microseconds."""
    found = []
    for _ in range(repeats):
        began = time.process_time_ns()
        for _ in range(calls):
            work()
        found.append((time.process_time_ns() - began) / calls / 1000)
    return tuple(sorted(found)[:3])


def _figures() -> CardMetrics:
    card, report = _card()
    found = measure_card(card, report, NOW)
    assert found is not None  # noqa: S101 - a card always has metrics
    return found


def _card() -> tuple[PredictCard, CardReport]:
    names = [(f"Red {number}", f"Blue {number}") for number in range(FIGHTS)]
    books = [f"book {number}" for number in range(8)]
    fights = tuple(
        Fight(
            id=str(number),
            fighters=(Fighter(name=red), Fighter(name=blue)),
            quotes=tuple(Quote(bookmaker=book, prices={red: 1.9, blue: 1.9}, as_of=NOW) for book in books),
        )
        for number, (red, blue) in enumerate(names)
    )
    intervals = tuple(Interval(level=level, lower=0.3, upper=0.7, method="anchored") for level in (0.8, 0.95))
    answers = [
        FightReport(
            id=str(number),
            fighters=(_answer(red, intervals), _answer(blue, intervals)),
            decision=Decision(action="abstain", reasons=("price_too_low",)),
        )
        for number, (red, blue) in enumerate(names)
    ]
    card = PredictCard(card_id="c", event_start=NOW + timedelta(days=1), fights=fights, rules=DecisionRules())
    return card, CardReport(card_id="c", model="m", data_cutoff=NOW.date(), fights=tuple(answers))


def _answer(name: str, intervals: tuple[Interval, ...]) -> FighterAnswer:
    return FighterAnswer(
        name=name,
        fighter_id=name,
        probability=0.5,
        intervals=intervals,
        sampling_interval=None,
        members={},
        market_probability=0.5,
    )


if __name__ == "__main__":
    main()
