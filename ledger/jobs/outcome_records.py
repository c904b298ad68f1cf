"""The outcome in the record of a job: the fields that it is made of, and their decoding."""

from __future__ import annotations

import msgspec

from ledger.compression.stored_values import decompress
from ledger.contracts import codec
from ledger.contracts.failures import LedgerError
from ledger.contracts.job_state import JobState, Outcome, OutcomeDocument
from ledger.contracts.provenance import decode_provenance
from ledger.server.base_server import to_datetime

OUTCOME_FIELDS = (
    "state",
    "kind",
    "attempt",
    "submitted",
    "settled",
    "report",
    "failure",
    "correlation",
    "origin",
    "caller",
    "superseded_by",
)
"""The fields of a record that an outcome is made of."""
_STRING_HEADS = {0xD9: 2, 0xDA: 3, 0xDB: 5}  # bytes before a MessagePack string of 8, 16 and 32 bits of length
Record = list[bytes | None]
"""The fields `OUTCOME_FIELDS` of a record."""
_news_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])


class UnreadableOutcomeError(LedgerError):
    """The outcome contains something that this version does not know, such as a new failure code.

    `place` is its place in the stream, if it was read there: `follow(after=place)` continues with the next.
    """

    def __init__(self, job_id: str, reason: str, place: str | None = None) -> None:
        where = f" (follow on after {place})" if place else ""
        super().__init__(f"job {job_id} has an outcome that this version cannot read{where}: {reason}")
        self.job_id = job_id
        self.reason = reason
        self.place = place


def fields_of_news(news: bytes) -> list[bytes | None]:
    """Decode the published fields `OUTCOME_FIELDS` of a record."""
    fields = [_text_of(bytes(field)) for field in _news_decoder.decode(news)]
    return fields + [None] * (len(OUTCOME_FIELDS) - len(fields))  # without a caller it ends before


def _text_of(packed: bytes) -> bytes | None:
    """Return the bytes of a MessagePack string, which may be no UTF-8; None for any other value."""
    kind = packed[0]
    if 0xA0 <= kind <= 0xBF:
        return packed[1:]
    head = _STRING_HEADS.get(kind)
    return None if head is None else packed[head:]


def decode_outcome(job_id: str, record: Record) -> Outcome | None:
    """Decode the fields `OUTCOME_FIELDS` of a record, None if there is no outcome. Raises UnreadableOutcomeError."""
    state, kind, attempt, submitted, settled, report, failure, correlation, origin, caller, superseded_by = record
    if state is None or kind is None or attempt is None or submitted is None or settled is None:
        return None
    try:
        return Outcome(
            job_id=job_id,
            kind=kind.decode(),
            state=JobState(state.decode()),
            attempt=int(attempt),
            submitted_at=to_datetime(submitted),
            settled_at=to_datetime(settled),
            report=codec.decode_report(decompress(report)) if report else None,
            failure=codec.decode_failure(failure) if failure else None,
            correlation_id=correlation.decode() if correlation else None,
            origin=decode_provenance(decompress(origin)) if origin else None,
            caller=caller.decode() if caller else None,
            superseded_by=superseded_by.decode() if superseded_by else None,
        )
    except (ValueError, msgspec.DecodeError) as error:  # a newer writer may use new states, codes and reports
        raise UnreadableOutcomeError(job_id, str(error)) from error


def decode_document(job_id: str, record: Record) -> OutcomeDocument | None:
    """Return the outcome in the fields `OUTCOME_FIELDS` of a record, its parts as JSON; None if there is none.

    Raises UnreadableOutcomeError only if the report is damaged, or compressed by a newer version.
    """
    state, kind, attempt, submitted, settled, report, failure, correlation, origin, caller, superseded_by = record
    if state is None or kind is None or attempt is None or submitted is None or settled is None:
        return None
    try:
        report, origin = (decompress(text) if text else None for text in (report, origin))
    except ValueError as error:
        raise UnreadableOutcomeError(job_id, str(error)) from error
    return OutcomeDocument(
        job_id=job_id,
        kind=kind.decode(),
        state=state.decode(),
        attempt=int(attempt),
        submitted_at=to_datetime(submitted),
        settled_at=to_datetime(settled),
        report=msgspec.Raw(report) if report else None,
        failure=msgspec.Raw(failure) if failure else None,
        correlation_id=correlation.decode() if correlation else None,
        origin=msgspec.Raw(origin) if origin else None,
        caller=caller.decode() if caller else None,
        superseded_by=superseded_by.decode() if superseded_by else None,
    )
