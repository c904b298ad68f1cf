"""The promise of fair shares with a real pool: one caller's flood delays another's card by one card's time at most."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.jobs.job_history import JobEventKind
from ledger.ledger import Ledger

WAIT_SECONDS = 60
CHILDREN = 2


@pytest.mark.parametrize(("flooder", "flood"), [("flood", 50_000), (None, 1_000)])
def test_a_card_overtakes_the_flood_of_another_caller(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None], flooder: str | None, flood: int
) -> None:
    """No wall time: once the card is there, at most one job of the flood is claimed before it."""
    start_pool(concurrency=CHILDREN)
    for first in range(0, flood, 1_000):
        jobs = [CheckHealth(nonce=f"take:0:0.4:{first + number}") for number in range(1_000)]
        ledger.submit_many(jobs, caller=flooder)
    until(lambda: len(ledger.running_jobs()) == CHILDREN)
    for number in range(3):
        place = ledger.latest_place()
        card = ledger.submit(CheckHealth(nonce=f"answer:{number}"), caller="other").job_id
        outcome = ledger.wait(card, WAIT_SECONDS)
        others = [other for _, other in ledger.outcomes_page(place, 1_000).outcomes]
        ended = [other.job_id for other in others if outcome.submitted_at < other.settled_at < outcome.settled_at]
        running = [job.job_id for job in ledger.running_jobs()]
        claimed = _claimed_at(ledger, card)
        before = [other for other in (*ended, *running) if outcome.submitted_at < _claimed_at(ledger, other) < claimed]
        assert outcome.state is JobState.SUCCEEDED
        assert len(before) <= 1
        assert ledger.queue_stats.depths()["predict"] >= flood // 2


def _claimed_at(ledger: Ledger, job_id: str) -> datetime:
    """Return when a job was first claimed."""
    events = ledger.job_histories.get(job_id).events
    return next(event.at for event in events if event.event is JobEventKind.CLAIMED)
