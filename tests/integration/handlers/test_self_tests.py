"""The engine's self-tests, run as a caller of the engine runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("command", ["engine.selftest bootstrap", "engine.selftest ensemble", "engine.xgboost_trainer"])
def test_a_module_verifies_itself(command: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, timeout=250, check=False
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines
    assert all(line.startswith("verified: ") for line in lines), run.stdout
