"""When a feed is polled, and what becomes of that if the budget is short."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.contracts.feeds import FeedBudget
from producer.feed_runner import budget as budgets
from producer.feed_runner.budget import Usage
from producer.feed_runner.poll_plan import FOREVER, Tier, next_poll, plan_polls, reset_after, spans, tier_at
from producer.feed_runner.settings import FeedSettings

SETTINGS = FeedSettings()
BELL = datetime(2026, 11, 21, 22, tzinfo=UTC)
HOUR, DAY = 3600.0, 86_400.0
WANTED = {Tier.NEAR: 60.0, Tier.DAY: 300.0, Tier.FAR: 1800.0, Tier.IDLE: 3600.0}


def before(seconds: float) -> float:
    return BELL.timestamp() - seconds


@pytest.mark.parametrize(
    ("seconds", "tier", "due"),
    [
        (9 * DAY, Tier.FAR, 9 * DAY - 1800),
        (DAY + 60, Tier.FAR, DAY - 240),  # soon within a day: five minutes after the last poll
        (DAY + 1700, Tier.FAR, DAY),
        (5 * HOUR, Tier.DAY, 5 * HOUR - 300),
        (2 * HOUR + 10, Tier.DAY, 2 * HOUR - 50),
        (2 * HOUR, Tier.NEAR, 2 * HOUR - 60),
        (61, Tier.NEAR, 1),
    ],
)
def test_the_interval_follows_from_the_time_to_the_event(seconds: float, tier: Tier, due: float) -> None:
    assert tier_at(before(seconds), [BELL], SETTINGS) is tier
    assert next_poll(before(seconds), [BELL], WANTED, SETTINGS) == pytest.approx(before(due))


def test_once_all_events_have_begun_no_price_is_polled() -> None:
    for moment in (before(30), before(-1), before(-DAY)):
        assert next_poll(moment, [BELL], WANTED, SETTINGS) == FOREVER
    assert tier_at(before(-1), [BELL], SETTINGS) is Tier.IDLE
    assert tier_at(before(0), [], SETTINGS) is Tier.IDLE


def test_the_next_of_several_events_decides() -> None:
    later = BELL + timedelta(days=7)
    assert next_poll(before(-1), [BELL, later], WANTED, SETTINGS) == pytest.approx(before(-1) + 1800)
    assert tier_at(before(60), [later, BELL], SETTINGS) is Tier.NEAR


@given(
    st.lists(st.integers(-3 * 86_400, 40 * 86_400), max_size=8),
    st.integers(0, 5000),
    st.integers(1, 40 * 86_400),
)
def test_no_plan_exceeds_its_budget(offsets: list[int], polls: int, length: int) -> None:
    """Polling as planned at any moment, with what is then left, until the provider counts from 0 again."""
    now = BELL.timestamp()
    starts = [BELL + timedelta(seconds=offset) for offset in offsets]
    plan = plan_polls(starts, now, SETTINGS, polls_left=polls, resets_at=now + length)
    needed = 0.0
    for span in spans(starts, now, now + length, SETTINGS):
        if span.tier is not Tier.IDLE:
            needed += (span.end - span.begin) / plan.intervals[span.tier]
    assert needed <= polls * (1 + 1e-9) + 1e-6
    assert all(plan.intervals[tier] >= WANTED[tier] for tier in Tier)


def test_the_far_polls_stretch_first_then_those_of_the_day() -> None:
    begin, reset = before(20 * DAY), before(0) + DAY
    near, day, far = 120, math.ceil(22 * 12), math.ceil(19 * 48)
    full = plan_polls([BELL], begin, SETTINGS, polls_left=near + day + far, resets_at=reset)
    assert (full.intervals, full.coverage) == (WANTED, 1.0)
    short = plan_polls([BELL], begin, SETTINGS, polls_left=near + day + 19, resets_at=reset)
    assert short.intervals == WANTED | {Tier.FAR: pytest.approx(DAY)}
    assert short.coverage == 1.0
    shorter = plan_polls([BELL], begin, SETTINGS, polls_left=near + 22, resets_at=reset)
    assert shorter.intervals == WANTED | {Tier.FAR: FOREVER, Tier.DAY: pytest.approx(HOUR)}
    assert shorter.coverage == pytest.approx((near + 22) / (near + day))
    shortest = plan_polls([BELL], begin, SETTINGS, polls_left=12, resets_at=reset)
    assert shortest.intervals == WANTED | {Tier.FAR: FOREVER, Tier.DAY: FOREVER, Tier.NEAR: pytest.approx(600.0)}
    empty = plan_polls([BELL], begin, SETTINGS, polls_left=0, resets_at=reset)
    assert {empty.intervals[tier] for tier in (Tier.NEAR, Tier.DAY, Tier.FAR)} == {FOREVER}
    assert empty.coverage == 0.0


def test_a_month_of_four_events_with_500_credits() -> None:
    """The figures of docs/decisions.md."""
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    starts = [begin + timedelta(days=7 * week + 5) for week in range(4)]
    month = [begin.timestamp(), begin.timestamp() + 30 * DAY]
    seconds = dict.fromkeys(Tier, 0.0)
    for span in spans(starts, *month, SETTINGS):
        seconds[span.tier] += span.end - span.begin
    wanted = {tier: seconds[tier] / WANTED[tier] for tier in Tier}
    assert (wanted[Tier.NEAR], wanted[Tier.DAY], wanted[Tier.FAR]) == (480, 1056, 1056)
    plan = plan_polls(starts, month[0], SETTINGS, polls_left=500, resets_at=month[1])
    assert plan.intervals[Tier.NEAR] == 60
    assert plan.intervals[Tier.DAY] == pytest.approx(4.4 * HOUR)
    assert plan.intervals[Tier.FAR] == FOREVER


def test_without_a_limit_the_settings_hold() -> None:
    plan = plan_polls([BELL], before(DAY), SETTINGS, polls_left=None, resets_at=before(0))
    assert (plan.intervals, plan.coverage) == (WANTED, None)


@pytest.mark.parametrize(
    ("moment", "day", "reset"),
    [
        ("2026-11-21T22:00:00+00:00", 1, "2026-12-01"),
        ("2026-12-01T00:00:00+00:00", 1, "2027-01-01"),
        ("2026-11-30T23:30:00-02:00", 1, "2027-01-01"),
        ("2026-11-21T22:00:00+00:00", 28, "2026-11-28"),
        ("2026-11-28T22:00:00+00:00", 28, "2026-12-28"),
    ],
)
def test_the_provider_counts_from_0_on_a_day_of_the_month(moment: str, day: int, reset: str) -> None:
    found = reset_after(datetime.fromisoformat(moment), day)
    assert found == datetime.fromisoformat(reset).replace(tzinfo=UTC)


class TestBudget:
    def test_a_poll_is_booked_and_corrected_by_the_response(self) -> None:
        before_poll = FeedBudget(remaining=100, spent=3, resets_at=BELL)
        assert (budgets.booked(before_poll, 2).remaining, budgets.booked(before_poll, 2).spent) == (98, 5)
        free = budgets.settled(before_poll, Usage(remaining=100, used=400, last=0), 2)
        assert (free.remaining, free.used, free.spent) == (100, 400, 3)
        silent = budgets.settled(before_poll, Usage(), 2)
        assert (silent.remaining, silent.spent) == (98, 5)
        others = budgets.settled(before_poll, Usage(remaining=40, last=2), 2)  # who share the key
        assert (others.remaining, others.spent) == (40, 5)

    def test_the_own_limit_holds_below_that_of_the_account(self) -> None:
        settings = FeedSettings(feed_monthly_budget=10)
        fresh = budgets.current(FeedBudget(), BELL, settings)
        assert (fresh.remaining, fresh.limit) == (10, 10)
        used = budgets.settled(fresh, Usage(remaining=5000, last=4), 1)
        assert (used.remaining, used.spent) == (6, 4)
        assert budgets.settled(fresh, Usage(remaining=3, last=4), 1).remaining == 3
        assert budgets.current(used, BELL, FeedSettings(feed_monthly_budget=5)).remaining == 1
        assert budgets.current(used, BELL, FeedSettings()).remaining is None  # until the next response says

    def test_it_is_exhausted_before_the_last_credits_do_not_pay_a_poll(self) -> None:
        assert FeedBudget(remaining=1, cost=2).exhausted
        assert not FeedBudget(remaining=2, cost=2).exhausted
        assert not FeedBudget().exhausted
        assert budgets.polls_left(FeedBudget(remaining=5, cost=2)) == 2

    def test_it_is_unknown_once_the_provider_counts_from_0(self) -> None:
        old = FeedBudget(remaining=0, used=500, spent=500, cost=2, resets_at=BELL)
        assert budgets.current(old, BELL - timedelta(seconds=1), SETTINGS) == old
        next_month = budgets.current(old, BELL, SETTINGS)
        assert (next_month.remaining, next_month.spent, next_month.used, next_month.cost) == (None, 0, None, 2)
        assert next_month.resets_at == datetime(2026, 12, 1, tzinfo=UTC)

    @pytest.mark.parametrize("text", ["", "many", "-1", "nan", "inf", "1e400"])
    def test_headers_that_are_no_numbers_say_nothing(self, text: str) -> None:
        assert Usage.from_headers({"x-requests-remaining": text}) == Usage()

    def test_headers(self) -> None:
        headers = {"x-requests-remaining": "480", "x-requests-used": "20.0", "x-requests-last": "1"}
        assert Usage.from_headers(headers) == Usage(remaining=480, used=20, last=1)
