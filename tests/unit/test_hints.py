from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from ledger.book import Ledger
from ledger.hints import MOST_KEPT, Hints

PATIENCE_SECONDS = 5.0


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Any]:
    opened: Any = redis.Redis.from_url(str(ledger.settings.redis_url), protocol=2)
    yield opened
    opened.close()


def test_a_subscription_hears_its_own_channel_only_though_its_connection_had_others(client: Any) -> None:
    hints = Hints(client)
    with hints.on("one") as one:
        assert one.next(PATIENCE_SECONDS) == b""
        client.publish("one", "first")
        assert one.next(PATIENCE_SECONDS) == b"first"
        client.publish("one", "nobody asks any more")
    with hints.on("two") as two:
        assert two.next(PATIENCE_SECONDS) == b""
        client.publish("one", "late")
        client.publish("two", "second")
        assert two.next(PATIENCE_SECONDS) == b"second"
        assert two.next(0.01) is None
    with hints.on("two") as again:
        assert again.next(PATIENCE_SECONDS) == b""
    hints.close()


def test_connections_are_kept_up_to_a_number_and_not_after_an_error(client: Any) -> None:
    hints = Hints(client)
    nested = [hints.on(f"channel {number}") for number in range(MOST_KEPT + 2)]
    for subscription in nested:
        assert subscription.__enter__().next(PATIENCE_SECONDS) == b""
    for subscription in nested:
        subscription.__exit__(None, None, None)
    assert len(hints._idle) == MOST_KEPT
    with pytest.raises(ZeroDivisionError), hints.on("one"):
        raise ZeroDivisionError
    assert len(hints._idle) == MOST_KEPT - 1
    hints.close()
    assert hints._idle == []


def test_a_connection_that_was_cut_meanwhile_is_opened_anew(client: Any) -> None:
    hints = Hints(client)
    with hints.on("one") as one:
        assert one.next(PATIENCE_SECONDS) == b""
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    with hints.on("two") as two:
        assert two.next(PATIENCE_SECONDS) == b""
    hints.close()
