"""What finds the primary of a ledger, and notices that another server has become it."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod

import redis

from ledger.server.topology.addresses import Node

CHECK_SECONDS = 1.0
"""How old the answer of the sentinels, or of the cluster, may be while a connection is in use."""

MAX_SHARE = 0.05
"""Which share of the time asking may take: if asking takes long, the next check waits in proportion."""


class PrimaryUnknownError(redis.ConnectionError):
    """None of those asked can say where the primary is now; `advice` says why. Another attempt may succeed."""

    def __init__(self, advice: str) -> None:
        super().__init__(advice)
        self.advice = advice


class WrongServerError(redis.ConnectionError):
    """Who was asked is of another kind than the URL says, or refuses the user; `advice` says what to write.

    Another attempt gives the same.
    """

    final = True

    def __init__(self, advice: str) -> None:
        super().__init__(advice)
        self.advice = advice


class PrimaryChangedError(redis.ConnectionError):
    """The server of a connection is not the primary any more, whether or not it knows it yet."""

    def __init__(self, node: Node) -> None:
        super().__init__(f"{node} is not the primary any more")
        self.advice = f"{node} is not the primary any more: try again"


class Resolver(ABC):
    """Finds the primary for the connections of a client; threads and forked processes may share it.

    A server that was stopped or cut off, and comes back, takes itself for the primary until a sentinel makes it a
    replica, and what it accepts until then is lost. So the answer of `find` is checked again while connections are in
    use, at most every `CHECK_SECONDS`: a call costs a look at the clock.

    Attributes
    ----------
    name
        Who is asked about what, for messages.
    mode
        What the primary must call itself in its reply to HELLO: "standalone" or "cluster".
    """

    name: str
    mode: str

    def __init__(self) -> None:
        self._latest: Node | None = None
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._next_check_seconds = 0.0
        self._process = os.getpid()

    @abstractmethod
    def find(self, timeout_seconds: float) -> Node:
        """Ask where the primary is now.

        Raises PrimaryUnknownError if this is unknown now, and WrongServerError if asking again is of no use.
        """

    def primary(self, timeout_seconds: float) -> Node:
        """Return where the primary is now, for a connection that is opened. Raises as `find` does."""
        self._check_process()
        found = self.find(timeout_seconds)
        self._note(found, time.monotonic())
        return found

    @property
    def check_is_due(self) -> bool:
        """True if the latest answer is too old to go by."""
        return time.monotonic() >= self._next_check_seconds

    def is_primary(self, node: Node) -> bool:
        """Return False if the latest answer names another server."""
        return node == self._latest

    def check(self, timeout_seconds: float) -> None:
        """Ask again if a check is due; if the primary is unknown now, the latest answer stays."""
        self._check_process()
        with self._lock:  # the others wait: their replies may be those of the server in question
            started_seconds = time.monotonic()
            if started_seconds < self._next_check_seconds:
                return
            try:
                self._note(self.find(timeout_seconds), started_seconds)
            except redis.RedisError:  # a working connection is not given up because those who are asked are away
                self._note(self._latest, started_seconds)

    def _note(self, found: Node | None, started_seconds: float) -> None:
        self._latest = found
        now_seconds = time.monotonic()
        self._next_check_seconds = now_seconds + max(CHECK_SECONDS, (now_seconds - started_seconds) / MAX_SHARE)

    def _check_process(self) -> None:
        if self._process != os.getpid():  # a fork: another thread of the parent may have held the lock
            self._begin()
