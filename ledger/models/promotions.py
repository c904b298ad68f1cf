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

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from ledger.contracts import codec
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_reports.update_report import UpdateReport
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import JudgeModels, StateKind
from ledger.models.aliases import Aliases
from ledger.models.drift_alarms import DriftAlarms
from ledger.models.model_registry import ModelRegistry
from ledger.models.promotion_gate import INCUMBENTS
from ledger.models.verification import ModelVerifier
from ledger.operations.control_store import ControlChange, control_conflict
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

    def plan_comparison(self, name: str, challenger: str, plan: Mapping[str, Any]) -> JudgeModels:
        """Return the job that compares a challenger with the model of an alias and with its anchor, counted as a try.

        `plan` has the other fields of the job: data, limits, method. Raises JobRefusedError if the alias points to the
        challenger already.
        """
        standing = self._aliases.resolve(name)
        if standing == challenger:
            raise codec.job_refused(f"{name} is already {challenger[:12]}")
        anchor = self._compared_anchor(name, standing, challenger)
        return self.count_try(name, JudgeModels(challenger=challenger, champion=standing, anchor=anchor, **plan))

    def plan_for_alias(self, name: str, job: JudgeModels) -> JudgeModels:
        """Return a comparison with the model of an alias, with the alias's anchor unless it has one, counted as a try.

        `job` names the models by their digests. Raises JobRefusedError if the challenger is that model.
        """
        if job.champion == job.challenger:
            raise codec.job_refused(f"{name} is already {job.challenger[:12]}")
        anchor = job.anchor or self._compared_anchor(name, job.champion, job.challenger)
        counted = self.count_try(name, msgspec.structs.replace(job, anchor=anchor))
        return msgspec.structs.replace(counted, tries=max(job.tries, counted.tries))

    def check_comparison(self, name: str, job: JudgeModels, outcome: Outcome) -> None:
        """Refuse a report that ignored what the job asked for; a comparison that failed is no try any more.

        Raises JobRefusedError: the pool that compared the models is older than the anchor, the tries or the state.
        """
        if isinstance(outcome.report, JudgementReport):
            _check_report(job, outcome.report)
        else:
            self.uncount_try(name, job)

    def promote(
        self,
        name: str,
        challenger: str,
        comparison: tuple[JudgeModels, Outcome] | None,
        *,
        force: bool = False,
        expected: str | None,
        verify: ModelVerifier,
        user: str,
        reason: str,
    ) -> ControlChange:
        """Point an alias to a challenger if a comparison allows it, and return the change.

        Parameters
        ----------
        name, challenger
            The alias, and the digest of the model.
        comparison
            The job of `plan_comparison` and its outcome; None without one, which needs `force`.
        force
            Move the alias without or against the comparison; the challenger then begins a new sequence of promotions.
        expected
            The model that the alias must point to at that time, None for no model.
        verify
            As in `Aliases.move`.
        user, reason
            For the history.

        Raises
        ------
        JobRefusedError
            The comparison failed or its verdict is against the promotion, with the reasons in the details; it compares
            other models; it is not counted as a try; or the verification failed.
        ControlConflictError
            The alias points to another model by now; nothing was changed.
        """
        standing = self._aliases.resolve(name)
        if standing == challenger:
            raise codec.job_refused(f"{name} is already {challenger[:12]}")
        if expected != standing:
            raise control_conflict(f"model.{name}", standing)
        if comparison is None and not force:
            raise codec.job_refused(f"{name} keeps its model: no comparison with it is named")
        outcome = None if comparison is None else comparison[1]
        if comparison is not None and not force:
            self._check_models(name, challenger, standing, comparison[0])
            if isinstance(comparison[1].report, JudgementReport):
                _check_report(comparison[0], comparison[1].report)
        passed = outcome is not None and passes(outcome)
        if not passed and not force and outcome is not None:
            raise JobRefusedError(_refusal(name, outcome))
        return self._aliases.move(
            name,
            challenger,
            verify=verify,
            user=user,
            reason=reason,
            expected=expected,
            evidence=_evidence(outcome, forced=not passed),
        )

    def _check_models(self, name: str, challenger: str, standing: str | None, job: JudgeModels) -> None:
        """Refuse a comparison of other models, and one that counts fewer tries than were made."""
        if (job.challenger, job.champion) != (challenger, standing):
            compared = f"{job.challenger[:12]} with {(job.champion or 'no model')[:12]}"
            raise codec.job_refused(
                f"the comparison is of {compared}, not of {challenger[:12]} with {(standing or 'no model')[:12]}: "
                "compare these models"
            )
        if job.anchor != (anchor := self._compared_anchor(name, standing, challenger)):
            raise codec.job_refused(f"the comparison lacks the anchor {(anchor or 'none')[:12]}: run a new one")
        key, member = self._tries(name, job)
        members = self._server.execute("ZREVRANGE", key, 0, -1)
        if member.encode() not in members or job.tries < len(members) - members.index(member.encode()):
            raise codec.job_refused(
                "the comparison is not counted as a try for this alias: make it with `cornerman models promote`, or "
                "POST /v1/models/ALIAS/evaluate"
            )

    def _compared_anchor(self, name: str, standing: str | None, challenger: str) -> str | None:
        """Return the anchor if it is a third model."""
        anchor = self.anchor(name, standing)
        return None if anchor in (standing, challenger) else anchor

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


