"""How much waits and for how long, in one look; and how far the answers have drifted from the results."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from ledger.contracts.monitoring_reports import Finding
from ledger.jobs.claims import QUEUES
from ledger.server.server import Server


class QueueBacklog(Struct, frozen=True):
    """What waits in a queue. `oldest_seconds` is since the submit of the oldest job, 0 at least."""

    waiting: int
    oldest_seconds: float
    quarantined: int


class Backlog(Struct, frozen=True):
    """All queues by name, and how many dead letters there are."""

    queues: dict[str, QueueBacklog]
    dead_letters: int


class Drift(Struct, frozen=True, kw_only=True):
    """How far a model's probabilities are from results, as a review has found.

    `drift` is by how much favourites are proven to win more, or less, often than said: 0 while nothing is proven.
    `features` is what the test of the features has found, None without such a test.
    """

    model: str
    drift: float
    fights: int
    features: Finding | None = None


class Backlogs(Server):
    """What a pool measures of the ledger."""

    def backlog(self) -> Backlog:
        """Measure every queue, on the server's clock; one round trip."""
        now, dead, *queues = self._run("backlog", *QUEUES)
        return Backlog(
            {
                queue: QueueBacklog(waiting, max(0, int(now) - int(oldest or now)) / 1000, quarantined)
                for queue, (waiting, oldest, quarantined) in zip(QUEUES, queues, strict=True)
            },
            dead,
        )

    def set_drift(self, drift: Drift) -> None:
        """Keep what was found last when answers were held against results; pools publish it."""
        self._call("SET", self._key("drift"), msgspec.json.encode(drift))

    def drift(self) -> Drift | None:
        """Return what was kept last; None where nobody has held answers against results."""
        kept = self._call("GET", self._key("drift"))
        return None if kept is None else msgspec.json.decode(kept, type=Drift)
