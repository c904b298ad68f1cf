"""History of an alias for the promotion gate: the anchor, and the count of tries for a champion's place.

Each promotion may lose a little (`ledger.models.promotion_gate.LOG_LOSS_TOLERANCE`), and many of them a lot. So a
challenger is compared with the *anchor* as well: the last model of the sequence that was shown to be better than the
anchor before it. The first anchor is the model that the sequence began with, by a training, by hand or by force. A
promotion records the anchor in its evidence; after a rollback the anchor is that of the restored model.

Many tries would get a poor challenger past any test, so the error that a test may make is spread over the tries
(`ledger.models.promotion_gate.error_for_try`). A try is a comparison with a report; comparing the same models on the
same data again is the same try. Tries are counted for each alias and the model that it points to.

An updated model, of which the fighters' state alone is new, has the members of its base, and the gate cannot
distinguish the two. It is promoted by its own rule (`ledger.models.update_gate`), and it inherits: the anchor, and the
tries, which are counted for the model that both come from.

    <ns>:tries:<name>:<digest>    zset    comparisons of challengers with that model (digest of the job) by time
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.contracts import codec
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import JudgeModels
from ledger.contracts.judgement_report import JudgementReport
from ledger.contracts.update_report import UpdateReport
from ledger.models.aliases import Aliases
from ledger.models.drift_alarms import DriftAlarms
from ledger.models.model_registry import ModelRegistry
from ledger.models.promotion_gate import INCUMBENTS
from ledger.models.verification import ModelVerifier
from ledger.operations.control_store import ControlChange
from ledger.server.server import Server

ANCHOR_KEY = "anchor"
"""Key of a promotion's evidence for the anchor of the next one."""
_MOST_CHANGES = 10_000


class Promotions:
    """History of an alias as far as the promotion gate needs it."""

    def __init__(self, server: Server, models: ModelRegistry, aliases: Aliases, alarms: DriftAlarms) -> None:
        self._server = server
        self._models = models
        self._aliases = aliases
        self._alarms = alarms

    def anchor(self, name: str, standing: str | None) -> str | None:
        """Return the anchor of an alias that points to the model `standing`; None if it points to none."""
        for change in self._aliases.history(name, _MOST_CHANGES):
            if change.after == standing and not change.rollback:
                return str((change.evidence or {}).get(ANCHOR_KEY, standing))
        return standing

    def count_try(self, name: str, job: JudgeModels) -> JudgeModels:
        """Count a comparison for the place of `job.champion`, and return the job with its number."""
        key, member = self._tries(name, job)
        *_, members = self._server.transaction(
            ("ZADD", key, "NX", self._server.time(), member),
            ("ZREVRANGE", key, 0, -1),
        )
        return msgspec.structs.replace(job, tries=len(members) - members.index(member.encode()))

    def uncount_try(self, name: str, job: JudgeModels) -> None:
        """Remove a comparison without a report from the count."""
        self._server.execute("ZREM", *self._tries(name, job))

    def promote_update(
        self, name: str, outcome: Outcome, *, verify: ModelVerifier, user: str, reason: str
    ) -> ControlChange | None:
        """Point an alias from the base of an update to the updated model, and return the change.

        Parameters
        ----------
        name
            The alias.
        outcome
            The outcome of an `UpdateModel`.
        verify
            As in `Aliases.move`.
        user, reason
            For the history.

        Returns
        -------
        ControlChange or None
            None if the alias points to the model of the report already.

        Raises
        ------
        JobRefusedError
            The outcome is no update, its verdict is against the promotion, a drift alarm stands for the base, the alias
            was rolled back from this model before, or the verification failed.
        ControlConflictError
            The alias no longer points to the base; nothing was changed.
        """
        report = outcome.report
        if not isinstance(report, UpdateReport):
            raise codec.job_refused(f"job {outcome.job_id} has no report of an update: see cornerman result")
        if self._aliases.resolve(name) == report.model:
            return None
        if not report.verdict.promote:
            reasons = "; ".join(reason.message for reason in report.verdict.reasons)
            raise codec.job_refused(f"{name} keeps its model: {reasons}")
        origin = self._models.origin(report.base)
        if any(self._models.origin(alarm.model) == origin for alarm in self._alarms.active()):
            raise codec.job_refused(
                f"{name} keeps its model: a drift alarm stands for {origin[:12]}, and an update has the same members; "
                "promote another model, or clear the alarm with `cornerman models clear-alarm`"
            )
        moves = self._aliases.history(name, _MOST_CHANGES)
        if any(change.rollback and change.before == report.model for change in moves):
            raise codec.job_refused(
                f"{name} keeps its model: it was rolled back from {report.model[:12]}, and no timer undoes that; use a "
                "log with later fights, or `cornerman models promote --force`"
            )
        return self._aliases.move(
            name,
            report.model,
            verify=verify,
            user=user,
            reason=reason,
            expected=report.base,
            evidence={"update": outcome.job_id, **self._inherited_anchor(name, report.base, origin)}
            | {"report": msgspec.to_builtins(report)},
        )

    def _inherited_anchor(self, name: str, base: str, origin: str) -> dict[str, Any]:
        """Return the entry of the evidence with the base's anchor, unless that has the members of the base."""
        anchor = self.anchor(name, base)
        return {} if anchor is None or self._models.origin(anchor) == origin else {ANCHOR_KEY: anchor}

    def _tries(self, name: str, job: JudgeModels) -> tuple[str, str]:
        champion = None if job.champion is None else self._models.origin(job.champion)
        challenger = self._models.origin(job.challenger)
        content = codec.encode(msgspec.structs.replace(job, tries=1, champion=champion, challenger=challenger))
        return self._server.key("tries", name, champion or ""), codec.content_digest(content)


def next_anchor(report: JudgementReport) -> str:
    """Return the anchor after the promotion of a report's challenger: the challenger if it is shown to be better."""
    differences = {each.against: each for each in report.paired if each.against in INCUMBENTS}
    standing = report.anchor or report.champion
    held = differences.get("anchor") or differences.get("champion")
    if standing is None or held is None or (held.most is not None and held.most < 0.0):
        return report.challenger
    return standing
