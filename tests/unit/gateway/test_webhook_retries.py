"""When a delivery is tried again, and when no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from gateway.settings import GatewaySettings
from gateway.webhooks.retries import MAX_DELAY_SECONDS, Response, Step, next_step, parse_retry_after

DAY = GatewaySettings().webhook_give_up_seconds


def after(response: Response, failures: int = 0, waited_seconds: float = 0.0) -> Step:
    first = GatewaySettings().webhook_first_retry_seconds
    return next_step(response, failures, waited_seconds, first_seconds=first, give_up_seconds=DAY)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_two_hundreds_are_deliveries(status: int) -> None:
    assert after(Response(status=status)) == Step(verdict="delivered")


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 307, 400, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    assert after(Response(status=status)).verdict == "retry"


def test_gone_ends_the_webhook() -> None:
    assert after(Response(status=410)).verdict == "disable"


def test_delays_grow_over_a_day_and_end_with_it() -> None:
    delays: list[float] = []
    while (step := after(Response(status=500), len(delays), sum(delays))).verdict == "retry":
        delays.append(step.delay_seconds)
        assert len(delays) < 100
    assert step.verdict == "dead"
    assert sum(delays) == pytest.approx(DAY)
    assert 10 < len(delays) < 20
    assert 4 <= delays[0] <= 6
    assert all(later > earlier for earlier, later in pairwise(delays[:7]))
    assert max(delays) <= MAX_DELAY_SECONDS * 1.2


def test_delays_differ_at_random() -> None:
    assert len({after(Response(status=500)).delay_seconds for _ in range(10)}) > 1


def test_retry_after_is_kept_and_holds_all_back_only_where_the_receiver_is_busy() -> None:
    for status in (429, 503):
        step = after(Response(status=status, retry_after="3600"))
        assert (step.verdict, step.hold_seconds) == ("retry", 3600)
        assert step.delay_seconds >= 3600
    step = after(Response(status=500, retry_after="3600"))
    assert (step.delay_seconds >= 3600, step.hold_seconds) == (True, 0)
    assert after(Response(status=503, retry_after="3600"), 12, DAY - 60).verdict == "dead"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("nan", 0),
        ("1e9", 0),
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("99999999999999999999", 86_400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", 0),
    ],
)
def test_a_retry_after_header(text: str | None, seconds: float) -> None:
    assert parse_retry_after(text) == seconds


def test_a_retry_after_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < parse_retry_after(soon) <= 100
