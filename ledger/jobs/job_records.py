"""What the ledger keeps of a job, byte for byte, for who would make its outcome again."""

from __future__ import annotations

from msgspec import Struct

from ledger.contracts.failures import UnknownJob
from ledger.contracts.job_state import State
from ledger.contracts.provenance import Origin, decode_origin
from ledger.jobs.outcome_reader import Answers

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


class KeptJobs(Answers):
    """Reading jobs whole."""

    def kept(self, job_id: str) -> KeptJob:
        """Return a job and its outcome. Raises UnknownJob for one that is unknown or forgotten."""
        state, kind, payload, report, failure, origin = self._call("HMGET", self._key("job", job_id), *_FIELDS)
        if state is None:
            raise UnknownJob(f"job {job_id} is {self.status(job_id).state}")
        return KeptJob(
            job_id=job_id,
            state=State(state.decode()),
            kind=kind.decode(),
            payload=payload,
            report=report,
            failure=failure,
            origin=decode_origin(origin) if origin else None,
        )
