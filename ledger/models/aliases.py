"""The names of models: moved with compare-and-set, looked back on, and moved back.

`champion` answers cards; others are whatever one calls them. A move is a change of the control `model.ALIAS`, so each
stands in the append-only stream of changes with who, when, from, to, why, and the evidence it was decided on. Pools
learn what a name stands for as they claim a card: a move holds from the next claim on, and a card that runs ends on the
model it began with.

Whoever moves a name has the model proven first: `move_alias` and `roll_back` ask for the proof, `prove` is that of a
caller (a worker loads the model and gives its known answers); a worker brings its own. `set_alias` is the step alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from ledger.contracts.codec import check_alias, refuse
from ledger.contracts.failures import Failure, FailureCode, JobRefused, WaitTimeout
from ledger.contracts.job_state import Outcome, State
from ledger.contracts.jobs import CHALLENGER as CHALLENGER
from ledger.contracts.jobs import CHAMPION as CHAMPION
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.jobs.outcome_reader import Answers
from ledger.jobs.submission import Submission
from ledger.models.model_registry import Registry
from ledger.operations.control_store import Change, Switchboard, differs
from ledger.server.server import moment

ANYTHING = "*"
"""As `expected`: whatever the name stands for."""
PROOF_SECONDS = 30.0
GRACE_SECONDS = 5.0  # a check that nobody came to is taken back before it expires
_CONTROL = "model."  # begins the name of the control that an alias is
PROVING = ("model_loaded", "prediction")
"""Checks of a `HealthReport` that speak of the model; the others speak of the worker."""
MOST_MOVES = 10_000
"""So many moves of one alias are looked back on."""

Proof = Callable[[str], None]
"""Has the model of a digest loaded and its known answers compared. Raises JobRefused with the reason where it fails."""


class Aliases(Submission, Answers, Registry, Switchboard):
    """Names of models and their history."""

    def resolve_alias(self, name: str) -> str | None:
        """Return the digest that a name stands for."""
        digest = self._call("HGET", self._key("aliases"), name)
        return None if digest is None else str(digest.decode())

    def set_alias(self, name: str, digest: str, *, who: str = "", why: str = "") -> None:
        """Let a name stand for a model from now on, audited; neither is the model looked at nor its name compared.

        Raises JobRefused for a name in the shape of a digest.
        """
        check_alias(name)
        self._change((who, why, "", ""), {f"model.{name}": digest}, {})

    def move_alias(
        self,
        name: str,
        digest: str,
        *,
        prove: Proof,
        who: str,
        why: str,
        expected: str | None = ANYTHING,
        evidence: Mapping[str, Any] | None = None,
    ) -> Change:
        """Have a model proven, then let the name stand for it, and return the change.

        `expected` is what the name must stand for at that moment, None for nothing.

        Raises:
            JobRefused: the ledger does not know the model, or the proof failed, whose code it then has.
            ControlDiffers: the name stands for something else by now; nothing was changed.
        """
        return self._move(name, digest, prove, expected, who=who, why=why, evidence=evidence)

    def roll_back(
        self,
        name: str,
        *,
        prove: Proof,
        who: str,
        why: str,
        to: str | None = None,
        expected: str | None = ANYTHING,
        evidence: Mapping[str, Any] | None = None,
        alarm: str | None = None,
    ) -> Change:
        """Let a name stand for what it stood for before, or for `to` among that, and return the change.

        `alarm` names a model about which an alarm must stand at that moment. Once more goes a step further back. Raises
        as `move_alias` does, and JobRefused where there is no way back.
        """
        standing = self.resolve_alias(name)
        if expected not in (ANYTHING, standing):
            raise differs(f"model.{name}", standing)
        before = stood_for(reversed(self.alias_history(name, MOST_MOVES)))[:-1]
        if not before or (to is not None and to not in before):
            known = ", ".join(digest[:12] for digest in dict.fromkeys(reversed(before))) or "nothing"
            raise refuse(
                f"{name} cannot be rolled back{f' to {to[:12]}' if to else ''}: before it stood for {known}; "
                "another model is put there by `cornerman models promote`"
            )
        said = {"who": who, "why": why, "evidence": evidence, "alarm": alarm}
        return self._move(name, to or before[-1], prove, standing, rollback=True, **said)

    def alias_history(self, name: str, limit: int = 100) -> list[Change]:
        """Return the last moves of a name, newest first."""
        check_alias(name)
        return self.changes(limit, f"{_CONTROL}{name}")

    def alias_histories(self, limit: int = 100) -> list[Change]:
        """Return the last moves of all names together, newest first."""
        names = [name for name in self.changed_names() if name.startswith(_CONTROL)]
        moves = [change for name in names for change in self.changes(limit, name)]
        return sorted(moves, key=lambda change: change.order, reverse=True)[:limit]

    def prove(self, digest: str, timeout_seconds: float = PROOF_SECONDS) -> None:
        """Have a worker load a model anew and give its known answers.

        Raises:
            JobRefused: it could not, with the reason.
            WaitTimeout: no worker came to it in time.
        """
        if self.controls().flag("pause.predict"):
            raise refuse(f"the queue that would prove {digest[:12]} is paused: cornerman resume predict")
        deadline = moment(1000 * (self.server_time() + timeout_seconds + GRACE_SECONDS))
        # A pool of an earlier version takes what goes before all others for overdue, and ends it at once.
        for submit in (self.submit_first, self.submit):
            job = CheckHealth(model=digest, anew=True, nonce=uuid.uuid4().hex, deadline=deadline)
            outcome = self._checked_health(submit(job).job_id, digest, timeout_seconds)
            if outcome.state is not State.EXPIRED:
                break
        if (failure := unproven(digest, outcome)) is not None:
            raise JobRefused(failure)

    def _checked_health(self, job_id: str, digest: str, timeout_seconds: float) -> Outcome:
        try:
            return self.wait(job_id, timeout_seconds)
        except WaitTimeout:
            self.cancel(job_id)
            raise WaitTimeout(
                f"no worker has proved model {digest[:12]} within {timeout_seconds:g} s, nothing was changed: "
                "cornerman status shows the pools that predict, cornerman up starts one"
            ) from None

    def _move(
        self, name: str, digest: str, prove: Proof, expected: str | None, *, rollback: bool = False, **said: Any
    ) -> Change:
        if not self._knows(digest):
            raise refuse(f"no model {digest[:12]} is registered: see `cornerman models`")
        prove(digest)
        control = f"model.{name}"
        compared = None if expected == ANYTHING else {control: expected}
        (change,) = self.set_controls({control: digest}, expected=compared, rollback=rollback, **said)
        return change


def stood_for(changes: Iterable[Change]) -> list[str]:
    """Return what a name has stood for, oldest first, from its moves, oldest first; the last is what it stands for.

    A rollback takes off what it went back from, so that the next one goes further back and not forth again.
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


def unproven(digest: str, outcome: Outcome) -> Failure | None:
    """Return why the outcome of a check is no proof of a model, None where it is one."""
    if isinstance(report := outcome.report, HealthReport):
        return fault_of(digest, report.checks)
    failure = outcome.failure
    if failure is None:
        failure = Failure(code=FailureCode.INTERNAL, message="the check was answered by something else")
    return _of(digest, failure)


def fault_of(digest: str, checks: Iterable[HealthCheck]) -> Failure | None:
    """Return what is wrong with a model by the checks of a worker, None where it is proven."""
    looked_at = {check.name: check for check in checks}
    for name in PROVING:
        if (check := looked_at.get(name)) is None:
            return _of(digest, Failure(code=FailureCode.INTERNAL, message=f"the worker did not look at its {name}"))
        if not check.passed:
            return _of(digest, Failure(code=check.code or FailureCode.MODEL_CORRUPT, message=check.detail))
    return None


def _of(digest: str, failure: Failure) -> Failure:
    message = f"model {digest[:12]} was not proven, nothing was changed: {failure.message}"
    return msgspec.structs.replace(failure, message=message)
