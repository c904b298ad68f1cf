"""The outcomes that a gateway keeps for its followers."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.events.outcome_feed import FeedEntry, OutcomeFeed


def entries(first: int, last: int) -> list[FeedEntry]:
    return [FeedEntry((number, 0), f"<{number}>".encode(), "kind", None, "succeeded") for number in range(first, last)]


def test_a_follower_ahead_of_its_gateway_is_not_sent_again_what_it_has_seen() -> None:
    async def run() -> list[bytes]:
        client: Any = None  # nothing is read from the ledger
        feed = OutcomeFeed(client, max_bytes=1000)
        feed._keep(entries(1, 4))
        follower = feed.follow("5-0")
        first = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0.01)
        feed._keep(entries(4, 6))
        feed._announce()
        await asyncio.sleep(0.01)
        assert not first.done()
        feed._keep(entries(6, 8))
        feed._announce()
        found = [await first]
        feed._keep(entries(8, 9))
        feed._announce()
        found.append(await anext(follower))
        await follower.aclose()
        return found

    assert asyncio.run(run()) == [b"<6><7>", b"<8>"]


def test_each_follower_waits_for_news_by_itself() -> None:
    """A future that all share searches its list of callbacks whenever one of them leaves."""

    async def run() -> None:
        client: Any = None  # nothing is read from the ledger
        feed = OutcomeFeed(client, max_bytes=1000)
        followers = [asyncio.ensure_future(anext(feed.follow("0-0"))) for _ in range(100)]
        await asyncio.sleep(0)
        assert len(feed._waiting) == feed.followers == 100
        followers[50].cancel()
        await asyncio.wait([followers[50]])
        assert len(feed._waiting) == feed.followers == 99
        for follower in followers:
            follower.cancel()
        await asyncio.wait(followers)
        assert not feed._waiting

    asyncio.run(run())
