from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from ledger.contracts.jobs import CheckHealth, TrainEnsemble
from ledger.ledger import Ledger
from ledger.models.drift_figures import DriftFigures


def test_an_empty_ledger_has_no_backlog(ledger: Ledger) -> None:
    found = ledger.queue_stats.backlog()
    assert found.dead_letters == 0
    assert {(queue.waiting, queue.oldest_seconds, queue.quarantined) for queue in found.queues.values()} == {
        (0, 0.0, 0)
    }


@pytest.mark.parametrize("deadline_hours", [(3, 2, 1), (1, 2, 3), (None, 1, 2), (2, None, 1), (1, 1, None)])
def test_the_oldest_job_counts_whatever_its_deadline(
    deadline_hours: tuple[int | None, ...], ledger: Ledger, until: Callable[..., None]
) -> None:
    now = datetime.fromtimestamp(ledger.server.time(), UTC)
    ledger.submit(CheckHealth(nonce="0", deadline=_at(now, deadline_hours[0])))
    began = ledger.server.time()
    until(lambda: ledger.queue_stats.backlog().queues["predict"].oldest_seconds > 0.05)
    for number, hours in enumerate(deadline_hours[1:], 1):
        ledger.submit(CheckHealth(nonce=str(number), deadline=_at(now, hours)))
    found = ledger.queue_stats.backlog().queues["predict"]
    assert found.waiting == 3
    assert found.oldest_seconds >= 0.05
    assert abs(found.oldest_seconds - (ledger.server.time() - began)) < 1.0


def _at(now: datetime, hours: int | None) -> datetime | None:
    return None if hours is None else now + timedelta(hours=hours)


def test_a_running_job_does_not_wait(ledger: Ledger) -> None:
    ledger.submit(CheckHealth())
    ledger.submit(TrainEnsemble(data="somewhere"))
    ledger.claim("predict", "node#1/1")
    queues = ledger.queue_stats.backlog().queues
    assert (queues["predict"].waiting, queues["train"].waiting) == (0, 1)


def test_a_drift_is_there_once_someone_has_measured_it(ledger: Ledger) -> None:
    assert ledger.drift_figures.latest() is None
    ledger.drift_figures.set(DriftFigures(model="a" * 64, drift=0.03, fights=200))
    assert ledger.drift_figures.latest() == DriftFigures(model="a" * 64, drift=0.03, fights=200)
