"""The registered models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ledger.contracts.codec import job_refused
from ledger.server.server import Server


class ModelRegistry:
    """Registered models."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def register(self, digest: str, summary: dict[str, Any]) -> None:
        """Register a model. `summary` contains JSON values."""
        self._server.execute("HSET", self._server.key("models"), digest, msgspec.json.encode(summary))

    def all(self) -> list[dict[str, Any]]:
        """Return all models by digest, each with `digest`, `summary` and `aliases`."""
        summaries, aliases = self._server.transaction(
            ("HGETALL", self._server.key("models")), ("HGETALL", self._server.key("aliases"))
        )
        return [
            {
                "digest": digest.decode(),
                "summary": msgspec.json.decode(summary),
                "aliases": sorted(name.decode() for name, target in aliases.items() if target == digest),
            }
            for digest, summary in sorted(summaries.items())
        ]

    def find(self, text: str) -> dict[str, Any]:
        """Return the model that `text` names: an alias, a digest or the beginning of a digest, in this order.

        Raises JobRefusedError if `text` names no model, or several.
        """
        models = self.all()
        named = [model for model in models if text in model["aliases"]]
        found = named or [model for model in models if text and model["digest"].startswith(text)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(model["digest"][:12] for model in models) or "none"
        raise job_refused(f"{text[:80]!r} matches no alias and {len(found)} models' digests; the models are {known}")

    def summary(self, digest: str) -> dict[str, Any]:
        """Return the summary of a model, empty if it is not registered."""
        summary = self._server.execute("HGET", self._server.key("models"), digest)
        return {} if summary is None else msgspec.json.decode(summary)

    def origin(self, digest: str) -> str:
        """Return the model that was trained or re-anchored last: `digest` itself unless its state alone was renewed."""
        return _origin(digest, self.summary(digest))

    def origins(self) -> dict[str, str]:
        """Return the `origin` of every registered model."""
        return {model["digest"]: _origin(model["digest"], model["summary"]) for model in self.all()}

    def is_registered(self, digest: str) -> bool:
        """Return True if a model is registered."""
        return self._server.execute("HGET", self._server.key("models"), digest) is not None


def _origin(digest: str, summary: Mapping[str, Any]) -> str:
    return str(summary.get("derived", {}).get("origin", digest))
