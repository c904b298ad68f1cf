"""What a child says of a report that came after the deadline: what the server decided, whatever its own clock shows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.contracts.reports import HealthReport
from ledger.jobs.claims import SettleResult
from ledger.ledger import Claim, Settlement
from workers.child.batch import CompletedJob, _outcome


@pytest.mark.parametrize("year", [2000, 2099])
@pytest.mark.parametrize(
    ("stored", "outcome"),
    [(SettleResult.ACCEPTED, "succeeded"), (SettleResult.TOO_LATE, "expired"), (SettleResult.REFUSED, "refused")],
)
def test_the_clock_of_this_machine_has_no_say(year: int, stored: SettleResult, outcome: str) -> None:
    moment = datetime(year, 1, 1, tzinfo=UTC)
    claim = Claim(
        job_id="job",
        kind="check_health",
        payload=b"",
        attempt=1,
        fence=1,
        queue="predict",
        time_limit_seconds=60.0,
        submitted_at=moment,
        claimed_at=moment,
        deadline=moment,
        correlation_id=None,
    )
    settlement = Settlement.from_result(claim, HealthReport(status="healthy", checks=(), memory_mb=1.0))
    assert _outcome(CompletedJob(claim, settlement, "succeeded", None, 0.1), stored) == outcome
