"""The machine code of the engine's loops: compiled by one process before the tests, not by each process of a run.

numba caches it next to the source, for as long as the source is the same. Processes that find none at the same time
compile it all at the same time, for half a minute each. The tests are collected meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from engine import machine_code
from tests.support.shared_files import FOLDER

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tests.support.machine_code")
SOURCES = (*machine_code.SOURCES, "market/growth_kernels.py")


def compile_if_missing() -> None:
    """Compile what most tests need, unless its cached code is newer than its source."""
    if not machine_code.are_compiled(SOURCES):
        subprocess.run(COMMAND, cwd=ROOT, check=False)  # if it fails, tests will say so


def start_compiling_if_missing() -> subprocess.Popen[bytes] | None:
    """Do the same in another process, for which `wait_until_compiled` waits in any process of the run."""
    if machine_code.are_compiled(SOURCES):
        return None
    with _lock().open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.Popen(COMMAND, cwd=ROOT, pass_fds=[lock.fileno()])  # which has the lock until it ends


def is_compiling() -> bool:
    """Return whether this run has started to compile."""
    return _lock().exists()


def wait_until_compiled() -> None:
    """Wait for the end of what this run compiles."""
    if is_compiling():
        with _lock().open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)


def _lock() -> Path:
    return Path(os.environ[FOLDER]) / "machine-code.lock"


def main() -> None:
    """Compile as an installation does, then train a small model and ask it, which calls what is left."""
    machine_code.main()
    from engine.data.fighter_snapshot import FighterSnapshot
    from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
    from engine.market.simultaneous_kelly import KellyBet, simultaneous_kelly
    from engine.training.train import train_ensemble
    from tests.support.small_models import small_config, small_league, small_matrix

    replicas = 10
    config = small_config(seed=1, replicas=replicas)
    ensemble = train_ensemble(small_matrix(), config, FighterSnapshot.from_log(small_league().log))
    manager = ProductionEnsembleManager.from_ensemble(
        ensemble, create_production_ensemble_config(bootstrap_samples=replicas)
    )
    simultaneous_kelly([KellyBet(0.5, 2.1), KellyBet(0.5, 2.2)])
    manager.predict_fights(small_matrix().X[:2], [("red", "blue")] * 2, levels=(0.8, 0.95), contributions=True)


if __name__ == "__main__":
    main()
