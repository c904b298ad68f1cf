from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ledger.contracts.feeds import FeedBudget, FeedFailure, FeedState, FeedStatus
from producer.operations.feed_state import is_sound, state_text

MOMENT = datetime(2026, 8, 1, tzinfo=UTC)
FAILURE = FeedFailure(reason="unauthorized", message="the key is wrong", at=MOMENT)


@pytest.mark.parametrize(
    ("leader", "state", "text", "sound"),
    [
        ("one", FeedState(last_success=MOMENT), "runs", True),
        ("one", FeedState(), "starts", True),
        ("one", FeedState(failure=FAILURE), "fails: the key is wrong", False),
        ("one", FeedState(budget=FeedBudget(remaining=0)), "its budget is used up", False),
        (None, FeedState(last_success=MOMENT), "no feed runner for 3 s", False),
        (None, FeedState(done=True), "read to its end", True),
        (None, FeedState(done=True, failure=FAILURE), "ended after a failure: the key is wrong", False),
    ],
)
def test_the_state_of_a_feed_hides_no_failure(leader: str | None, state: FeedState, text: str, sound: bool) -> None:
    feed = FeedStatus(name="f", source="s", registered_at=MOMENT, leader=leader, leaderless_seconds=3.0, state=state)
    assert (state_text(feed), is_sound(feed)) == (text, sound)
