"""Evaluations of models that were stored: evidence for promotions."""

from __future__ import annotations

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import LedgerError
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import JudgeModels
from ledger.ledger import Ledger
from ledger.models.promotions import as_compared


def stored_evaluation(ledger: Ledger, job_id: str) -> tuple[JudgeModels, Outcome]:
    """Return an evaluation that has ended: its job, with the models that were compared, and its outcome.

    Raises
    ------
    UnknownJobError
        The ledger does not hold the job.
    JobRefusedError
        It is no evaluation.
    LedgerError
        It has not ended.
    """
    job = ledger.job_records.job(job_id)
    if not isinstance(job, JudgeModels):
        raise job_refused(
            f"job {job_id} evaluates no model: `cornerman models promote`, or POST /v1/models/ALIAS/evaluate, does"
        )
    outcome = ledger.outcome(job_id)
    if outcome is None:
        raise LedgerError(f"the evaluation {job_id} has not ended: wait for its outcome (cornerman result {job_id})")
    return as_compared(job, outcome.report), outcome
