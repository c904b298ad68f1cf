"""What a job is estimated to take decides before it starts: now, later, or never."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.data.fight_log import write_fight_log
from engine.resources.memory_estimate import training_mb
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, TrainEnsemble
from ledger.ledger import Ledger
from workers.child.memory_needs import training_size
from workers.pool.process_memory import pss_mb

pytestmark = pytest.mark.new_interpreter

WAIT_SECONDS = 60


def training(folder: Path, seed: int = 0) -> TrainEnsemble:
    """A training on a small log that is simulated once."""
    if not folder.exists():
        write_fight_log(simulate_league(LeagueConfig(fights=300, seed=4)).log, folder)
    return TrainEnsemble(data=str(folder), seed=seed, bootstrap_samples=0, fits=1, folds=3, forest_trees=10, alias=None)


def test_what_does_not_fit_beside_others_waits_untried_and_without_spinning(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None], tmp_path: Path
) -> None:
    jobs = [training(tmp_path / "log", seed) for seed in range(2)]
    need_mb = training_mb(training_size(jobs[0], 1))
    settings = {"CORNERMAN_THREADS": "1", "CORNERMAN_HEARTBEAT_SECONDS": "0.5"}
    pool = start_pool(concurrency=2, queue="train", script="gated_training.py", **settings)
    until(lambda: any(announced["children"] == 2 for announced in ledger.pools.alive()))
    idle_mb = sum(pss_mb(pid) for pid in (pool.pid, *(child.pid for child in pool.children())))
    budget_mb = round(idle_mb + 1.6 * need_mb)  # for one of them and not for two
    ledger.controls.set({"max_memory_mb.train": budget_mb}, user="test", reason="test")
    until(lambda: any(announced["memory_limit_mb"] == budget_mb for announced in ledger.pools.alive()))
    first, second = (ledger.submit(job).job_id for job in jobs)
    until(lambda: '"outcome": "released"' in pool.log.read_text())
    until(lambda: {ledger.status(first).state, ledger.status(second).state} == {JobState.RUNNING, JobState.QUEUED})
    waiting = first if ledger.status(first).state is JobState.QUEUED else second
    assert ledger.status(waiting).attempt == 0
    ledger.submit(CheckHealth(), key="gate")
    outcomes = [ledger.wait(job_id, WAIT_SECONDS) for job_id in (first, second)]
    assert [(outcome.state, outcome.attempt) for outcome in outcomes] == [(JobState.SUCCEEDED, 1)] * 2
    given_back = [line for line in pool.log.read_text().splitlines() if '"outcome": "released"' in line]
    assert len(given_back) <= 3
    assert all('"reason": "not enough memory for' in line for line in given_back)


def test_a_real_pool_ends_by_name_what_takes_too_much_memory_or_time(
    ledger: Ledger, start_pool: Callable[..., Any], tmp_path: Path
) -> None:
    start_pool(concurrency=1, queue="train", real=True, CORNERMAN_CHILD_MAX_MEMORY_MB="2048")
    job = training(tmp_path / "log")
    large = msgspec.structs.replace(
        job, bootstrap_samples=1000, part_refits=1000, replica_forest_trees=5000, max_memory_mb=1024.0
    )
    never = ledger.wait(ledger.submit(large).job_id, WAIT_SECONDS)
    assert never.failure is not None
    assert (never.failure.code, never.attempt) == (FailureCode.MEMORY_LIMIT_EXCEEDED, 1)
    figures = never.failure.details
    assert figures["estimated_mb"] > 1024.0 >= figures["allowed_mb"] > 0
    assert 0 < figures["fitting_part_refits"] < 1000
    assert f"at most {figures['fitting_part_refits']} would fit" in never.failure.message
    slow = msgspec.structs.replace(job, bootstrap_samples=1000, max_training_time_seconds=0.3)
    late = ledger.wait(ledger.submit(slow).job_id, WAIT_SECONDS)
    assert late.failure is not None
    assert (late.failure.code, late.attempt) == (FailureCode.TIME_LIMIT_EXCEEDED, 1)
    assert "max_training_time_seconds is 0.3" in late.failure.message
    assert ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS).state is JobState.SUCCEEDED
