from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from ledger.book import Ledger
from ledger.connections import Connections
from ledger.embedded import EmbeddedServer
from ledger.failures import LedgerUnavailable
from ledger.settings import LedgerSettings


@pytest.fixture
def client(ledger: Ledger) -> Any:
    return ledger._redis


@pytest.fixture
def connections(client: Any) -> Iterator[Connections]:
    opened = Connections(client)
    yield opened
    opened.close()


def test_replies_come_in_order_and_a_refusal_is_one_of_them(connections: Connections) -> None:
    first, refused, second = connections.ask(("SET", "number", 1), ("LPUSH", "number", "x"), ("INCR", "number"))
    assert (first, second) == (b"OK", 2)
    assert isinstance(refused, redis.ResponseError)
    assert "WRONGTYPE" in str(refused)
    assert connections.ask(("GET", "number")) == [b"2"]


def test_one_connection_serves_one_command_after_the_other(connections: Connections) -> None:
    assert len({connections.ask(("CLIENT", "ID"))[0] for _ in range(5)}) == 1


def test_one_that_was_cut_meanwhile_is_opened_anew_and_the_others_are_closed(
    client: Any, connections: Connections
) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connections.lent()).connect()
    [cut] = connections.ask(("CLIENT", "ID"))
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    [fresh] = connections.ask(("CLIENT", "ID"))
    assert fresh != cut
    assert len(connections._idle) == 1


def test_the_reply_of_a_command_that_was_broken_off_is_not_taken_for_the_next(connections: Connections) -> None:
    def leave(signum: int, frame: object) -> None:
        raise SystemExit("told to stop")

    before = signal.signal(signal.SIGALRM, leave)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(SystemExit, match="told to stop"):
            connections.ask(("BRPOP", "nothing", 0.2), ("ECHO", "old"))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert connections._idle == []
    assert connections.ask(("ECHO", "new")) == [b"new"]


def test_a_new_connection_comes_without_what_its_pool_may_have_left_in_it(
    client: Any, connections: Connections
) -> None:
    """A signal in redis-py's handshake puts a connection back whose reply is still to come."""
    left = client.connection_pool.get_connection()
    client.connection_pool.release(left)
    left.can_read = lambda timeout=0: False  # the reply had not come when the pool looked
    left.send_command("ECHO", "old")
    assert connections.ask(("ECHO", "new")) == [b"new"]
    assert left in connections._idle


def ask_and_leave(connections: Connections) -> None:
    with connections.lent() as connection:
        connection.send_command("ECHO", "old")
        raise ZeroDivisionError


def test_all_are_kept_but_none_after_an_error(connections: Connections) -> None:
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(connections.lent())
    assert len(connections._idle) == 10
    with pytest.raises(ZeroDivisionError):
        ask_and_leave(connections)
    assert len(connections._idle) == 9
    assert connections.ask(("ECHO", "new")) == [b"new"]
    connections.close()
    assert connections._idle == []


def test_a_forked_process_opens_its_own(connections: Connections) -> None:
    [ours] = connections.ask(("CLIENT", "ID"))
    fork = multiprocessing.get_context("fork")
    told: Any = fork.Queue()
    child = fork.Process(target=lambda: told.put(connections.ask(("CLIENT", "ID"))[0]))
    child.start()
    theirs = told.get(timeout=30)
    child.join()
    assert theirs != ours
    assert connections.ask(("CLIENT", "ID")) == [ours]


def test_a_server_that_is_silent_is_told_as_such_and_its_late_reply_is_nobody_elses(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url, reply_timeout_seconds=0.2))
        assert not ledger.wake("job")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(LedgerUnavailable, match="Timeout"):
                ledger.wake("job")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert ledger._connections.ask(("ECHO", "new")) == [b"new"]
        ledger.close()


def test_a_connection_that_was_forgotten_on_the_way_is_opened_anew(ledger: Ledger) -> None:
    """As by a firewall: what is sent gets lost, and nothing says so."""
    assert not ledger.wake("job")
    [silent] = ledger._connections._idle
    near, far = socket.socketpair()
    near.settimeout(0.1)
    silent._sock = silent._parser._sock = near
    assert not ledger.wake("job")
    assert far.recv(10)
    far.close()


def test_a_server_that_went_away_is_told_as_such(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url))
        assert not ledger.wake("job")
    with pytest.raises(LedgerUnavailable, match="is it running"):
        ledger.wake("job")
    ledger.close()
