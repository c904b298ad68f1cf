from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from ledger.ledger import Ledger
from ledger.server.connection_pool import ConnectionPool
from ledger.server.subscriptions import subscribe

PATIENCE_SECONDS = 5.0
LOOK = ("HMGET", "t:job:record", "field")


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Any]:
    opened: Any = redis.Redis.from_url(str(ledger.settings.redis_url), protocol=2)
    yield opened
    opened.close()


@pytest.fixture
def connections(client: Any) -> Iterator[ConnectionPool]:
    opened = ConnectionPool(client)
    yield opened
    opened.close()


def test_a_subscription_hears_its_own_channel_only_though_its_connection_had_others(
    client: Any, connections: ConnectionPool
) -> None:
    with subscribe(connections, "one", LOOK) as one:
        client.publish("one", "first")
        assert one.next_message(PATIENCE_SECONDS) == b"first"
        client.publish("one", "nobody asks any more")
    with subscribe(connections, "two", LOOK) as two:
        client.publish("one", "late")
        client.publish("two", "second")
        assert two.next_message(PATIENCE_SECONDS) == b"second"
        assert two.next_message(0.01) is None
        client.publish("two", "of an earlier subscription")
    with subscribe(connections, "two", LOOK) as again:
        assert again.next_message(0.01) is None


def test_a_subscription_begins_with_a_look_at_the_record(client: Any, connections: ConnectionPool) -> None:
    with subscribe(connections, "one", LOOK) as one:
        assert one.initial_reply == [None]
        client.hset("t:job:record", "field", "value")
    with subscribe(connections, "two", LOOK) as two:
        assert two.initial_reply == [b"value"]
    with (
        pytest.raises(redis.ResponseError, match="wrong number of arguments"),
        subscribe(connections, "three", ("HMGET", "t:job:record")),
    ):
        pass
    with subscribe(connections, "three", LOOK) as three:
        assert three.initial_reply == [b"value"]


def test_a_connection_that_was_cut_meanwhile_is_opened_anew(client: Any, connections: ConnectionPool) -> None:
    with subscribe(connections, "one", LOOK):
        pass
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with subscribe(connections, "two", LOOK) as two:
        client.publish("two", "heard")
        assert two.next_message(PATIENCE_SECONDS) == b"heard"


def test_one_that_is_cut_while_it_waits_goes_on_and_says_that_it_may_have_missed_something(
    client: Any, connections: ConnectionPool
) -> None:
    with subscribe(connections, "one", LOOK) as one:
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert one.next_message(PATIENCE_SECONDS) is None
        client.publish("one", "heard")
        assert one.next_message(PATIENCE_SECONDS) == b"heard"
