"""Errors of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ledger.contracts.failures import JobFailedError, LedgerError
from ledger.contracts.job_state import Outcome, Receipt
from ledger.contracts.reports import Report

LOCAL_JOB_ID = "on this machine"
"""In place of a job's id, for what runs without a server."""

Fault = Literal["changed", "missing", "reordered", "repeated", "truncated"]
"""What is wrong with a line of an audit file."""


class NotInstalledError(Exception):
    """A package that this command needs is not installed."""


class BrokenAuditError(LedgerError):
    """An audit file is not as it was written; `line` is the first that breaks the chain."""

    def __init__(self, path: Path, line: int, fault: Fault, reason: str) -> None:
        super().__init__(f"{path}: line {line} is {fault}: {reason}")
        self.path, self.line, self.fault, self.reason = path, line, fault, reason


class StoredFailureError(JobFailedError):
    """The submitted job exists already and has failed, expired or been cancelled."""

    def __init__(self, receipt: Receipt[Report], outcome: Outcome) -> None:
        if outcome.failure is None:
            raise ValueError(f"the outcome of job {outcome.job_id} is not a failure")
        super().__init__(outcome.job_id, outcome.failure)
        self.receipt = receipt
