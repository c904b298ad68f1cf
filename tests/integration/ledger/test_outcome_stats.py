from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.jobs import outcome_stats
from ledger.jobs.outcome_stats import RecentOutcomes
from ledger.ledger import Ledger

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)


def answer(ledger: Ledger, *names: str) -> None:
    for name in names:
        ledger.submit(CheckHealth(nonce=name), key=name)
    ledger.settle_many([(claim, REPORT) for claim in ledger.claim("predict", "n#1/1", len(names))])


def test_outcomes_are_counted_by_how_they_ended(ledger: Ledger) -> None:
    assert ledger.outcome_stats.recent() == RecentOutcomes(0, 300.0, 0.0, {})
    answer(ledger, "a", "b")
    ledger.submit(CheckHealth(nonce="c"), key="c")
    ledger.cancel("c")
    (claim,) = (ledger.submit(CheckHealth(nonce="d")), ledger.claim("predict", "n#1/1"))[1]
    ledger.settle(claim, Failure(code=FailureCode.MODEL_NOT_FOUND, message="none"))
    found = ledger.outcome_stats.recent(span_seconds=60.0)
    assert (found.outcomes, found.per_minute) == (4, 4.0)
    assert found.ends == {"succeeded": 2, "cancelled": 1, "model_not_found": 1}


def test_only_the_span_is_looked_at(ledger: Ledger, until: Callable[..., None]) -> None:
    answer(ledger, "old")
    until(lambda: ledger.outcome_stats.recent(span_seconds=0.05).outcomes == 0)
    answer(ledger, "new")
    assert ledger.outcome_stats.recent().outcomes == 2


def test_in_a_busy_ledger_the_span_is_shorter_than_asked_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_stats, "MAX_OUTCOMES", 3)
    answer(ledger, *"abcde")
    found = ledger.outcome_stats.recent()
    assert found.outcomes == 3
    assert found.span_seconds < 60.0
    assert found.per_minute > 3


def test_an_outcome_whose_record_is_gone_counts_as_an_outcome(ledger: Ledger) -> None:
    answer(ledger, "a", "b")
    ledger.server.execute("DEL", f"{ledger.settings.namespace}:job:a")
    assert (ledger.outcome_stats.recent().outcomes, ledger.outcome_stats.recent().ends) == (2, {"succeeded": 1})


def test_memory_knows_a_limit_only_where_there_is_one(ledger: Ledger) -> None:
    memory = ledger.server.memory()
    assert memory.used_bytes > 100_000
    assert memory.limit_bytes is None
