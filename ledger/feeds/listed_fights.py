"""Fights that feeds have listed, and the last job of each card, so that polling a feed submits only what changed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from hashlib import sha256

from msgspec import Struct

from ledger.contracts.bouts import DAY
from ledger.contracts.failures import JobRefusedError
from ledger.jobs import backpressure
from ledger.server.error_replies import ServerFullError
from ledger.server.server import Server, to_datetime

_KEPT = 2 * DAY  # more than the difference between two starts of one bout


class ListedFight(Struct, frozen=True, kw_only=True):
    """A fight listed by a feed: its id there, the keys of its fighters (`ledger.contracts.bouts.bout_key`), its start.

    `listed` orders fights by when they were first listed, in microseconds of the server's clock; 0 if unknown.
    """

    id: str
    bout: tuple[str, str]
    start: datetime
    listed: int = 0


class ListedFights:
    """Listed fights and requested cards, shared by all who read feeds into one ledger."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def add_listed_fights(self, fights: Iterable[ListedFight]) -> list[ListedFight]:
        """Store fights of a feed and return all known ones, until two days after their start.

        Raises JobRefusedError if the server has no memory for new ones.
        """
        arguments = [
            part for fight in fights for part in (fight.id, int(fight.start.timestamp() * 1000), "|".join(fight.bout))
        ]
        try:
            answer = self._server.run_script("list_fights", int(_KEPT.total_seconds() * 1000), *arguments)
        except ServerFullError as error:
            raise JobRefusedError(backpressure.out_of_memory()) from error
        return [_listed(name, value) for name, value in zip(answer[::2], answer[1::2], strict=True)]

    def last_request(self, card: str) -> tuple[str, str] | None:
        """Return the digest of a card's last request and the id of its job, or None."""
        value = self._server.execute("GET", self._request_key(card))
        if value is None:
            return None
        digest, job_id = value.decode().split(" ", 1)
        return digest, job_id

    def remember_request(self, card: str, digest: str, job_id: str, *, until: datetime) -> None:
        """Store a card's last request, for as long as its job can be known.

        Skipped if the server is out of memory: the next poll then submits the same job again (see `producer.feed`).
        """
        seconds = max(until.timestamp() - self._server.time(), 0.0) + self._server.settings.retention_seconds
        with suppress(ServerFullError):
            self._server.execute("SET", self._request_key(card), f"{digest} {job_id}", "PX", int(seconds * 1000))

    def _request_key(self, card: str) -> str:
        return self._server.key("asked", sha256(card.encode()).hexdigest()[:32])


def _listed(name: bytes, value: bytes) -> ListedFight:
    start, listed, keys = value.decode().split(" ", 2)
    one, other = keys.split("|")
    return ListedFight(id=name.decode(), bout=(one, other), start=to_datetime(int(start)), listed=int(listed))
