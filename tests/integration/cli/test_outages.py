"""Waiting commands while the server does not answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from ledger.contracts.jobs import CheckHealth, Job, Replay
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from producer.output.exit_codes import ExitCode
from tests.support.terminal import on_terminal

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test alone, which may be stopped and let go on."""
    with EmbeddedServer(tmp_path / "data") as found:
        yield found


@contextmanager
def silent(server: EmbeddedServer) -> Iterator[None]:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def command(server: EmbeddedServer, *arguments: str) -> tuple[list[str], dict[str, str]]:
    settings = {"CORNERMAN_REDIS_URL": server.url, "CORNERMAN_REPLY_TIMEOUT_SECONDS": "0.2", "TERM": "xterm"}
    return [sys.executable, "-m", "producer.cli.main", *arguments], {**os.environ, **settings, "COLUMNS": "200"}


@contextmanager
def started(server: EmbeddedServer, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    words, environment = command(server, *arguments)
    with log.open("wb") as output, subprocess.Popen(words, env=environment, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_wait_outlives_a_silent_server(server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]) -> None:
    ledger = Ledger.connect(LedgerSettings(redis_url=server.url))
    job = ledger.submit(CheckHealth(nonce="waits"))
    log = tmp_path / "log"
    with started(server, log, "result", job.job_id, "--timeout", "60") as process:
        until(lambda: "No predict worker" in log.read_text())
        with silent(server):
            until(lambda: "Waiting until it answers again" in log.read_text())
        (claim,) = ledger.claim("predict", "n#1/1")
        ledger.settle(claim, REPORT)
        assert process.wait(20) == ExitCode.OK, log.read_text()
    ledger.close()


def test_one_that_gives_up_says_how_to_ask_again(
    server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]
) -> None:
    ledger = Ledger.connect(LedgerSettings(redis_url=server.url))
    job = ledger.submit(CheckHealth(nonce="waits"))
    ledger.close()
    log = tmp_path / "log"
    with started(server, log, "result", job.job_id, "--timeout", "3") as process:
        until(lambda: "No predict worker" in log.read_text())
        with silent(server):
            assert process.wait(30) == ExitCode.UNAVAILABLE, log.read_text()
    assert f"cornerman result {job.job_id}" in log.read_text()


def card(folder: Path) -> str:
    fight = {"id": "f", "fighters": [{"name": "Ann Archer"}, {"name": "Bea Brown"}]}
    job = {"kind": "predict_card", "card_id": "c", "event_start": "2090-01-05T22:00:00Z", "fights": [fight]}
    path = folder / "card.json"
    path.write_text(json.dumps(job))
    return str(path)


def test_a_submit_waits_for_a_server_that_takes_no_writes(
    server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]
) -> None:
    log = tmp_path / "log"
    with redis.Redis.from_url(server.url) as admin:
        admin.config_set("min-replicas-to-write", 1)
        with started(server, log, "enqueue", "--card", card(tmp_path), "--force") as process:
            until(lambda: "Waiting until it answers again" in log.read_text())
            admin.config_set("min-replicas-to-write", 0)
            assert process.wait(20) == ExitCode.OK, log.read_text()
        assert admin.zcard("cornerman:queue:predict") == 1
    assert log.read_text().count("Waiting until") == 1


def test_a_submit_that_gives_up_says_how_to_find_the_job(
    server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]
) -> None:
    log = tmp_path / "log"
    with redis.Redis.from_url(server.url) as admin:
        admin.config_set("min-replicas-to-write", 1)
        with started(server, log, "enqueue", "--card", card(tmp_path), "--key", "mine", "--timeout", "1") as process:
            assert process.wait(30) == ExitCode.UNAVAILABLE, log.read_text()
    assert "cornerman status mine" in log.read_text()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (None, ExitCode.TIMEOUT)])
def test_patience_that_ends_says_so_too(
    server: EmbeddedServer, tmp_path: Path, until: Callable[..., None], signum: int | None, code: ExitCode
) -> None:
    ledger = Ledger.connect(LedgerSettings(redis_url=server.url))
    job = ledger.submit(CheckHealth(nonce="waits"))
    ledger.close()
    log = tmp_path / "log"
    with started(server, log, "result", job.job_id, "--timeout", "60" if signum else "0.5") as process:
        until(lambda: "No predict worker" in log.read_text())
        if signum is not None:
            process.send_signal(signum)
        assert process.wait(20) == code, log.read_text()
    assert f"cornerman result {job.job_id}" in log.read_text()


def test_the_overview_outlives_a_silent_server(server: EmbeddedServer, until: Callable[..., None]) -> None:
    with on_terminal(*command(server, "status", "--watch", "--interval", "0.2")) as terminal:
        until(lambda: terminal.shows(b"Queues"))
        with silent(server):
            until(lambda: terminal.shows(b"Last overview"))
        terminal.forget()
        until(lambda: terminal.shows(b"Queues"))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(20) == ExitCode.INTERRUPTED


def test_following_goes_on_where_it_was(server: EmbeddedServer, tmp_path: Path, until: Callable[..., None]) -> None:
    ledger = Ledger.connect(LedgerSettings(redis_url=server.url))
    log = tmp_path / "log"

    def settled(job: Job) -> str:
        receipt = ledger.submit(job)
        (claim,) = ledger.claim("predict", "n#1/1")
        ledger.settle(claim, REPORT)
        return receipt.job_id

    with started(server, log, "follow", "--after", "0", "--limit", "2") as process:
        first = settled(Replay(job_id="j", nonce="first"))
        until(lambda: first in log.read_text())
        hidden = settled(CheckHealth(nonce="health checks are shown on demand"))
        with silent(server):
            until(lambda: "Waiting until it answers again" in log.read_text())
        second = settled(Replay(job_id="j", nonce="second"))
        assert process.wait(20) == ExitCode.OK, log.read_text()
    assert log.read_text().count(first) == 1
    assert second in log.read_text()
    assert hidden not in log.read_text()
    ledger.close()
