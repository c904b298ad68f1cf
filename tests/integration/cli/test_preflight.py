"""The whole checklist on a small load, with a memory limit that it cannot keep: that fails, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from producer.output.exit_codes import ExitCode

ROOT = Path(__file__).parents[3]

TIMED = {"processing time", "pause and resume"}  # which a busy machine may fail, and rightly so

pytestmark = pytest.mark.timeout(300)


def preflight(*arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CORNERMAN_")}
    return subprocess.run(
        [sys.executable, "-m", "producer.cli.main", "preflight", *arguments, "--json"],
        env={**clean, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_folder_that_is_no_fight_log_is_refused_at_once(tmp_path: Path) -> None:
    ended = preflight("--data", str(tmp_path))
    assert ended.returncode == ExitCode.REFUSED, ended.stderr
    assert "holds no fights table" in json.loads(ended.stdout)["failure"]["message"]


@pytest.mark.acceptance
def test_what_cannot_be_kept_fails_and_the_rest_is_carried_out() -> None:
    ended = preflight("--rows", "50", "--replicas", "20", "--memory-limit", "100")
    assert ended.returncode == ExitCode.FAILED, ended.stderr
    document = json.loads(ended.stdout)
    assert document["passed"] is False
    checks = {check["name"]: check for check in document["checks"]}
    failed = {name for name, check in checks.items() if not check["passed"]}
    assert failed - TIMED == {"thread safety", "same over runs", "memory"}, document
    assert "memory_limit_exceeded" in checks["memory"]["detail"]
    assert {"same over workers", "processing time", "bad input", "rollback: switches", "rollback: model"} <= set(checks)
    assert "HighErrorRate was posted" in checks["alert"]["detail"]
    for name in checks:
        assert f"Checking: {name}" in ended.stderr
