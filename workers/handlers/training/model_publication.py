"""Publication of a trained model: register it, verify it, and assign its alias.

Only the first trained model becomes champion. If there is a champion, a new model becomes `challenger`, and an operator
promotes it through the promotion gate (docs/concepts/models.md). Other aliases are moved as requested. All calls of the
ledger are idempotent.
"""

from __future__ import annotations

from engine.model.bundle import Bundle
from engine.model.trained_ensemble import load_ensemble
from ledger.models.aliases import ANY_DIGEST, CHALLENGER, CHAMPION
from ledger.models.fighter_directories import FighterDirectory
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


def register_model(context: JobContext, bundle: Bundle) -> None:
    """Register a model and the fighters that it knows.

    Waits while the ledger is unavailable, since a training is too expensive to repeat.
    """
    manifest = bundle.manifest
    summary = {name: manifest[name] for name in SUMMARY_FIELDS if name in manifest}
    if (fighters := known_fighters(bundle)) is not None:
        retry_until_available(lambda: context.ledger.fighters.publish(bundle.digest, fighters))
    retry_until_available(lambda: context.ledger.models.register(bundle.digest, summary))


def known_fighters(bundle: Bundle) -> FighterDirectory | None:
    """Return the fighters of a model; None if it was trained on a feature matrix and knows none."""
    snapshot = load_ensemble(bundle).snapshot
    if snapshot is None:
        return None
    return FighterDirectory(snapshot.fighter_ids.tolist(), snapshot.names.tolist(), snapshot.ambiguous.tolist())


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
