"""The stored record of a job (payload, report, provenance), used to replay it."""

from __future__ import annotations

from msgspec import Struct

from ledger.archive.records import with_archived
from ledger.compression.stored_values import decompress
from ledger.contracts import codec
from ledger.contracts.failures import UnknownJobError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import Job
from ledger.contracts.provenance import Provenance, decode_provenance
from ledger.jobs.outcome_reader import OutcomeReader
from ledger.server.server import Server

_FIELDS = ("state", "kind", "payload", "report", "failure", "origin", "caller")


class JobRecord(Struct, frozen=True, kw_only=True):
    """A job as submitted and its outcome as stored: `report` or `failure`, once the state is final."""

    job_id: str
    state: JobState
    kind: str
    payload: bytes
    report: bytes | None
    failure: bytes | None
    provenance: Provenance | None
    caller: str | None = None


class JobRecords:
    """Stored records of jobs."""

    def __init__(self, server: Server, outcomes: OutcomeReader) -> None:
        self._server = server
        self._outcomes = outcomes

    def get(self, job_id: str) -> JobRecord:
        """Return the record of a job. Raises UnknownJobError if it is unknown or forgotten, and JobArchivedError."""
        state, kind, payload, report, failure, origin, caller = self._read(job_id, _FIELDS)
        if state is None or kind is None or payload is None:
            raise UnknownJobError.of_state(job_id, self._outcomes.status(job_id).state)
        return JobRecord(
            job_id=job_id,
            state=JobState(state.decode()),
            kind=kind.decode(),
            payload=decompress(payload or b""),
            report=decompress(report) if report else None,
            failure=failure,
            provenance=decode_provenance(decompress(origin)) if origin else None,
            caller=caller.decode() if caller else None,
        )

    def job(self, job_id: str) -> Job:
        """Return a job as submitted.

        Raises UnknownJobError, JobArchivedError, or JobRefusedError if this version cannot decode it.
        """
        [payload] = self._read(job_id, ("payload",))
        if payload is None:
            raise UnknownJobError.of_state(job_id, self._outcomes.status(job_id).state)
        return codec.decode_job(decompress(payload))

    def _read(self, job_id: str, fields: tuple[str, ...]) -> list[bytes | None]:
        read = self._server.execute("HMGET", self._server.key("job", job_id), *fields)
        return self._server.run(with_archived(self._server, [job_id], fields, [read]))[0]
