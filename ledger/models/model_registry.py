"""What is known beside the jobs: models, living pools, depths, and what was put aside."""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.jobs.claims import QUEUES
from ledger.server.server import Server

MAX_QUARANTINED_BYTES = 10_000


class Registry(Server):
    """Models, pools and the operator's lists."""

    def register_model(self, digest: str, summary: dict[str, Any]) -> None:
        """Make a model known. `summary` holds JSON values."""
        self._call("HSET", self._key("models"), digest, msgspec.json.encode(summary))

    def models(self) -> list[dict[str, Any]]:
        """List the models: `digest`, `summary` and `aliases` of each, by digest."""
        summaries, aliases = self._call_all(("HGETALL", self._key("models")), ("HGETALL", self._key("aliases")))
        return [
            {
                "digest": digest.decode(),
                "summary": msgspec.json.decode(summary),
                "aliases": sorted(name.decode() for name, target in aliases.items() if target == digest),
            }
            for digest, summary in sorted(summaries.items())
        ]

    def announce_pool(self, name: str, info: dict[str, Any], ttl_seconds: float) -> None:
        """Say that a pool is alive, for `ttl_seconds`. `info` holds JSON values."""
        *_, names = self._call_all(
            ("SADD", self._key("pools"), name),
            ("SET", self._key("pool", name), msgspec.json.encode(info), "PX", round(ttl_seconds * 1000)),
            ("SMEMBERS", self._key("pools")),
        )
        alive = self._call_all(*(("EXISTS", self._key("pool", other.decode())) for other in sorted(names)))
        if gone := [other for other, lives in zip(sorted(names), alive, strict=True) if not lives]:
            self._call("SREM", self._key("pools"), *gone)  # one that lives after all announces itself again

    def pools(self) -> list[dict[str, Any]]:
        """List the living pools: the `name` of each with what it announced, by name."""
        names = sorted(self._call("SMEMBERS", self._key("pools")))
        if not names:
            return []
        infos = self._call("MGET", *(self._key("pool", name.decode()) for name in names))
        return [
            {"name": name.decode(), **msgspec.json.decode(info)}
            for name, info in zip(names, infos, strict=True)
            if info is not None
        ]

    def queue_depths(self) -> dict[str, int]:
        """Return how many jobs wait in each queue."""
        depths = self._call_all(*(("ZCARD", self._key("queue", queue)) for queue in QUEUES))
        return dict(zip(QUEUES, depths, strict=True))

    def server_time(self) -> float:
        """Return the server's clock, in seconds since 1970."""
        seconds, microseconds = self._call("TIME")
        return int(seconds) + int(microseconds) / 1e6

    def quarantine(self, queue: str, item: bytes) -> None:
        """Put an odd item of a queue aside, cut to a readable length; the oldest give way to the newest."""
        self._run("aside", queue, item[:MAX_QUARANTINED_BYTES], self.settings.quarantine_cap)

    def quarantined(self, queue: str, limit: int = 100) -> list[bytes]:
        """Return what was put aside, newest first."""
        return list(self._call("LRANGE", self._key("quarantine", queue), 0, limit - 1))

    def purge_quarantine(self, queue: str) -> int:
        """Throw away what was put aside and return how many items there were."""
        return int(self._run("purge", "quarantine", queue))
