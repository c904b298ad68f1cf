"""What the ledger keeps of a job, byte for byte, for who would make its outcome again."""

from __future__ import annotations

from msgspec import Struct

from ledger.contracts import codec
from ledger.contracts.failures import UnknownJob
from ledger.contracts.job_state import State
from ledger.contracts.jobs import Job
from ledger.contracts.provenance import Origin, decode_origin
from ledger.jobs.outcome_reader import OutcomeReader
from ledger.server.server import Server

_FIELDS = ("state", "kind", "payload", "report", "failure", "origin")


class KeptJob(Struct, frozen=True, kw_only=True):
    """A job as it was submitted and its outcome as it was written: `report` or `failure`, once the state is final."""

    job_id: str
    state: State
    kind: str
    payload: bytes
    report: bytes | None
    failure: bytes | None
    origin: Origin | None


class JobRecords:
    """Stored records of jobs."""

    def __init__(self, server: Server, outcomes: OutcomeReader) -> None:
        self._server = server
        self._outcomes = outcomes

    def get(self, job_id: str) -> KeptJob:
        """Return a job and its outcome. Raises UnknownJob for one that is unknown or forgotten."""
        state, kind, payload, report, failure, origin = self._server.execute(
            "HMGET", self._server.key("job", job_id), *_FIELDS
        )
        if state is None:
            raise UnknownJob(f"job {job_id} is {self._outcomes.status(job_id).state}")
        return KeptJob(
            job_id=job_id,
            state=State(state.decode()),
            kind=kind.decode(),
            payload=payload,
            report=report,
            failure=failure,
            origin=decode_origin(origin) if origin else None,
        )

    def job(self, job_id: str) -> Job:
        """Return what was asked for. Raises UnknownJob, or JobRefused where this version cannot read it."""
        payload = self._server.execute("HGET", self._server.key("job", job_id), "payload")
        if payload is None:
            raise UnknownJob(f"job {job_id} is {self._outcomes.status(job_id).state}")
        return codec.decode_job(payload)
