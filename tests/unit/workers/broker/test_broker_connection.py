from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu.exceptions import OperationalError

from ledger.server.embedded_server import EmbeddedServer
from ledger.settings import LedgerSettings
from workers.app import create_app
from workers.broker.kombu_transport import RETRY_SECONDS, Connection
from workers.settings import WorkerSettings


class Away(Connection):
    """A connection to a server that is not there."""

    def _connection_factory(self) -> Any:
        raise ConnectionRefusedError


def test_a_server_that_is_away_for_long_is_tried_again_as_often_as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda seconds: None)
    pauses: list[float] = []
    away = Away("redis://127.0.0.1:1/0")
    with pytest.raises(OperationalError):
        away.ensure_connection(lambda error, pause_seconds: pauses.append(pause_seconds), 50)
    assert pauses == [RETRY_SECONDS] * 50


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Any]:
    """A channel of Celery's own connection, to a server of this test alone."""
    with EmbeddedServer(tmp_path) as server:
        settings = LedgerSettings(redis_url=server.url, reply_timeout_seconds=0.7)
        with create_app(WorkerSettings(ledger=settings), {}).connection() as connection:
            opened = connection.default_channel
            opened.client.connection = opened.client.connection_pool.get_connection()  # as when it begins to consume
            yield opened


def popped(channel: Any) -> Any:
    """Pop as the channel does when its socket is readable."""
    connection = channel.client.connection
    connection.send_command("BRPOP", "no-doorbell", 1)
    return channel.client.parse_response(connection, "BRPOP")


@pytest.mark.slow
def test_no_reply_is_waited_for_longer_than_the_pop_takes_and_a_reply_may(channel: Any) -> None:
    connection = channel.client.connection
    assert connection.socket_timeout == channel.brpop_timeout + 0.7
    assert connection.socket_connect_timeout == 0.7
    assert popped(channel) is None


@pytest.mark.slow
def test_a_pop_that_the_server_refuses_is_silence_and_not_the_end_of_the_pool(channel: Any) -> None:
    channel.client.execute_command("ACL", "SETUSER", "default", "-brpop")
    started_seconds = time.monotonic()
    assert popped(channel) is None
    assert time.monotonic() - started_seconds >= RETRY_SECONDS, "the next is sent at once"


@pytest.mark.slow
def test_a_pop_that_a_replica_refuses_makes_celery_connect_again(channel: Any) -> None:
    channel.client.replicaof("127.0.0.1", 1)
    with pytest.raises(redis.ConnectionError, match="the primary") as refused:
        popped(channel)
    assert isinstance(refused.value, channel.connection.connection_errors)


def test_a_server_that_refuses_to_greet_is_tried_again(channel: Any) -> None:
    assert issubclass(redis.ResponseError, channel.connection.connection_errors)
