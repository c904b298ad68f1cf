from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from ledger.contracts import codec
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import ROUTES
from ledger.contracts.provenance import Provenance, RuntimeEnvironment
from ledger.contracts.replay_report import NotReplayableReason
from ledger.ledger import JobRecord
from producer.output.replay_tables import OBSTACLES
from workers.handlers.replay.replay import ANSWER_HANDLERS, not_replayable_reason
from workers.handlers.replay.reproduce import TRAINING_HANDLERS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Provenance(
    claimed_at=NOW, models={}, controls={}, surroundings=RuntimeEnvironment(processor="p", libraries={})
)
MADE_BY_CHANCE = {"expired", "cancelled", "worker_lost", "time_limit_exceeded", "memory_limit_exceeded"}
MADE_BY_FILES = {"model_not_found", "model_corrupt"}


def kept(
    state: JobState, *, kind: str = "predict_card", failure: str | None = None, origin: Provenance | None = ORIGIN
) -> JobRecord:
    written = None if failure is None else codec.encode(Failure(code=FailureCode(failure), message="m"))
    report = b"{}" if state is JobState.SUCCEEDED else None
    return JobRecord(
        job_id="j",
        state=state,
        kind=kind,
        payload=b"{}",
        report=report,
        failure=written,
        provenance=origin,
    )


@pytest.mark.parametrize("code", [code.value for code in FailureCode])
def test_what_chance_or_files_decided_is_not_made_again(code: str) -> None:
    expected = code if code in MADE_BY_CHANCE | MADE_BY_FILES else None
    assert not_replayable_reason(kept(JobState.FAILED, failure=code)) == expected


def test_every_kind_of_job_is_made_again_or_says_why_not() -> None:
    for kind in ROUTES:
        made = kind in ANSWER_HANDLERS or kind in TRAINING_HANDLERS
        assert made == (not_replayable_reason(kept(JobState.SUCCEEDED, kind=kind)) is None), kind


def test_every_obstacle_has_its_words() -> None:
    assert set(OBSTACLES) == set(get_args(NotReplayableReason))


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (kept(JobState.SUCCEEDED), None),
        (kept(JobState.SUCCEEDED, origin=None), "no_origin"),
        (kept(JobState.FAILED, failure="invalid_input", origin=None), "no_origin"),
        (kept(JobState.FAILED, failure="worker_lost", origin=None), "worker_lost"),
        (kept(JobState.QUEUED, origin=None), "no_outcome"),
        (kept(JobState.RUNNING, origin=None), "no_outcome"),
        (kept(JobState.SUCCEEDED, kind="replay"), "itself_a_replay"),
        (kept(JobState.SUCCEEDED, kind="train_part"), "part_of_another"),
        (kept(JobState.SUCCEEDED, kind="shadow_card"), "part_of_another"),
        (kept(JobState.SUCCEEDED, kind="review_model"), "results_decided"),
        (kept(JobState.RUNNING, kind="retrain"), "itself_a_replay"),
    ],
)
def test_the_obstacle_of_a_job(job: JobRecord, expected: str | None) -> None:
    assert not_replayable_reason(job) == expected
