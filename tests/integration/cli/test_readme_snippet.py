"""The Python of the README, run unchanged with a server and a pool on this machine, and checked by a type checker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.simulation.league import odds_feed
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from tests.support.small_models import small_league, trained

ROOT = Path(__file__).parents[3]


@pytest.fixture
def snippet(tmp_path: Path) -> Path:
    (found,) = re.findall(r"```python\n(from pathlib.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    path = tmp_path / "snippet.py"
    path.write_text(found)
    return path


def test_a_program_finds_the_server_of_this_machine_and_gets_its_answers(
    snippet: Path, ledger: Ledger, valkey: EmbeddedServer, start_pool: Callable[..., Any], tmp_path: Path
) -> None:
    league = small_league()
    bundle = trained(tmp_path / "models", seed=1)
    ledger.models.register(bundle.digest, {})
    ledger.aliases.set("champion", bundle.digest)
    start_pool(concurrency=1, real=True)
    known, unknown = odds_feed(league)[:2]
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    feed = json.dumps([known | {"commence_time": soon}, unknown | {"commence_time": soon}])
    (tmp_path / "feed.json").write_text(feed.replace(str(unknown["home_team"]), "Nobody Inparticular"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CORNERMAN_")}
    here = {"CORNERMAN_DATA": str(valkey.folder), "CORNERMAN_NAMESPACE": ledger.settings.namespace}
    done = subprocess.run(
        [sys.executable, str(snippet)],
        env={**environment, **here, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answered, failed = done.stdout.splitlines()
    assert answered.startswith(str(known["home_team"]))
    assert "unknown_fighter" in failed


def test_a_type_checker_knows_which_report_answers_a_job(snippet: Path, tmp_path: Path) -> None:
    snippet.write_text(snippet.read_text() + "reveal_type(report)\n")
    # The engine, of which a caller uses nothing, would have the checker read scipy, numba and matplotlib.
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-engine.*]\nfollow_imports = skip\n")
    options = ["--strict", "--follow-imports=silent", "--config-file", str(tmp_path / "mypy.ini")]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache/snippet")]  # that of `make check` has other options
    command = [sys.executable, "-m", "mypy", *options, *cache, str(snippet)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert "CardReport" in done.stdout
    assert done.returncode == 0, done.stdout
