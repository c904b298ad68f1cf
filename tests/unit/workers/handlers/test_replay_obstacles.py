from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from ledger.contracts import codec
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_state import State
from ledger.contracts.jobs import ROUTES
from ledger.contracts.provenance import Origin, Surroundings
from ledger.contracts.replay_report import Obstacle
from ledger.ledger import KeptJob
from producer.cli.output.replay_tables import OBSTACLES
from workers.handlers.replay.replay import ANSWERS, obstacle_of
from workers.handlers.replay.reproduce import TRAININGS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORIGIN = Origin(claimed_at=NOW, models={}, controls={}, surroundings=Surroundings(processor="p", libraries={}))
MADE_BY_CHANCE = {"expired", "cancelled", "worker_lost", "time_limit_exceeded", "memory_limit_exceeded"}
MADE_BY_FILES = {"model_not_found", "model_corrupt"}


def kept(
    state: State, *, kind: str = "predict_card", failure: str | None = None, origin: Origin | None = ORIGIN
) -> KeptJob:
    written = None if failure is None else codec.encode(Failure(code=FailureCode(failure), message="m"))
    report = b"{}" if state is State.SUCCEEDED else None
    return KeptJob(
        job_id="j",
        state=state,
        kind=kind,
        payload=b"{}",
        report=report,
        failure=written,
        origin=origin,
    )


@pytest.mark.parametrize("code", [code.value for code in FailureCode])
def test_what_chance_or_files_decided_is_not_made_again(code: str) -> None:
    expected = code if code in MADE_BY_CHANCE | MADE_BY_FILES else None
    assert obstacle_of(kept(State.FAILED, failure=code)) == expected


def test_every_kind_of_job_is_made_again_or_says_why_not() -> None:
    for kind in ROUTES:
        made = kind in ANSWERS or kind in TRAININGS
        assert made == (obstacle_of(kept(State.SUCCEEDED, kind=kind)) is None), kind


def test_every_obstacle_has_its_words() -> None:
    assert set(OBSTACLES) == set(get_args(Obstacle))


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
        (kept(State.SUCCEEDED, kind="train_part"), "part_of_another"),
        (kept(State.SUCCEEDED, kind="shadow_card"), "part_of_another"),
        (kept(State.SUCCEEDED, kind="review_model"), "results_decided"),
        (kept(State.RUNNING, kind="retrain"), "itself_a_replay"),
    ],
)
def test_the_obstacle_of_a_job(job: KeptJob, expected: str | None) -> None:
    assert obstacle_of(job) == expected
