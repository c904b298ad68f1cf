"""Outcomes that are not visible before the disk or replicas have them.

With `CORNERMAN_OUTCOME_DURABILITY` an outcome is written in two steps. Every script that ends a job prepares its
outcome: it is final, and the job looks open. A pool, or a caller that cancels, then waits once (`WAITAOF` or `WAIT`)
for all outcomes that are prepared, and makes these visible. So after a failover or a power cut, the server has each
outcome that a reader has seen, at least prepared, and it becomes visible again; a job whose prepared outcome was lost
runs again, and no reader has seen another one.

What outcomes wait for is stored in the ledger, and so applies to every process; pools set it when they start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ledger.contracts.failures import LedgerError
from ledger.durability.confirmations import (
    Confirmation,
    Missing,
    NotDurableError,
    check_confirmation,
    missing_replicas,
    script_confirmed,
)
from ledger.server.base_server import BaseServer
from ledger.server.exchanges import Exchange
from ledger.server.server import Server

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

MAX_LISTED = 10_000
"""How many outcomes are confirmed by one wait."""
MAX_SHOWN = 250
"""How many outcomes one script makes visible, so that none blocks the server for long."""


class ConfirmedOutcomes(msgspec.Struct, frozen=True, kw_only=True):
    """What one confirmation did.

    Attributes
    ----------
    shown
        Number of outcomes made visible.
    waiting
        Number of prepared outcomes that could not be confirmed.
    missing, reason
        What was missing for these, and a sentence about it.
    """

    shown: int = 0
    waiting: int = 0
    missing: Missing | None = None
    reason: str = ""


class UnconfirmedOutcomes(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes that are prepared, and which no reader sees before they are confirmed.

    Attributes
    ----------
    count
        Their number.
    oldest_seconds
        How long the oldest of them has waited.
    durability
        What they wait for, as `OutcomeConfirmation.durability` returns it.
    reason
        Why they cannot be confirmed, if the number of connected replicas shows it; else empty.
    """

    count: int = 0
    oldest_seconds: float = 0.0
    durability: str = "none"
    reason: str = ""

    def __str__(self) -> str:
        """Return how many wait for what, and why; empty if none waits."""
        if not self.count:
            return ""
        wait = "1 outcome waits" if self.count == 1 else f"{self.count:,} outcomes wait"
        why = f": {self.reason}" if self.reason else ""
        return f"{wait} for durability {self.durability!r}, the oldest for {self.oldest_seconds:,.0f} s{why}"


class _Listing(NamedTuple):
    """Prepared outcomes: ids with the times at which they were prepared, one after the other."""

    run: bytes
    marked: bytes
    entries: list[bytes]


