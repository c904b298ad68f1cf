from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger import wire
from ledger.book import KeptJob
from ledger.failures import Failure, FailureCode
from ledger.origin import Origin, Surroundings
from ledger.outcomes import State
from workers.replay import obstacle_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin(claimed_at=NOW, models={}, controls={}, surroundings=Surroundings(processor="p", libraries={}))
MADE_BY_CHANCE = {"expired", "cancelled", "worker_lost", "time_limit_exceeded", "memory_limit_exceeded"}
MADE_BY_FILES = {"model_not_found", "model_corrupt"}


def kept(
    state: State, *, kind: str = "predict_card", failure: str | None = None, origin: Origin | None = ORIGIN
) -> KeptJob:
    written = None if failure is None else wire.encode(Failure(code=FailureCode(failure), message="m"))
    report = b"{}" if state is State.SUCCEEDED else None
    return KeptJob(
        job_id="j",
        state=state,
        kind=kind,
        queue="predict",
        payload=b"{}",
        submitted_at=NOW,
        report=report,
        failure=written,
        origin=origin,
    )


@pytest.mark.parametrize("code", [code.value for code in FailureCode])
def test_what_chance_or_files_decided_is_not_made_again(code: str) -> None:
    expected = code if code in MADE_BY_CHANCE | MADE_BY_FILES else None
    assert obstacle_of(kept(State.FAILED, failure=code)) == expected


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (kept(State.SUCCEEDED), None),
        (kept(State.SUCCEEDED, origin=None), "no_origin"),
        (kept(State.FAILED, failure="invalid_input", origin=None), "no_origin"),
        (kept(State.FAILED, failure="worker_lost", origin=None), "worker_lost"),
        (kept(State.QUEUED, origin=None), "no_outcome"),
        (kept(State.RUNNING, origin=None), "no_outcome"),
        (kept(State.SUCCEEDED, kind="replay"), "itself_a_replay"),
        (kept(State.RUNNING, kind="retrain"), "itself_a_replay"),
    ],
)
def test_the_obstacle_of_a_job(job: KeptJob, expected: str | None) -> None:
    assert obstacle_of(job) == expected
