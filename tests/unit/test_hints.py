from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from ledger.book import Ledger
from ledger.hints import MOST_KEPT, Hints

PATIENCE_SECONDS = 5.0
LOOK = ("HMGET", "record", "field")


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Any]:
    opened: Any = redis.Redis.from_url(str(ledger.settings.redis_url), protocol=2)
    yield opened
    opened.close()


def test_a_subscription_hears_its_own_channel_only_though_its_connection_had_others(client: Any) -> None:
    hints = Hints(client)
    with hints.on("one", LOOK) as one:
        client.publish("one", "first")
        assert one.next(PATIENCE_SECONDS) == b"first"
        client.publish("one", "nobody asks any more")
    with hints.on("two", LOOK) as two:
        client.publish("one", "late")
        client.publish("two", "second")
        assert two.next(PATIENCE_SECONDS) == b"second"
        assert two.next(0.01) is None
        client.publish("two", "of an earlier subscription")
    with hints.on("two", LOOK) as again:
        assert again.next(0.01) is None
    hints.close()


def test_a_subscription_begins_with_a_look_at_the_record(client: Any) -> None:
    hints = Hints(client)
    with hints.on("one", LOOK) as one:
        assert one.seen == [None]
        client.hset("record", "field", "value")
    with hints.on("two", LOOK) as two:
        assert two.seen == [b"value"]
    with pytest.raises(redis.ResponseError, match="wrong number of arguments"), hints.on("three", ("HMGET", "record")):
        pass
    with hints.on("three", LOOK) as three:
        assert three.seen == [b"value"]
    hints.close()


def test_connections_are_kept_up_to_a_number_and_not_after_an_error(client: Any) -> None:
    hints = Hints(client)
    nested = [hints.on(f"channel {number}", LOOK) for number in range(MOST_KEPT + 2)]
    for subscription in nested:
        subscription.__enter__()
    for subscription in nested:
        subscription.__exit__(None, None, None)
    assert len(hints._idle) == MOST_KEPT
    with pytest.raises(ZeroDivisionError), hints.on("one", LOOK):
        raise ZeroDivisionError
    assert len(hints._idle) == MOST_KEPT - 1
    hints.close()
    assert hints._idle == []


def test_a_connection_that_was_cut_meanwhile_is_opened_anew(client: Any) -> None:
    hints = Hints(client)
    with hints.on("one", LOOK):
        pass
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with hints.on("two", LOOK) as two:
        client.publish("two", "heard")
        assert two.next(PATIENCE_SECONDS) == b"heard"
    hints.close()


def test_one_that_is_cut_while_it_waits_goes_on_and_says_that_it_may_have_missed_something(client: Any) -> None:
    hints = Hints(client)
    with hints.on("one", LOOK) as one:
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert one.next(PATIENCE_SECONDS) is None
        client.publish("one", "heard")
        assert one.next(PATIENCE_SECONDS) == b"heard"
    hints.close()
