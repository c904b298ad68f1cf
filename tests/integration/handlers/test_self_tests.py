"""The engine's self-tests, run as a caller of the engine runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.fork_server import ForkServer


@pytest.mark.parametrize("command", ["engine.selftest bootstrap", "engine.selftest ensemble", "engine.xgboost_trainer"])
def test_a_module_verifies_itself(command: str, engine_server: ForkServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = engine_server.start(["-m", *command.split()], environment=os.environ, log=log)
    assert run.wait(250) == 0, log.read_text()
    lines = log.read_text().splitlines()
    assert lines
    assert all(line.startswith("verified: ") for line in lines), log.read_text()
