"""Aliases of models: move with compare-and-set, read the history, roll back.

The model `champion` answers cards; other aliases have any name. A move is a change of the control `model.ALIAS`, so
the append-only stream of changes records each with user, time, old and new model, reason, and evidence. Workers resolve
an alias when they claim a card: a move holds from the next claim on; a running card keeps the model it began with.

A model is verified before an alias moves to it: `Aliases.move` and `Aliases.roll_back` take a verifier. A caller passes
`ledger.models.verification.Verification.verify_model`; a worker passes its own. `Aliases.set` does not verify.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ledger.contracts.codec import check_alias, job_refused
from ledger.contracts.jobs import CHALLENGER as CHALLENGER
from ledger.contracts.jobs import CHAMPION as CHAMPION
from ledger.models.model_registry import ModelRegistry
from ledger.models.verification import ModelVerifier
from ledger.operations.control_store import ControlChange, ControlStore, control_conflict
from ledger.server.server import Server

ANY_DIGEST = "*"
"""Value of `expected` for any model, or none."""
_CONTROL = "model."  # prefix of the control that holds an alias
MAX_MOVES = 10_000
"""How many moves of one alias are read back."""


class Aliases:
    """Aliases of models and their history."""

    def __init__(self, server: Server, models: ModelRegistry, controls: ControlStore) -> None:
        self._server = server
        self._models = models
        self._controls = controls

    def resolve(self, name: str) -> str | None:
        """Return the digest of the model that an alias points to, None if it does not exist."""
        digest = self._server.execute("HGET", self._server.key("aliases"), name)
        return None if digest is None else str(digest.decode())

    def set(self, name: str, digest: str, *, user: str = "", reason: str = "") -> None:
        """Point an alias to a model, audited, without verifying the model or comparing the current one.

        Raises JobRefusedError for a name with the shape of a digest.
        """
        check_alias(name)
        self._controls.apply_change((user, reason, "", ""), {f"model.{name}": digest}, {})

    def move(
        self,
        name: str,
        digest: str,
        *,
        verify: ModelVerifier,
        user: str,
        reason: str,
        expected: str | None = ANY_DIGEST,
        evidence: Mapping[str, Any] | None = None,
    ) -> ControlChange:
        """Verify a model, then point the alias to it, and return the change.

        `expected` is the model that the alias must point to at that time, None for no model.

        Raises
        ------
        JobRefusedError
            The ledger does not know the model, or the verification failed, with its code.
        ControlConflictError
            The alias points to another model by now; nothing was changed.
        """
        return self._move(name, digest, verify, expected, user=user, reason=reason, evidence=evidence)

    def roll_back(
        self,
        name: str,
        *,
        verify: ModelVerifier,
        user: str,
        reason: str,
        to: str | None = None,
        expected: str | None = ANY_DIGEST,
        evidence: Mapping[str, Any] | None = None,
        alarm: str | None = None,
    ) -> ControlChange:
        """Point an alias to its previous model, or to `to` among the earlier ones, and return the change.

        `alarm` names a model whose drift alarm must stand at that time. A second rollback goes one step further back.
        Raises as `move` does, and JobRefusedError if there is no earlier model.
        """
        standing = self.resolve(name)
        if expected not in (ANY_DIGEST, standing):
            raise control_conflict(f"model.{name}", standing)
        before = alias_stack(reversed(self.history(name, MAX_MOVES)))[:-1]
        if not before or (to is not None and to not in before):
            known = ", ".join(digest[:12] for digest in dict.fromkeys(reversed(before))) or "none"
            raise job_refused(
                f"{name} cannot be rolled back{f' to {to[:12]}' if to else ''}: its earlier models: {known}; "
                "promote another model with `cornerman models promote`"
            )
        audit = {"user": user, "reason": reason, "evidence": evidence, "alarm": alarm}
        return self._move(name, to or before[-1], verify, standing, rollback=True, **audit)

    def history(self, name: str, limit: int = 100) -> list[ControlChange]:
        """Return the last moves of an alias, newest first."""
        check_alias(name)
        return self._controls.changes(limit, f"{_CONTROL}{name}")

    def all_histories(self, limit: int = 100) -> list[ControlChange]:
        """Return the last moves of all aliases together, newest first."""
        names = [name for name in self._controls.changed_names() if name.startswith(_CONTROL)]
        moves = [change for name in names for change in self._controls.changes(limit, name)]
        return sorted(moves, key=lambda change: change.sort_key, reverse=True)[:limit]

    def _move(
        self,
        name: str,
        digest: str,
        verify: ModelVerifier,
        expected: str | None,
        *,
        rollback: bool = False,
        **audit: Any,
    ) -> ControlChange:
        if not self._models.is_registered(digest):
            raise job_refused(f"no model {digest[:12]} is registered: see `cornerman models`")
        verify(digest)
        control = f"model.{name}"
        compared = None if expected == ANY_DIGEST else {control: expected}
        (change,) = self._controls.set({control: digest}, expected=compared, rollback=rollback, **audit)
        return change


def alias_stack(changes: Iterable[ControlChange]) -> list[str]:
    """Return the models of an alias as a stack, the current one last, from its moves, oldest first.

    A rollback removes the model that it left, so that the next rollback goes further back and not forward again.
    """
    digests: list[str] = []
    for change in changes:
        if not digests and change.before is not None:
            digests.append(change.before)
        if change.after is None:
            continue
        if change.rollback and change.after in digests:
            while digests[-1] != change.after:
                digests.pop()
        elif change.after not in digests[-1:]:
            digests.append(change.after)
    return digests
