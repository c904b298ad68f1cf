"""A trained model becomes known, and gets its name once this worker has proven it.

Training makes nobody champion but the first: where there is one, the model becomes `challenger`, and an operator
promotes it past the gate (docs/concepts/models.md). Other names are moved as asked for. All of it may be told the
ledger twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.models.aliases import ANYTHING, CHALLENGER, CHAMPION
from ledger.operations.control_store import ControlDiffers
from workers.jobs.context import JobContext
from workers.jobs.retry import insist
from workers.models.verification import proof_by

SUMMARY = ("data", "matrix", "config", "metrics", "versions", "bootstrap_samples", "interval_method")
"""Parts of a manifest that the ledger keeps, for those who compare models without opening them."""


def register(context: JobContext, digest: str, manifest: Mapping[str, Any]) -> None:
    """Make a model known, and wait for the ledger if it is away: training is too dear to be done again for that."""
    summary = {name: manifest[name] for name in SUMMARY if name in manifest}
    insist(lambda: context.ledger.models.register(digest, summary))


def name_model(context: JobContext, alias: str, digest: str) -> str:
    """Let `alias`, or `challenger` in place of a champion that is there, stand for the model; return which it was.

    Raises JobRefused where the model cannot be loaded or gives other answers than the known ones.
    """
    return insist(lambda: _name(context, alias, digest))


def _name(context: JobContext, alias: str, digest: str) -> str:
    if alias != CHAMPION:
        _move(context, alias, digest)
        return alias
    standing = context.ledger.aliases.resolve(CHAMPION)
    if standing is None:
        try:
            _move(context, CHAMPION, digest, expected=None)
        except ControlDiffers:  # another training was faster
            return _name(context, alias, digest)
        return CHAMPION
    if standing == digest:
        return CHAMPION
    _move(context, CHALLENGER, digest)
    return CHALLENGER


def _move(context: JobContext, alias: str, digest: str, expected: str | None = ANYTHING) -> None:
    if (
        context.ledger.aliases.resolve(alias) == digest
    ):  # the reply to the first time was lost, or there is nothing to move
        return
    job_id = context.claim.job_id
    context.ledger.aliases.move(
        alias,
        digest,
        verify=proof_by(context.models),
        user=f"job {job_id}",
        reason="trained",
        evidence={"training": job_id},
        expected=expected,
    )
