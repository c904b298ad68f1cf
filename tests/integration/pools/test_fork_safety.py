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

import pytest

from engine.data.fight_log import write_fight_log
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import TrainEnsemble
from ledger.ledger import Ledger

pytestmark = pytest.mark.new_interpreter

SCRIPT = Path(__file__).parents[2] / "support" / "trained_worker.py"
WAIT_SECONDS = 90


def fork_and_train(threads: int, patience_seconds: float) -> int | None:
    """Return how a child ended that trained with so many threads; None when it had not after that time."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    command = [sys.executable, str(SCRIPT), "--fork-with", str(threads)]
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def test_the_danger_is_real() -> None:
    """Without it the next test could not fail. With one thread the same child ends, in the time that it is given."""
    assert fork_and_train(1, 60) == 0
    if fork_and_train(2, 8) is not None:
        pytest.skip("the libraries of this machine survive a fork with two threads")


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
