"""A child trains although its parent has: what hangs when a library is asked for two threads after a fork."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.data.fight_log import write_fight_log
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import TrainEnsemble
from ledger.ledger import Ledger

pytestmark = pytest.mark.new_interpreter

SCRIPT = Path(__file__).parents[2] / "support" / "trained_worker.py"
WAIT_SECONDS = 90


def hangs(pid: int, until: Callable[..., None]) -> bool:
    """Return True once a process has slept at a hundred looks without work between them, False once it has ended."""
    worked_seconds: list[float] = []

    def sleeps_on() -> bool:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_SLEEPING:
            worked_seconds.append(sum(process.cpu_times()))
        else:
            worked_seconds.clear()
        return len(worked_seconds) > 100 and worked_seconds[-1] == worked_seconds[-100]

    try:
        until(sleeps_on, WAIT_SECONDS)
    except psutil.NoSuchProcess:
        return False
    return True


def test_the_danger_is_real(until: Callable[..., None]) -> None:
    """Without it the next test could not fail. With one thread a child of the same parent ends."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), "--fork-with", "1", "2"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        _, ended, pid = (int(process.stdout.readline()) for _ in range(3))
        assert ended == 0
        if not hangs(pid, until):
            pytest.skip("the libraries of this machine survive a fork with two threads")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)


def test_a_pool_whose_parent_has_trained_trains(ledger: Ledger, start_pool: Callable[..., Any], tmp_path: Path) -> None:
    write_fight_log(simulate_league(LeagueConfig(fights=300, seed=4)).log, tmp_path / "log")
    pool = start_pool(concurrency=1, queue="train", script="trained_worker.py", CORNERMAN_THREADS="2")
    job = TrainEnsemble(
        data=str(tmp_path / "log"),
        bootstrap_samples=0,
        fits=2,
        folds=3,
        forest_trees=10,
        alias=None,
        max_training_time_seconds=WAIT_SECONDS - 20.0,
    )
    outcome = ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS)
    assert outcome.state is JobState.SUCCEEDED
    lines = [json.loads(line) for line in pool.log.read_text().splitlines() if line.startswith("{")]
    (started,) = [line for line in lines if line["event"] == "pool started"]
    assert (started["library_threads"], started["training_threads"]) == (1, 2)
