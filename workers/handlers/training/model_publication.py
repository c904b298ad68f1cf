"""Publication of a trained model: register it, verify it, and assign its alias.

Only the first trained model becomes champion. If there is a champion, a new model becomes `challenger`, and an operator
promotes it through the promotion gate (docs/concepts/models.md). Other aliases are moved as requested. All calls of the
ledger are idempotent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.models.aliases import ANY_DIGEST, CHALLENGER, CHAMPION
from ledger.operations.control_store import ControlConflictError
from workers.jobs.context import JobContext
from workers.jobs.retry import retry_until_available
from workers.models.verification import local_verifier

SUMMARY_FIELDS = (
    "data",
    "matrix",
    "config",
    "metrics",
    "versions",
    "bootstrap_samples",
    "interval_method",
    "state",
    "derived",
    "anchoring",
)
"""Fields of a manifest that the ledger stores, so that models can be compared without opening them."""


def register_model(context: JobContext, digest: str, manifest: Mapping[str, Any]) -> None:
    """Register a model; wait while the ledger is unavailable, since a training is too expensive to repeat."""
    summary = {name: manifest[name] for name in SUMMARY_FIELDS if name in manifest}
    retry_until_available(lambda: context.ledger.models.register(digest, summary))


def assign_alias(context: JobContext, alias: str, digest: str) -> str:
    """Move `alias` to the model, or `challenger` if there is a champion; return the moved alias.

    Raises JobRefusedError if the model cannot be opened or does not reproduce its reference predictions.
    """
    return retry_until_available(lambda: _name(context, alias, digest))


def _name(context: JobContext, alias: str, digest: str) -> str:
    if alias != CHAMPION:
        _move(context, alias, digest)
        return alias
    standing = context.ledger.aliases.resolve(CHAMPION)
    if standing is None:
        try:
            _move(context, CHAMPION, digest, expected=None)
        except ControlConflictError:  # another training has become champion meanwhile
            return _name(context, alias, digest)
        return CHAMPION
    if standing == digest:
        return CHAMPION
    _move(context, CHALLENGER, digest)
    return CHALLENGER


def _move(context: JobContext, alias: str, digest: str, expected: str | None = ANY_DIGEST) -> None:
    if context.ledger.aliases.resolve(alias) == digest:  # also after a lost reply to an earlier call
        return
    job_id = context.claim.job_id
    context.ledger.aliases.move(
        alias,
        digest,
        verify=local_verifier(context.models),
        user=f"job {job_id}",
        reason="trained",
        evidence={"training": job_id},
        expected=expected,
    )
