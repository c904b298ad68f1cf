from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.terminal import on_terminal

Run = Callable[..., Result]
REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["status", *arguments], catch_exceptions=False)


def document(result: Result) -> Any:
    assert result.exit_code == ExitCode.OK, result.output
    return json.loads(result.stdout)


def test_an_empty_ledger_has_an_overview_too(run: Run) -> None:
    view = document(run("--json"))
    assert view["queues"]["predict"] == {"waiting": 0, "oldest_seconds": 0.0, "quarantined": 0, "callers": {}}
    assert (view["pools"], view["switches"], view["dead_letters"], view["aliases"]) == ([], [], 0, {})
    assert view["lately"] == {"outcomes": 0, "span_seconds": 300.0, "per_minute": 0.0, "ends": {}}
    assert view["server"]["used_bytes"] > 0
    assert "No worker is alive" in run().output


def test_the_overview_counts_what_is_there(run: Run, ledger: Ledger) -> None:
    ledger.submit_many([CheckHealth(nonce=str(number)) for number in range(6)])
    claims = ledger.claim("predict", "n#1/1", 4)
    ledger.settle_many([(claim, REPORT) for claim in claims[:3]])
    ledger.settle(claims[3], Failure(code=FailureCode.MODEL_NOT_FOUND, message="none"))
    ledger.quarantine.add("predict", b"odd")
    ledger.models.register("ab" * 32, {})
    ledger.aliases.set("champion", "ab" * 32)
    ledger.controls.set({"pause.predict": True, "max_threads": 1}, user="ann@desk", reason="a test")
    ledger.pools.announce("a#1", {"node": "a", "queues": ["predict"], "children": 2, "busy": 1}, 60.0)
    view = document(run("--json"))
    queue = view["queues"]["predict"]
    assert (queue["waiting"], queue["quarantined"]) == (2, 1)
    assert queue["oldest_seconds"] > 0
    assert (view["lately"]["outcomes"], view["lately"]["per_minute"]) == (4, 0.8)
    assert view["lately"]["ends"] == {"succeeded": 3, "model_not_found": 1}
    assert view["aliases"] == {"champion": "ab" * 32}
    assert [(change["name"], change["after"], change["who"]) for change in view["switches"]] == [
        ("max_threads", "1", "ann@desk"),
        ("pause.predict", "on", "ann@desk"),
    ]
    shown = run().stdout
    assert all(text in shown for text in ("PAUSED", "max_threads=1", "ann@desk", "model_not_found 1"))


def test_a_pool_says_what_the_overview_shows(
    run: Run, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    start_pool(concurrency=2, CORNERMAN_NODE="ringside", CORNERMAN_HEARTBEAT_SECONDS="0.2")
    until(lambda: any(pool["children"] == 2 for pool in ledger.pools.alive()))
    (pool,) = document(run("--json"))["pools"]
    assert (pool["node"], pool["busy"], pool["wanted"], pool["stopped"]) == ("ringside", 0, 2, [])
    assert pool["memory_mb"] > 10
    assert pool["uptime_seconds"] >= 0
    assert pool["version"] in run().stdout


def test_where_nobody_looks_watching_shows_it_once(run: Run) -> None:
    assert "Queues" in run("--watch").stdout
    assert run("--watch", "some-job").exit_code == ExitCode.REFUSED


def test_on_a_terminal_it_is_drawn_anew_until_it_is_stopped(
    command_environment: None, ledger: Ledger, until: Callable[..., None]
) -> None:
    command = [sys.executable, "-m", "producer.cli.main", "status", "--watch", "--interval", "0.2"]
    with on_terminal(command, {**os.environ, "TERM": "xterm", "COLUMNS": "160"}) as terminal:
        until(lambda: terminal.shows(b"Queues"))
        ledger.controls.set({"pause.train": True}, user="ann@desk", reason="a test")
        until(lambda: terminal.shows(b"PAUSED"))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(20) == ExitCode.INTERRUPTED
