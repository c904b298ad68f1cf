"""`cornerman serve` and `cornerman up --http`: a gateway by the command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.server.embedded_server import find_running
from ledger.settings import LedgerSettings
from producer.betting.bet_follower import FOLLOWER
from tests.support.gateways import trusted

pytestmark = pytest.mark.timeout(300)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_serve_becomes_a_gateway(ledger_settings: LedgerSettings, tmp_path: Path, options: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "producer.cli.main", "serve", "--port", "0", *options],
        env={
            **os.environ,
            "CORNERMAN_REDIS_URL": str(ledger_settings.redis_url),
            "CORNERMAN_NAMESPACE": ledger_settings.namespace,
            "CORNERMAN_DATA": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().strip()
        url = json.loads(line)["url"] if options else line
        assert httpx.get(f"{url}/readyz", verify=trusted()).status_code == 200
    finally:
        process.terminate()
    assert process.wait(20) == 0


def test_up_runs_a_gateway_feed_runners_and_a_follower_of_bets_beside_the_pools(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    port = free_port()
    dump = tmp_path / "dump.json"
    dump.write_text('{"timestamp": "2026-11-20T12:00:00Z", "data": []}')
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CORNERMAN_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "producer.cli.main", "up", "--http", "--bets", "--feed", str(dump), "--json"],
        env={
            **clean,
            "CORNERMAN_DATA": str(tmp_path),
            "CORNERMAN_GATEWAY_PORT": str(port),
            "CORNERMAN_FEED_FORMAT": "decimal",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:

        def answers() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/readyz", verify=trusted()).status_code == 200
            except httpx.TransportError:
                return False

        until(answers, 120)

        def feeds() -> list[Any]:
            return list(httpx.get(f"http://127.0.0.1:{port}/v1/feeds", verify=trusted()).json()["feeds"])

        until(lambda: [feed["state"].get("done") for feed in feeds()] == [True])
        ledger = Ledger.connect(LedgerSettings(redis_url=find_running(tmp_path)))
        ledger.wait(ledger.submit(CheckHealth()).job_id, 60)
        until(lambda: ledger.bets.followed_place(FOLLOWER) == ledger.latest_place())
        ledger.close()
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    document, *others = rest.splitlines()
    assert json.loads(document)["pools"] == ["predict", "train", "monitor"]
    assert [line for line in others if line and "Warm shutdown" not in line] == []  # no second document, no address
    assert process.returncode == 0
