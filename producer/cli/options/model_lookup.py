"""Model lookup by alias, digest or the beginning of a digest."""

from __future__ import annotations

from typing import Any

from ledger.contracts.codec import job_refused
from producer.client import Client


def resolve_model(client: Client, text: str) -> dict[str, Any]:
    """Return the registered model that `text` names; an alias takes precedence over a digest.

    Raises JobRefusedError if `text` names no model, or several.
    """
    models = client.ledger.models.all()
    named = [model for model in models if text in model["aliases"]]
    found = named or [model for model in models if text and model["digest"].startswith(text)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(model["digest"][:12] for model in models) or "none"
    raise job_refused(f"{text[:80]!r} matches no alias and {len(found)} models' digests; the models are {known}")
