from __future__ import annotations

import msgspec
import pytest

from ledger.contracts.reports import HealthCheck
from workers.observability.readiness import PoolSnapshot, liveness, readiness
from workers.pool.event_pipe import SelfTestResult

WELL = PoolSnapshot(tick_age_seconds=0.1, server_reached=True, silent_seconds=1.0, children=1, largest_child_mb=10.0)


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({}, set()),
        ({"tick_age_seconds": None}, {"guard"}),
        ({"tick_age_seconds": 31.0}, {"guard"}),
        ({"server_reached": False}, {"consumption"}),
        ({"silent_seconds": None}, {"consumption"}),
        ({"silent_seconds": 23.0}, {"consumption"}),
        ({"closing": True}, {"consumption"}),
        ({"memory_limit_mb": 9.0}, {"memory"}),
        ({"pool_mb": 301.0, "pool_limit_mb": 300.0}, {"memory"}),
        ({"predicts": True}, {"model_loaded"}),
    ],
)
def test_readiness_names_what_fails(change: dict[str, object], failing: set[str]) -> None:
    sight = msgspec.structs.replace(WELL, **change)
    assert {check.name for check in readiness(sight) if not check.passed} == failing
    assert all(check.passed for check in liveness(sight)) == ("guard" not in failing)


def test_readiness_says_what_the_children_found_and_when() -> None:
    found = SelfTestResult([HealthCheck(name="prediction", passed=False, detail="it differs")], "m")
    sight = msgspec.structs.replace(WELL, predicts=True, self_test_age_seconds=3.0, self_test=found)
    (check,) = (check for check in readiness(sight) if not check.passed)
    assert (check.name, check.detail) == ("prediction", "it differs, tested 3 s ago")
