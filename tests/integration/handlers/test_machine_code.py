"""The engine's loops are compiled ahead: a training and a prediction find their machine code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LATER = {"coalition_kernels", "growth_kernels"}
"""The loops of contributions and of stakes, which are compiled when they are first needed."""


@pytest.mark.timeout(600)
def test_a_training_and_a_prediction_find_their_loops_compiled(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "engine.machine_code"], env=environment, check=True)
    ahead = _compiled(tmp_path)
    subprocess.run([sys.executable, "-m", "engine.selftest", "ensemble"], env=environment, check=True)
    assert {name.partition(".")[0] for name in _compiled(tmp_path) - ahead} == LATER


def _compiled(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*.nbc")}
