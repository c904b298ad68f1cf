"""Verification of a model before an alias moves to it: a worker loads it and predicts its reference rows."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable

import msgspec

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError, WaitTimeoutError
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.jobs.outcome_reader import OutcomeReader
from ledger.jobs.submission import Submission
from ledger.operations.control_store import ControlStore
from ledger.server.server import Server, to_datetime

VERIFICATION_TIMEOUT_SECONDS = 30.0
GRACE_SECONDS = 5.0  # a check that no worker claimed is cancelled before it expires
MODEL_CHECKS = ("model_loaded", "prediction")
"""Checks of a `HealthReport` that are about the model; the others are about the worker."""

ModelVerifier = Callable[[str], None]
"""Loads the model of a digest and compares its reference predictions. Raises JobRefusedError if it fails."""


class Verification:
    """Verification of models by the workers of the queue `predict`."""

    def __init__(self, server: Server, submission: Submission, outcomes: OutcomeReader, controls: ControlStore) -> None:
        self._server = server
        self._submission = submission
        self._outcomes = outcomes
        self._controls = controls

    def verify_model(self, digest: str, timeout_seconds: float = VERIFICATION_TIMEOUT_SECONDS) -> None:
        """Let a worker load a model again and predict its reference rows.

        Raises
        ------
        JobRefusedError
            The verification failed; the message is the reason.
        WaitTimeoutError
            No worker ran it in time.
        """
        if self._controls.current().flag("pause.predict"):
            raise job_refused(f"the queue that verifies {digest[:12]} is paused: cornerman resume predict")
        deadline = to_datetime(1000 * (self._server.time() + timeout_seconds + GRACE_SECONDS))
        # A pool of an earlier version treats urgent jobs as overdue, and expires them at once.
        for submit in (self._submission.submit_urgent, self._submission.submit):
            job = CheckHealth(model=digest, anew=True, nonce=uuid.uuid4().hex, deadline=deadline)
            outcome = self._checked_health(submit(job).job_id, digest, timeout_seconds)
            if outcome.state is not JobState.EXPIRED:
                break
        if (failure := verification_failure(digest, outcome)) is not None:
            raise JobRefusedError(failure)

    def _checked_health(self, job_id: str, digest: str, timeout_seconds: float) -> Outcome:
        try:
            return self._outcomes.wait(job_id, timeout_seconds)
        except WaitTimeoutError:
            self._outcomes.cancel(job_id)
            raise WaitTimeoutError(
                f"no worker has verified model {digest[:12]} within {timeout_seconds:g} s, nothing was changed: "
                "cornerman status shows the pools that predict, cornerman up starts one"
            ) from None


def verification_failure(digest: str, outcome: Outcome) -> Failure | None:
    """Return why the outcome of a health check does not verify a model, None if it does."""
    if isinstance(report := outcome.report, HealthReport):
        return failed_check(digest, report.checks)
    failure = outcome.failure
    if failure is None:
        failure = Failure(code=FailureCode.INTERNAL, message="the check was answered by another kind of report")
    return _of(digest, failure)


def failed_check(digest: str, checks: Iterable[HealthCheck]) -> Failure | None:
    """Return the failure of a model by the checks of a worker, None if it is verified."""
    by_name = {check.name: check for check in checks}
    for name in MODEL_CHECKS:
        if (check := by_name.get(name)) is None:
            return _of(digest, Failure(code=FailureCode.INTERNAL, message=f"the worker did not check its {name}"))
        if not check.passed:
            return _of(digest, Failure(code=check.code or FailureCode.MODEL_CORRUPT, message=check.detail))
    return None


def _of(digest: str, failure: Failure) -> Failure:
    message = f"model {digest[:12]} was not verified, nothing was changed: {failure.message}"
    return msgspec.structs.replace(failure, message=message)