class ConfirmationExchanges:
    """Confirmation of prepared outcomes, as exchanges with a server."""

    def __init__(self, server: BaseServer) -> None:
        self._server = server

    def set_durability(self) -> Exchange[str | None]:
        """Implement `OutcomeConfirmation.set_durability`."""
        settings = self._server.settings
        counts, level = self._server.key("counts"), settings.outcome_durability
        if level is None:
            return None
        if level == "none":
            before, _ = yield from self._server.multi(("HGET", counts, "durability"), ("HDEL", counts, "durability"))
            return "none" if before else None
        confirmation = Confirmation.of_level("disk" if level == "disk" else "replica", settings)
        try:
            yield from check_confirmation(self._server, confirmation)
        except NotDurableError as error:
            if error.missing is not Missing.REPLICA:  # replicas come and go
                raise LedgerError(f"CORNERMAN_OUTCOME_DURABILITY={level} is not possible here: {error}") from error
        text = level if level == "disk" else f"replica {settings.durable_replicas} {settings.replica_storage}"
        before, _ = yield from self._server.multi(("HGET", counts, "durability"), ("HSET", counts, "durability", text))
        return None if before == text.encode() else text

    def confirm(self) -> Exchange[ConfirmedOutcomes]:
        """Implement `OutcomeConfirmation.confirm`."""
        durability, waiting = yield from self._server.multi(
            ("HGET", self._server.key("counts"), "durability"), ("ZCARD", self._server.key("prepared"))
        )
        if not waiting:
            return ConfirmedOutcomes()
        return (yield from self.confirm_prepared((durability or b"").decode()))

    def unconfirmed(self) -> Exchange[UnconfirmedOutcomes]:
        """Implement `OutcomeConfirmation.unconfirmed`."""
        prepared = self._server.key("prepared")
        value, count, oldest, now = yield from self._server.multi(
            ("HGET", self._server.key("counts"), "durability"),
            ("ZCARD", prepared),
            ("ZRANGEBYSCORE", prepared, "-inf", "+inf", "WITHSCORES", "LIMIT", 0, 1),
            ("TIME",),
        )
        if not count:
            return UnconfirmedOutcomes()
        durability = (value or b"none").decode()
        seconds = int(now[0]) + int(now[1]) / 1e6 - float(oldest[1]) / 1e6
        confirmation = self._confirmation(durability)
        needed = 0 if confirmation is None else confirmation.replicas
        reason = yield from missing_replicas(self._server, needed)
        return UnconfirmedOutcomes(count=count, oldest_seconds=max(0.0, seconds), durability=durability, reason=reason)

    def confirm_prepared(self, durability: str) -> Exchange[ConfirmedOutcomes]:
        """Wait once for the outcomes that are prepared now, and make them visible. `durability` is the ledger's."""
        confirmation = self._confirmation(durability)
        with self._server.translate_errors():
            try:
                listing_arguments, missing = (MAX_LISTED, "", ""), None
                if confirmation is None:
                    answer = yield from self._server.script("confirm", *listing_arguments)
                else:
                    answer, missing = yield from script_confirmed(
                        self._server, "confirm", listing_arguments, confirmation
                    )
            except redis.ResponseError as error:
                if "WAITAOF" not in str(error):
                    raise
                return ConfirmedOutcomes(waiting=1, missing=Missing.APPEND_ONLY_FILE, reason=str(error))
        _, _, run, marked, *entries = answer
        listing = _Listing(run, marked, entries)
        if missing is not None and entries:
            return ConfirmedOutcomes(waiting=len(entries) // 2, missing=missing[0], reason=missing[1])
        shown = 0
        for first in range(0, len(entries), 2 * MAX_SHOWN):
            part = listing.entries[first : first + 2 * MAX_SHOWN]
            shown += int((yield from self._server.script("confirm", 0, listing.run, listing.marked, *part))[0])
        return ConfirmedOutcomes(shown=shown)

    def _confirmation(self, durability: str) -> Confirmation | None:
        level, *figures = durability.split()[:3] or [""]
        settings = self._server.settings
        if level == "replica":
            replicas, storage = figures
            return Confirmation.of_storage(int(replicas), settings, local=storage == "disk")
        return Confirmation.of_storage(0, settings, local=True) if level == "disk" else None


class OutcomeConfirmation:
    """Outcomes that are not visible before the disk or replicas have them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._exchanges = ConfirmationExchanges(server)

    def set_durability(self) -> str | None:
        """Store what outcomes wait for, as `CORNERMAN_OUTCOME_DURABILITY` says, for every process of the ledger.

        Returns
        -------
        The new value, None if it is unchanged or the setting says nothing.

        Raises
        ------
        LedgerError
            The server cannot confirm it: it has no append-only file, or no `WAITAOF`.
        """
        return self._server.run(self._exchanges.set_durability())

    def durability(self) -> str:
        """Return what outcomes wait for in this ledger: `none`, `disk`, or `replica` with their number and storage."""
        return (self._server.execute("HGET", self._server.key("counts"), "durability") or b"none").decode()

    def unconfirmed(self) -> UnconfirmedOutcomes:
        """Return how many outcomes are prepared and not confirmed, since when, and why if that can be seen."""
        return self._server.run(self._exchanges.unconfirmed())

    def confirm(self) -> ConfirmedOutcomes:
        """Wait once for the outcomes that are prepared now, and make them visible."""
        return self._server.run(self._exchanges.confirm())

    def confirm_when_notified(self, timeout_seconds: float) -> ConfirmedOutcomes:
        """Wait until an outcome is prepared, at most until the timeout, and confirm what is there."""
        self._server.execute(
            "BRPOP", self._server.key("doorbell", "prepared"), timeout_seconds, blocks_seconds=timeout_seconds
        )
        return self.confirm()
