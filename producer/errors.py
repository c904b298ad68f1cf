"""Errors of the command line."""

from __future__ import annotations

from ledger.contracts.failures import JobFailedError
from ledger.contracts.job_state import Outcome, Receipt
from ledger.contracts.reports import Report


class NotInstalledError(Exception):
    """A package that this command needs is not installed."""


class StoredFailureError(JobFailedError):
    """The submitted job exists already and has failed, expired or been cancelled."""

    def __init__(self, receipt: Receipt[Report], outcome: Outcome) -> None:
        if outcome.failure is None:
            raise ValueError(f"the outcome of job {outcome.job_id} is not a failure")
        super().__init__(outcome.job_id, outcome.failure)
        self.receipt = receipt
