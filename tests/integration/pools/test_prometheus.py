"""A real Prometheus reads a real pool, judges by the rules that are written for it, and tells an Alertmanager."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger.contracts.jobs import TrainEnsemble
from ledger.ledger import Ledger
from tests.support.alert_receiver import Receiver
from tests.support.endpoints import HASTY

ROOT = Path(__file__).parents[3]
PROMETHEUS = shutil.which("prometheus") or ""
IMPATIENT = {"CORNERMAN_ALERTS": "PoolDown=1/0, NoConsumer=0/0"}

CONFIGURATION = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}}
rule_files: [{rules}]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
scrape_configs: [{{job_name: cornerman, static_configs: [{{targets: ["{pool}"]}}]}}]
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def prometheus(folder: Path, pool: str, alertmanager: str) -> Iterator[None]:
    rules = folder / "cornerman.rules.yml"
    written = subprocess.run(
        [sys.executable, "-m", "workers.alerts.rules"],
        cwd=ROOT,
        env={**os.environ, **IMPATIENT},
        capture_output=True,
        check=True,
    )
    rules.write_bytes(written.stdout)
    file = folder / "prometheus.yml"
    file.write_text(CONFIGURATION.format(rules=rules, pool=pool, alertmanager=alertmanager))
    listens = f"--web.listen-address=127.0.0.1:{free_port()}"
    options = [f"--storage.tsdb.path={folder / 'data'}", "--rules.alert.resend-delay=1s", listens]
    command = [PROMETHEUS, f"--config.file={file}", *options]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.mark.skipif(not PROMETHEUS, reason="needs prometheus (Debian: prometheus)")
def test_prometheus_sees_a_pool_go_and_come_back_and_what_pools_tell_of_the_fleet(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None], receiver: Receiver, tmp_path: Path
) -> None:
    port = free_port()

    def told(alert: str, *, over: bool = False) -> bool:
        """Whether the last word on an alert is that it fires, or is over."""
        said = [one for post in receiver.posts for one in post if one["labels"]["alertname"] == alert]
        return bool(said) and (datetime.fromisoformat(said[-1]["endsAt"]) <= datetime.now(UTC)) is over

    pool = start_pool(concurrency=1, CORNERMAN_HTTP_PORT=str(port), **HASTY)
    with prometheus(tmp_path, f"127.0.0.1:{port}", receiver.address):
        training = ledger.submit(TrainEnsemble(data="nowhere")).job_id
        until(lambda: told("NoConsumer"), 30.0)
        pool.process.kill()
        until(lambda: told("PoolDown"), 30.0)
        start_pool(concurrency=1, CORNERMAN_HTTP_PORT=str(port), **HASTY)
        until(lambda: told("PoolDown", over=True), 30.0)
        ledger.cancel(training)
        until(lambda: told("NoConsumer", over=True), 30.0)
    severities = {one["labels"]["alertname"]: one["labels"]["severity"] for post in receiver.posts for one in post}
    assert severities.items() >= {"PoolDown": "critical", "NoConsumer": "critical"}.items()
