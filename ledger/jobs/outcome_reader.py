"""Reading of outcomes: status of a job, its outcome, waiting without polling, and following all outcomes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from ledger.archive.records import ArchivedRecords, archived_records, with_archived
from ledger.contracts import codec
from ledger.contracts.failures import JobArchivedError, LedgerError, UnknownJobError, WaitTimeoutError
from ledger.contracts.job_state import JobState, JobStatus, Outcome, OutcomeDocument, Progress
from ledger.durability.confirmations import NotDurableError
from ledger.durability.outcomes import ConfirmationExchanges
from ledger.jobs.outcome_records import (
    OUTCOME_FIELDS,
    Record,
    UnreadableOutcomeError,
    decode_document,
    decode_outcome,
    fields_of_news,
)
from ledger.server.base_server import BaseServer, to_datetime
from ledger.server.connection_pool import Command, with_deadline
from ledger.server.exchanges import Exchange, Item, Iteration, NextMessage, Subscribe, SubscribedExchange
from ledger.server.server import Server

_STATUS = (
    "state",
    "kind",
    "queue",
    "attempt",
    "submitted",
    "deadline",
    "progress",
    "caller",
    "not_before",
    "after",
    "superseded_by",
)
_SETTLED = b"settled"
FINAL_READ_SECONDS = 0.5
"""Minimum time that a waiter's read of the record may take, even after the waiter's timeout."""
_MAX_SEQUENCE = 10**18
_PLACE = re.compile("[0-9]{1,19}(-[0-9]{1,19})?")
Read = TypeVar("Read")
_progress_decoder = msgspec.json.Decoder(Progress)


class OutcomesMissedError(LedgerError):
    """Outcomes were dropped from the stream before `follow` read them: it was too slow, or started too late.

    `count` is how many, None if unknown; they came after `after`, the last place that was yielded.
    `follow(after=place)` continues with what is kept.
    """

    def __init__(self, count: int | None, after: str, place: str) -> None:
        many = "outcomes may be gone" if count is None else f"{count:,} outcome{'s are' if count > 1 else ' is'} gone"
        super().__init__(
            f"{many} that came after {after}: the stream no longer has what was not read in time "
            f"(CORNERMAN_MAX_OUTCOMES, CORNERMAN_RETENTION_SECONDS); follow on after {place}"
        )
        self.count = count
        self.after = after
        self.place = place


class OutcomePage(NamedTuple):
    """Outcomes in the order of settling, each with its place, and the place after which the next page begins.

    `missed`: some of the outcomes after the given place are no longer stored.
    """

    outcomes: Sequence[tuple[str, Outcome]]
    place: str
    missed: OutcomesMissedError | None


def cancel_jobs(server: BaseServer, job_ids: Sequence[str]) -> Exchange[None]:
    """Cancel jobs; one that waits for another comes before that one. Raises NotDurableError."""
    _, durability = yield from server.script("cancel", *job_ids)
    if not durability:
        return
    confirmed = yield from ConfirmationExchanges(server).confirm_prepared(durability.decode())
    if confirmed.missing is not None:
        raise NotDurableError(
            f"cancelled, but {confirmed.reason}; a pool shows the outcome as soon as that is mended",
            confirmed.missing,
            accepted=True,
        )


class OutcomeExchanges:
    """Status and outcomes of jobs, as exchanges with a server."""

    def __init__(self, server: BaseServer) -> None:
        self._server = server

    def status(self, job_id: str) -> Exchange[JobStatus]:
        """Implement `Ledger.status`."""
        return (yield from self.statuses([job_id]))[0]

    def statuses(self, job_ids: Sequence[str]) -> Exchange[list[JobStatus]]:
        """Return the states of jobs, read in one step."""
        records = yield from self._server.multi(
            *(("HMGET", self._server.key("job", job_id), *_STATUS) for job_id in job_ids)
        )
        gone = [job_id for job_id, record in zip(job_ids, records, strict=True) if record[0] is None]
        known = (yield from archived_records(self._server, gone)) if gone else ArchivedRecords({}, {})
        return [
            self._status_of_gone(job_id, known) if record[0] is None else self._status_of(job_id, record)
            for job_id, record in zip(job_ids, records, strict=True)
        ]

    def _status_of_gone(self, job_id: str, known: ArchivedRecords) -> JobStatus:
        """Return the state of a job without a record on the server."""
        if job_id in known.found:
            record = known.found[job_id].record
            return self._status_of(job_id, [record.get(name.encode()) for name in _STATUS])
        if location := known.location_of(job_id):
            return JobStatus(job_id=job_id, state=JobState.ARCHIVED, archive=location)
        if job_id in known.tombstones:
            return JobStatus(job_id=job_id, state=JobState.FORGOTTEN)
        return JobStatus(job_id=job_id, state=JobState.UNKNOWN, archive=known.location if known.unread else None)

    @staticmethod
    def _status_of(job_id: str, record: Record) -> JobStatus:
        state, kind, queue, attempt, submitted, deadline, progress, caller, not_before, after, superseded_by = record
        return JobStatus(
            job_id=job_id,
            state=JobState((state or b"").decode()),
            kind=kind.decode() if kind else None,
            queue=queue.decode() if queue else None,
            attempt=int(attempt or 0),
            submitted_at=to_datetime(submitted) if submitted else None,
            deadline=to_datetime(deadline) if deadline else None,
            progress=_progress_decoder.decode(progress) if progress else None,
            caller=caller.decode() if caller else None,
            not_before=to_datetime(not_before) if not_before else None,
            after=after.decode() if after else None,
            superseded_by=superseded_by.decode() if superseded_by else None,
        )

    def outcome(self, job_id: str) -> Exchange[Outcome | None]:
        """Implement `Ledger.outcome`."""
        return decode_outcome(job_id, (yield from self._record(job_id)))

    def outcomes(self, job_ids: Sequence[str]) -> Exchange[list[Outcome | UnreadableOutcomeError | None]]:
        """Return the outcomes of jobs, read in one step; an error takes the place of one that cannot be read.

        None also takes the place of one in an archive that cannot be read from here.
        """
        records = (yield from self._server.multi(*map(self._query, job_ids))) if job_ids else []
        records = yield from with_archived(self._server, job_ids, OUTCOME_FIELDS, records, leave=True)
        found: list[Outcome | UnreadableOutcomeError | None] = []
        for job_id, record in zip(job_ids, records, strict=True):
            try:
                found.append(decode_outcome(job_id, record))
            except UnreadableOutcomeError as error:
                found.append(error)
        return found

    def outcome_document(self, job_id: str) -> Exchange[OutcomeDocument | None]:
        """Implement `AsyncLedger.outcome_document`."""
        return decode_document(job_id, (yield from self._record(job_id)))

    def cancel(self, job_id: str) -> Exchange[JobStatus]:
        """Implement `Ledger.cancel`."""
        yield from cancel_jobs(self._server, [job_id])
        return (yield from self.status(job_id))

    def wait(
        self,
        job_id: str,
        timeout_seconds: float,
        on_progress: Callable[[Progress], None] | None,
        decode: Callable[[str, Record], Read | None],
        *,
        read_first: bool = False,
    ) -> SubscribedExchange[Read]:
        """Implement `Ledger.wait`; `decode` makes the result of the fields `OUTCOME_FIELDS`.

        Sleeps on the job's channel, on which the outcome itself is published. It subscribes before it reads the record,
        so that no outcome is missed in between, and reads it again every `poll_fallback_seconds`, because a published
        message can be lost. `read_first` reads it also before subscribing, if a subscription takes longer than that.
        """
        started_seconds = time.monotonic()
        deadline = started_seconds + timeout_seconds
        query = self._query(job_id)
        with self._server.translate_errors():
            with with_deadline(max(deadline, started_seconds + FINAL_READ_SECONDS)):
                outcome = None
                if read_first:
                    record = yield from self._server.command(*query)
                    outcome = yield from self._read_record(job_id, record, decode)
                if outcome is None:
                    record = yield Subscribe(self._channel(job_id), query)
                    outcome = yield from self._read_record(job_id, record, decode)
            while outcome is None and (remaining := deadline - time.monotonic()) > 0:
                with with_deadline(deadline + FINAL_READ_SECONDS):
                    message = yield NextMessage(min(remaining, self._server.settings.poll_fallback_seconds))
                    if message is None or message == _SETTLED:
                        record = yield from self._server.command(*query)
                        outcome = yield from self._read_record(job_id, record, decode)
                        continue
                if not message.startswith(b"{"):
                    outcome = decode(job_id, fields_of_news(message))
                elif on_progress is not None:
                    on_progress(_progress_decoder.decode(message))
        if outcome is None:
            raise WaitTimeoutError(f"job {job_id} has no outcome after {timeout_seconds:g} s; it goes on, wait again")
        return outcome

    def start_following(self, after: str) -> Exchange[_Start]:
        """Return where `follow` begins. Raises JobRefusedError and OutcomesMissedError."""
        if after == "$":
            latest, count = yield from self._server.multi(
                ("XREVRANGE", self._stream, "+", "-", "COUNT", 1), ("HGET", self._server.key("counts"), "outcomes")
            )
            return _Start(latest[0][0].decode() if latest else "0", int(count or 0))
        if not _PLACE.fullmatch(after):
            raise codec.job_refused(
                f"{after[:60]!r} is no place in the stream of outcomes: give 0, $, or one like 1700000-0"
            )
        return _Start(after, None if after == "0" else (yield from self._number_at(after)))

    def latest_place(self) -> Exchange[str]:
        """Implement `Ledger.latest_place`."""
        latest = yield from self._server.command("XREVRANGE", self._stream, "+", "-", "COUNT", 1)
        return latest[0][0].decode() if latest else "0"

    def _number_at(self, place: str) -> Exchange[int | None]:
        """Return the number of the last outcome up to a place, None if it has none. Raises OutcomesMissedError."""
        here, oldest = yield from self._server.multi(
            ("XRANGE", self._stream, place, place), ("XRANGE", self._stream, "-", "+", "COUNT", 1)
        )
        if here:
            return _number_of(here[0][1])
        first = _before(oldest[0][0]) if oldest else "0"
        if first != place:
            raise OutcomesMissedError(None, place, first)
        number = _number_of(oldest[0][1])
        return None if number is None else number - 1

    def follow(
        self,
        start: _Start,
        idle_seconds: float | None,
        on_missed: Callable[[OutcomesMissedError], None] | None,
    ) -> Iteration[tuple[str, Outcome]]:
        """Implement `Ledger.follow` from its start on."""
        after, number = start

        def missed(count: int, place: str) -> None:
            gone = OutcomesMissedError(count, after, place)
            if on_missed is None:
                raise gone
            on_missed(gone)

        patience = self._server.settings.reply_timeout_seconds / 2  # the reply must come before the socket times out
        idle_since = time.monotonic()
        while idle_seconds is None or (remaining := idle_seconds - (time.monotonic() - idle_since)) > 0:
            block = patience if idle_seconds is None else min(patience, remaining)
            command = ("XREAD", "COUNT", 100, "BLOCK", max(1, round(block * 1000)), "STREAMS", self._stream, after)
            answer = yield from self._server.command(*command, blocks_seconds=block)
            for place, fields in answer[0][1] if answer else ():
                last, number = number, _number_of(fields)
                if last is not None and number is not None and number > last + 1:
                    missed(number - last - 1, _before(place))
                job_id = fields[b"job"].decode()
                try:
                    outcome = yield from self.outcome(job_id)
                except UnreadableOutcomeError as error:
                    raise UnreadableOutcomeError(job_id, error.reason, place.decode()) from error
                except JobArchivedError as error:
                    raise JobArchivedError(job_id, error.location, error.reason, place.decode()) from error
                if outcome is None:  # its retention ended since the entry was read
                    missed(1, place.decode())
                after = place.decode()
                if outcome is not None:
                    yield Item((after, outcome))
                idle_since = time.monotonic()

    def page(self, after: str, limit: int, block_seconds: float) -> Exchange[OutcomePage]:
        """Implement `Ledger.outcomes_page`."""
        missed = None
        try:
            start = yield from self.start_following(after)
        except OutcomesMissedError as gone:
            missed, start = gone, _Start(gone.place, None)
        place, number = start
        block = ("BLOCK", max(1, round(block_seconds * 1000))) if block_seconds else ()
        command = ("XREAD", "COUNT", limit, *block, "STREAMS", self._stream, place)
        answer = yield from self._server.command(*command, blocks_seconds=block_seconds)
        entries = answer[0][1] if answer else []
        if not entries:
            return OutcomePage((), place, missed)
        ids = [fields[b"job"].decode() for _, fields in entries]
        records = yield from self._server.multi(*(self._query(job_id) for job_id in ids))
        records = yield from with_archived(self._server, ids, OUTCOME_FIELDS, records)
        outcomes = []
        count = 0  # of the outcomes that are gone
        for (at, fields), job_id, record in zip(entries, ids, records, strict=True):
            before, number = number, _number_of(fields)
            if before is not None and number is not None:
                count += number - before - 1
            place = at.decode()
            try:
                outcome = decode_outcome(job_id, record)
            except UnreadableOutcomeError as error:
                raise UnreadableOutcomeError(job_id, error.reason, place) from error
            if outcome is None:  # its retention ended since the entry was read
                count += 1
            else:
                outcomes.append((place, outcome))
        if count and missed is None:
            first = _before(outcomes[0][0].encode()) if outcomes else place
            missed = OutcomesMissedError(count, after, first)
        return OutcomePage(tuple(outcomes), place, missed)

    @property
    def _stream(self) -> str:
        return self._server.key("outcomes")

    def _record(self, job_id: str) -> Exchange[Record]:
        """Return the fields `OUTCOME_FIELDS` of a job, wherever its record is."""
        record = yield from self._server.command(*self._query(job_id))
        return (yield from with_archived(self._server, [job_id], OUTCOME_FIELDS, [record]))[0]

    def _query(self, job_id: str) -> Command:
        return ("HMGET", self._server.key("job", job_id), *OUTCOME_FIELDS)

    def _channel(self, job_id: str) -> str:
        """Return the channel of a job. All databases share the channels, and two of them may have the same job."""
        return self._server.key("news", str(self._server.database), job_id)

    def _read_record(
        self, job_id: str, record: Record, decode: Callable[[str, Record], Read | None]
    ) -> Exchange[Read | None]:
        if record[0] is None:
            [record] = yield from with_archived(self._server, [job_id], OUTCOME_FIELDS, [record])
        if record[0] is None:
            state = (yield from self.status(job_id)).state
            if state in (JobState.UNKNOWN, JobState.FORGOTTEN):
                raise UnknownJobError.of_state(job_id, state)
        return decode(job_id, record)


class OutcomeReader:
    """Status and outcomes of jobs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._exchanges = OutcomeExchanges(server)

    def status(self, job_id: str) -> JobStatus:
        """Implement `Ledger.status`."""
        return self._server.run(self._exchanges.status(job_id))

    def statuses(self, job_ids: Sequence[str]) -> list[JobStatus]:
        """Return the states of jobs, read in one step."""
        return self._server.run(self._exchanges.statuses(job_ids))

    def outcome(self, job_id: str) -> Outcome | None:
        """Implement `Ledger.outcome`."""
        return self._server.run(self._exchanges.outcome(job_id))

    def outcomes(self, job_ids: Sequence[str]) -> list[Outcome | UnreadableOutcomeError | None]:
        """Return the outcomes of jobs, read in one step; an error takes the place of one that cannot be read."""
        return self._server.run(self._exchanges.outcomes(job_ids))

    def cancel(self, job_id: str) -> JobStatus:
        """Implement `Ledger.cancel`."""
        return self._server.run(self._exchanges.cancel(job_id))

    def wait(
        self, job_id: str, timeout_seconds: float, *, on_progress: Callable[[Progress], None] | None = None
    ) -> Outcome:
        """Implement `Ledger.wait`."""
        waiting = self._exchanges.wait(job_id, timeout_seconds, on_progress, decode_outcome)
        return self._server.run_subscribed(waiting)

    def follow(
        self,
        after: str = "$",
        *,
        idle_seconds: float | None = None,
        on_missed: Callable[[OutcomesMissedError], None] | None = None,
    ) -> Iterator[tuple[str, Outcome]]:
        """Implement `Ledger.follow`."""
        start = self._server.run(self._exchanges.start_following(after))
        return self._server.iterate(self._exchanges.follow(start, idle_seconds, on_missed))

    def page(self, after: str, limit: int, block_seconds: float) -> OutcomePage:
        """Implement `Ledger.outcomes_page`."""
        return self._server.run(self._exchanges.page(after, limit, block_seconds))

    def latest_place(self) -> str:
        """Implement `Ledger.latest_place`."""
        return self._server.run(self._exchanges.latest_place())


class _Start(NamedTuple):
    """A place in the stream, and the number of the last outcome up to it, None if unknown."""

    place: str
    number: int | None


def _number_of(fields: Mapping[bytes, bytes]) -> int | None:
    """Return the number of a stream entry; None if a version without numbers wrote it."""
    return int(fields[b"number"]) if b"number" in fields else None


def _before(place: bytes) -> str:
    """Return the place just before a stream entry."""
    milliseconds, _, sequence = place.decode().partition("-")
    if int(sequence):
        return f"{milliseconds}-{int(sequence) - 1}"
    return f"{int(milliseconds) - 1}-{_MAX_SEQUENCE}"
