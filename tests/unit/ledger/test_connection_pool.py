from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from ledger.contracts.failures import LedgerUnavailableError, UnknownJobError, WaitTimeoutError
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.server import connection_pool
from ledger.server.connection_pool import MAX_IDLE, MAX_THREADS, Command, ConnectionPool, send
from ledger.server.connection_pool import with_deadline as until_moment
from ledger.server.embedded_server import EmbeddedServer
from ledger.settings import LedgerSettings
from tests.support.loop_ledger import LoopLedger

NUMBER = "t:sequence"


@pytest.fixture
def client(ledger: Ledger) -> Any:
    return ledger.server.client


@pytest.fixture
def connections(client: Any) -> Iterator[ConnectionPool]:
    opened = ConnectionPool(client)
    yield opened
    opened.close()


def test_replies_come_in_order_and_a_refusal_is_one_of_them(connections: ConnectionPool) -> None:
    first, refused, second = connections.execute(("SET", NUMBER, 1), ("LPUSH", NUMBER, "x"), ("INCR", NUMBER))
    assert (first, second) == (b"OK", 2)
    assert isinstance(refused, redis.ResponseError)
    assert "WRONGTYPE" in str(refused)
    assert connections.execute(("GET", NUMBER)) == [b"2"]


def test_commands_are_sent_as_redis_py_encodes_them(client: Any, connections: ConnectionPool) -> None:
    commands: list[Command] = [
        ("SET", "t:ü", b"\x00\xff"),
        ("RPUSH", "t:list", 0, -7, 1.5, 1e300, "", b""),
        ("EVAL", "return #ARGV", 0),
        ("PING",),
    ]
    sent: list[bytes] = []
    with connections.borrow() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "send_packed_command", sent.extend)
        send(connection, commands)
        assert b"".join(sent) == b"".join(connection.pack_commands(commands))
    assert connections.execute(("ECHO", 1.5), ("ECHO", "ü")) == [b"1.5", "ü".encode()]
    with pytest.raises(redis.DataError):
        connections.execute(("ECHO", object()))  # type: ignore[arg-type]
    assert connections.execute(("ECHO", "after")) == [b"after"]


def test_commands_are_encoded_without_hiredis(connections: ConnectionPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_pool, "_encoder", lambda: None)
    assert connections.execute(("ECHO", 1.5), ("ECHO", "ü")) == [b"1.5", "ü".encode()]


def test_one_connection_serves_one_command_after_the_other(connections: ConnectionPool) -> None:
    assert len({connections.execute(("CLIENT", "ID"))[0] for _ in range(5)}) == 1


def test_the_server_is_told_which_library_asks(connections: ConnectionPool) -> None:
    shown = connections.execute(("CLIENT", "INFO"))[0].decode().split()
    assert "lib-name=redis-py" in shown
    assert f"lib-ver={redis.__version__}" in shown


def test_one_that_was_cut_meanwhile_is_opened_anew_and_the_others_are_closed(
    client: Any, connections: ConnectionPool
) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connections.borrow()).connect()
    [cut] = connections.execute(("CLIENT", "ID"))
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    [fresh] = connections.execute(("CLIENT", "ID"))
    assert fresh != cut
    assert len(connections._idle) == 1


def test_the_reply_of_a_command_that_was_broken_off_is_not_taken_for_the_next(connections: ConnectionPool) -> None:
    def leave(signum: int, frame: object) -> None:
        raise SystemExit("told to stop")

    before = signal.signal(signal.SIGALRM, leave)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(SystemExit, match="told to stop"):
            connections.execute(("BRPOP", "nothing", 0.2), ("ECHO", "old"))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert connections._idle == []
    assert connections.execute(("ECHO", "new")) == [b"new"]


def ask_and_leave(connections: ConnectionPool) -> None:
    with connections.borrow() as connection:
        connection.send_command("ECHO", "old")
        raise ZeroDivisionError


def test_all_are_kept_but_none_after_an_error(connections: ConnectionPool) -> None:
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(connections.borrow())
    assert len(connections._idle) == 10
    with pytest.raises(ZeroDivisionError):
        ask_and_leave(connections)
    assert len(connections._idle) == 9
    assert connections.execute(("ECHO", "new")) == [b"new"]
    connections.close()
    assert connections._idle == []


def test_a_forked_process_opens_its_own(connections: ConnectionPool) -> None:
    [ours] = connections.execute(("CLIENT", "ID"))
    fork = multiprocessing.get_context("fork")
    told: Any = fork.Queue()
    child = fork.Process(target=lambda: told.put(connections.execute(("CLIENT", "ID"))[0]))
    child.start()
    theirs = told.get(timeout=30)
    child.join()
    assert theirs != ours
    assert connections.execute(("CLIENT", "ID")) == [ours]


class _Watched(ConnectionPool):
    """Looks at each step of its beginning, where another thread of the same process may come in between."""

    found: list[bool]

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if "found" in self.__dict__ and self._process == os.getpid():
            self.found.append(bool(self._idle))


def test_no_thread_of_a_forked_process_gets_a_connection_of_its_parent(client: Any) -> None:
    opened = _Watched(client)
    opened.execute(("PING",))
    opened._process = -1  # as it looks in a fork
    opened.found = []
    opened.execute(("PING",))
    assert opened.found
    assert not any(opened.found)
    opened.close()


