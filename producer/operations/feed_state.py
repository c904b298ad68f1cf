"""The state of a feed in words, for tables and pages."""

from __future__ import annotations

from ledger.contracts.feeds import FeedStatus


def is_sound(feed: FeedStatus) -> bool:
    """Return True if a feed is read as it should be, or has been read to its end without a failure at last."""
    state = feed.state
    if state.failure is not None:
        return False
    return state.done or (feed.leader is not None and not state.budget.exhausted)


def state_text(feed: FeedStatus) -> str:
    """Return the state of a feed in a sentence."""
    state = feed.state
    if state.done:
        return "read to its end" if state.failure is None else f"ended after a failure: {state.failure.message}"
    if state.failure is not None:
        times = f" ({state.failure.count} times)" if state.failure.count > 1 else ""
        return f"fails{times}: {state.failure.message}"
    if feed.leader is None:
        return f"no feed runner for {feed.leaderless_seconds:,.0f} s"
    if state.budget.exhausted:
        return "its budget is used up"
    return "runs" if state.last_success else "starts"
