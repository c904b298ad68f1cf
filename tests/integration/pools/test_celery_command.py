"""A pool started by Celery's own command, for those who know it, as the README has it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, LedgerSettings

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 60


def test_the_command_of_the_readme_starts_a_pool_that_answers(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path, until: Callable[..., None]
) -> None:
    found = re.search(r"`celery (-A workers\.app worker [^`]*)`", (ROOT / "README.md").read_text())
    assert found
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CORNERMAN_REDIS_URL": str(ledger_settings.redis_url),
        "CORNERMAN_NAMESPACE": ledger_settings.namespace,
        "CORNERMAN_DATA": str(tmp_path),
        "CORNERMAN_CONCURRENCY": "1",
    }
    log = tmp_path / "pool.log"
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "celery", *shlex.split(found[1])]
        pool = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
    try:
        until(lambda: ledger.pools.alive() or pool.poll() is not None, WAIT_SECONDS)
        assert pool.poll() is None, log.read_text()
        outcome = ledger.wait(ledger.submit(CheckHealth()).job_id, WAIT_SECONDS)
        assert outcome.state is JobState.SUCCEEDED, outcome
        assert isinstance(outcome.report, HealthReport)
        assert [check.name for check in outcome.report.checks if check.passed] == ["memory", "threads"]
        pool.terminate()
        assert pool.wait(WAIT_SECONDS) == 0, log.read_text()
    finally:
        if pool.poll() is None:
            os.killpg(pool.pid, signal.SIGKILL)
            pool.wait()


def test_a_pool_sends_celerys_events_to_flower_where_that_is_wanted(
    ledger: Ledger, ledger_settings: LedgerSettings, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    with redis.Redis.from_url(str(ledger_settings.redis_url)) as server, server.pubsub() as flower:
        flower.psubscribe("*celeryev*")
        start_pool(concurrency=1, CORNERMAN_CELERY_EVENTS="1")
        ledger.submit(CheckHealth(nonce="answer"))
        wanted = {b"worker.online", b"task.succeeded", b"task.multi"}
        until(lambda: wanted & {(flower.get_message(timeout=1.0) or {}).get("channel", b"").rpartition(b"/")[2]})