def test_a_server_that_is_silent_is_told_as_such_and_its_late_reply_is_nobody_elses(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url, reply_timeout_seconds=0.2))
        assert not ledger.resume_now("job")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(LedgerUnavailableError, match="Timeout"):
                ledger.resume_now("job")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert ledger.server.connections.execute(("ECHO", "new")) == [b"new"]
        ledger.close()


def test_a_connection_that_was_forgotten_on_the_way_is_opened_anew(ledger: Ledger) -> None:
    """As by a firewall: what is sent gets lost, and nothing says so."""
    assert not ledger.resume_now("job")
    [silent] = ledger.server.connections._idle
    near, far = socket.socketpair()
    near.settimeout(0.1)
    silent._sock.close()
    silent._sock = silent._parser._sock = near
    assert not ledger.resume_now("job")
    assert far.recv(10)
    far.close()


def test_a_server_that_went_away_is_told_as_such(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url))
        assert not ledger.resume_now("job")
    with pytest.raises(LedgerUnavailableError, match="is it running"):
        ledger.resume_now("job")
    ledger.close()


def open_at(server: EmbeddedServer) -> int:
    with redis.Redis.from_url(server.url) as admin:
        return len(admin.client_list(_type="normal")) + len(admin.client_list(_type="pubsub"))


@pytest.mark.slow
def test_as_many_threads_as_promised_share_a_client_and_its_idle_connections_are_given_back(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    """All submit at once to a server that is slow for a moment, and then all wait at once, each for its job."""
    with EmbeddedServer(tmp_path) as server, ThreadPoolExecutor(MAX_THREADS) as threads:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url, reply_timeout_seconds=30.0))
        together = threading.Barrier(MAX_THREADS)

        def ask(number: int) -> str:
            together.wait()
            return ledger.submit(CheckHealth(nonce=str(number))).job_id

        os.kill(server.pid, signal.SIGSTOP)
        threading.Timer(0.5, os.kill, (server.pid, signal.SIGCONT)).start()
        jobs = list(threads.map(ask, range(MAX_THREADS)))
        waits = [threads.submit(ledger.wait, job, 60.0) for job in jobs]
        news = [f"cornerman:news:0:{job}" for job in jobs]
        until(lambda: all(heard for _, heard in ledger.server.client.pubsub_numsub(*news)))
        with ThreadPoolExecutor(8) as others:
            list(others.map(ledger.cancel, jobs))
        assert {wait.result().state for wait in waits} == {"cancelled"}
        assert len(ledger.server.connections._idle) + len(ledger.server.subscribers._idle) <= 2 * MAX_IDLE
        assert open_at(server) <= 2 * MAX_IDLE + 2, "one is of the count, and one of `_redis`"
        with pytest.raises(UnknownJobError):
            ledger.wait("nothing", 1.0)
        ledger.close()


def test_a_thread_beyond_those_waits_for_a_connection_and_is_told_why_it_got_none(
    client: Any, until: Callable[..., None]
) -> None:
    connections = ConnectionPool(client, reply_seconds=0.1)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        for _ in range(MAX_THREADS - 1):
            stack.enter_context(connections.borrow())
        with connections.borrow():
            with pytest.raises(LedgerUnavailableError, match=f"more than {MAX_THREADS} threads"):
                connections.execute(("ECHO", "late"))
            connections._reply_seconds = 30.0
            waiting = pool.submit(connections.execute, ("ECHO", "next"))
            until(lambda: connections._queueing)
        assert waiting.result() == [b"next"]
    connections.close()
    assert connections._open == 0


@pytest.fixture(params=[Ledger, LoopLedger])
def silent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with a job, whose server is there and says nothing."""
    with EmbeddedServer(tmp_path) as server:
        ledger = request.param.connect(LedgerSettings(redis_url=server.url, reply_timeout_seconds=1.0))
        ledger.submit(CheckHealth(), key="job")
        with pytest.raises(WaitTimeoutError):
            ledger.wait("job", 0.01)
        os.kill(server.pid, signal.SIGSTOP)
        yield ledger
        os.kill(server.pid, signal.SIGCONT)
        ledger.close()


def seconds_until_unavailable(call: Any) -> float:
    started_seconds = time.monotonic()
    with pytest.raises(LedgerUnavailableError):
        call()
    return time.monotonic() - started_seconds


@pytest.mark.slow
def test_a_call_of_a_silent_server_ends_after_twice_the_time_of_a_reply(silent: Ledger) -> None:
    assert 2.0 <= seconds_until_unavailable(lambda: silent.status("job")) < 3.5
    assert 2.0 <= seconds_until_unavailable(lambda: silent.submit(CheckHealth(nonce="other"))) < 3.5


def test_a_waiter_of_a_silent_server_is_no_more_patient_than_it_said(silent: Ledger) -> None:
    assert 0.4 <= seconds_until_unavailable(lambda: silent.wait("job", 0.5)) < 1.2
    with until_moment(time.monotonic() + 0.2):
        assert seconds_until_unavailable(lambda: silent.status("job")) < 1.2
    with until_moment(time.monotonic() - 1):
        assert seconds_until_unavailable(lambda: silent.status("job")) < 0.5


@pytest.mark.slow
def test_a_command_that_makes_the_server_wait_is_given_that_time_on_top(client: Any) -> None:
    connections = ConnectionPool(client, reply_seconds=0.2)
    assert connections.execute(("BRPOP", "nothing", 0.6), blocks_seconds=0.6) == [None]
    with pytest.raises(redis.TimeoutError):
        connections.execute(("BRPOP", "nothing", 0.6))
    connections.close()
