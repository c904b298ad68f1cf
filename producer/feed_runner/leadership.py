"""The lead of a feed, kept by a thread of its own while the feed is polled.

The lead is given up in this process as soon as the lease may have ended by its own clock, which a pause of the process
does not stop. What is written in the meantime is refused by the fence (`ledger.feeds.feed_leases`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ledger.contracts.failures import LedgerError
from ledger.feeds.feed_leases import FeedLease
from ledger.ledger import Ledger
from producer.feed_runner.feed_log import LOGGER

ASKS_PER_LEASE = 4
MAX_ASK_SECONDS = 0.5
"""How often a standby asks at least: so soon it takes over from a leader that gives up its lead."""
LOOK_SECONDS = 5.0
"""Longest wait for a change of the lead: so soon a loop notices that the server's clock was set forward."""


class Leadership:
    """A feed runner's part in the lead of its feed.

    Parameters
    ----------
    ledger
        A ledger without a fence, of this object alone.
    name, runner, source
        The feed, this runner, and what is shown of the source.
    lease_seconds
        How long the lead holds without a renewal.
    on_change
        Called with True when this runner takes the lead, and with False when it has lost it.
    on_error
        Called with each error of the ledger.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        name: str,
        runner: str,
        source: str,
        lease_seconds: float,
        on_change: Callable[[bool], None],
        on_error: Callable[[LedgerError], None],
    ) -> None:
        self._ledger = ledger
        self._name, self._runner, self._source = name, runner, source
        self._lease_seconds = lease_seconds
        self._on_change, self._on_error = on_change, on_error
        self._lease: FeedLease | None = None
        self._valid_until = 0.0
        self._told = False
        self._changed = threading.Event()
        self._ask = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._keep, name="feed lease", daemon=True)

    def start(self) -> None:
        """Begin to ask for the lead."""
        self._thread.start()

    @property
    def fence(self) -> str | None:
        """The fence of this runner's lead; None while it stands by."""
        lease = self._lease
        return lease.fence if lease is not None and lease.leads and time.monotonic() < self._valid_until else None

    @property
    def stands_by(self) -> bool:
        """True if the last answer was that another runner leads."""
        return self._lease is not None and not self._lease.leads

    def wait(self, seconds: float = LOOK_SECONDS) -> None:
        """Wait until the lead has changed since the last wait, or for a time; for the one thread that polls."""
        self._changed.wait(min(seconds, LOOK_SECONDS))
        self._changed.clear()

    def lost(self) -> None:
        """Take note that the ledger has refused a write: another runner leads."""
        self._valid_until = 0.0
        self._ask.set()

    def stop(self) -> None:
        """Give up the lead at once; after an error of the ledger it ends with the lease."""
        self._stopping = True
        self._ask.set()
        self._changed.set()
        self._thread.join()
        self._valid_until = 0.0
        try:
            self._ledger.feeds.leases.leave(self._name, self._runner)
        except LedgerError as error:
            self._on_error(error)

    def _keep(self) -> None:
        while not self._stopping:
            before, asked = (self._lease is None, self.fence), time.monotonic()
            seconds = min(self._lease_seconds / ASKS_PER_LEASE, MAX_ASK_SECONDS)
            try:
                lease = self._ledger.feeds.leases.join(
                    self._name, self._runner, source=self._source, lease_seconds=self._lease_seconds
                )
                self._lease, self._valid_until = lease, asked + (lease.left_seconds if lease.leads else 0.0)
                if lease.leads:
                    seconds = self._lease_seconds / ASKS_PER_LEASE
            except LedgerError as error:
                self._on_error(error)
            except Exception:  # without this thread the runner would stand by for ever
                logging.getLogger(LOGGER).exception("request for the lead failed")
            leads = self.fence is not None
            if leads is not self._told:
                self._told = leads
                self._on_change(leads)
            if (self._lease is None, self.fence) != before:
                self._changed.set()
            self._ask.wait(seconds)
            self._ask.clear()