def as_compared(job: JudgeModels, report: object) -> JudgeModels:
    """Return a comparison with the models that its report is of, if it named one of them by an alias."""
    named = (job.challenger, job.champion, job.anchor)
    if not isinstance(report, JudgementReport) or all(name is None or codec.is_digest(name) for name in named):
        return job
    return msgspec.structs.replace(
        job, challenger=report.challenger, champion=report.champion, anchor=report.anchor, tries=report.tries
    )


def passes(outcome: Outcome) -> bool:
    """Return True if the outcome of a comparison allows the promotion of its challenger."""
    return isinstance(outcome.report, JudgementReport) and outcome.report.verdict.promote


def _check_report(job: JudgeModels, report: JudgementReport) -> None:
    """Refuse a report that ignored what the job asked for."""
    state: StateKind = "fresh" if report.served is UNSET else report.served.state
    if (report.anchor, report.tries, state) != (job.anchor, job.tries, job.state):
        raise codec.job_refused(
            "the pool that evaluated the models ignored the anchor, the tries or the state: upgrade the training pools"
        )


def _refusal(name: str, outcome: Outcome) -> Failure:
    """Return the refusal of a promotion by a comparison."""
    if outcome.failure is not None:
        message = f"{name} keeps its model: the comparison failed: {outcome.failure.message}"
        return msgspec.structs.replace(outcome.failure, message=message)
    if not isinstance(outcome.report, JudgementReport):
        return Failure(
            code=FailureCode.INVALID_INPUT, message=f"job {outcome.job_id} compares no models: name a judge_models job"
        )
    reasons = outcome.report.verdict.reasons
    return Failure(
        code=FailureCode.INVALID_INPUT,
        message=f"{name} keeps its model: {'; '.join(reason.message for reason in reasons)}",
        details={"judgement": outcome.job_id, "reasons": [*msgspec.to_builtins(reasons)]},
    )


def _evidence(outcome: Outcome | None, *, forced: bool) -> dict[str, Any]:
    """Return the evidence of a promotion for the history: the comparison's job and its report or failure.

    Includes the anchor for the next promotion, unless the promotion is forced: then the model itself is the anchor.
    """
    if outcome is None:
        return {"forced": forced}
    found = {"report": outcome.report} if outcome.report is not None else {"failure": outcome.failure}
    anchor = (
        {} if forced or not isinstance(outcome.report, JudgementReport) else {ANCHOR_KEY: next_anchor(outcome.report)}
    )
    return {"forced": forced, "judgement": outcome.job_id, **anchor, **msgspec.to_builtins(found)}


def next_anchor(report: JudgementReport) -> str:
    """Return the anchor after the promotion of a report's challenger: the challenger if it is shown to be better."""
    differences = {each.against: each for each in report.paired if each.against in INCUMBENTS}
    standing = report.anchor or report.champion
    held = differences.get("anchor") or differences.get("champion")
    if standing is None or held is None or (held.most is not None and held.most < 0.0):
        return report.challenger
    return standing
