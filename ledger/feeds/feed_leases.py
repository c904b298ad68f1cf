"""The lead of a feed: one feed runner holds it by a lease on the server's clock, the others stand by.

Each change of the leader makes a greater fence. A process that writes with `Server.fence` set to that of its lease is
refused with `LeadershipLostError` once another one leads, in the same step that would have written: a leader that was
paused for an hour can therefore spoil nothing.
"""

from __future__ import annotations

from msgspec import Struct

from ledger.server.server import Server


class FeedLease(Struct, frozen=True, kw_only=True):
    """Answer to a feed runner that asks for the lead.

    Attributes
    ----------
    leads
        The runner that asked leads, for the next `left_seconds`.
    leader
        The runner that leads, empty if there is none.
    fence
        What `Server.fence` must be for the writes of the leader.
    left_seconds
        How long the lease still holds.
    """

    leads: bool
    leader: str
    fence: str
    left_seconds: float


class FeedLeases:
    """Leases of the feeds of one ledger."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def join(self, name: str, runner: str, *, source: str, lease_seconds: float) -> FeedLease:
        """Register a feed, and take or renew its lead if it is free or held by this runner already.

        Parameters
        ----------
        name
            Name of the feed.
        runner
            Name of the feed runner, of which there are no two.
        source
            Where the feed is read from, without secrets, for people.
        lease_seconds
            How long the lead holds without a renewal.
        """
        return self._call(name, runner, lease_seconds, source)

    def leave(self, name: str, runner: str) -> FeedLease:
        """Give up the lead if this runner has it, and stand by no longer."""
        return self._call(name, runner, 0.0, "")

    def _call(self, name: str, runner: str, lease_seconds: float, source: str) -> FeedLease:
        leads, fence, leader, left = self._server.run_script(
            "feed_lease", name, runner, round(lease_seconds * 1000), source
        )
        return FeedLease(
            leads=leads == b"1",
            leader=leader.decode(),
            fence=f"feed:{name} {fence.decode()}",
            left_seconds=int(left) / 1000,
        )
