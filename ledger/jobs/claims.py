"""Claims of jobs under a lease: the worker's side of the job state machine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Any

import msgspec
from msgspec import Struct

from ledger.compression.stored_values import PLAIN_FORMAT, UnreadableValueError, compress, decompress
from ledger.contracts import codec
from ledger.contracts.bets import BettingRoom
from ledger.contracts.controls import Controls
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_state import JobState, Progress
from ledger.contracts.jobs import CHALLENGER, CHAMPION, MAX_PAYLOAD_BYTES
from ledger.contracts.jobs import QUEUES as QUEUES
from ledger.contracts.prediction_record import MAX_DAY_ENTRIES, PredictionPage, encode_page
from ledger.contracts.provenance import Provenance, encode_provenance
from ledger.contracts.reports import Report
from ledger.contracts.trace_context import TraceContext
from ledger.server.base_server import lacks_script
from ledger.server.connection_pool import Command
from ledger.server.server import Server, to_datetime

MAX_CLAIM_SIZE = 1_000  # in one claim, so that no script blocks the server for long
_TOO_NEW = -1
_DUE = ("leases", "parked", "waiting")  # sets that are scored by the time of the server at which a reap has to look
_NAMES = (CHAMPION, CHALLENGER)  # resolved with each claim: nearly every card asks for one of them


class Claim(Struct, frozen=True, kw_only=True):
    """A job claimed by a worker. Times are the server's.

    Attributes
    ----------
    payload
        The unchecked job: decode it with `codec.decode_job`.
    controls
        Operator controls at the time of the claim; they apply to this job until it ends.
    alias_digests
        Models of the aliases `champion` and `challenger` at that time, None for no model.
    caller
        Who submitted the job first, None if not stated.
    queued_at
        When the job was queued if it had to wait for a time or another job, None if it was queued at submission.
    trace
        The trace context of its submission, None if there was none.
    span
        The span of this attempt, if this worker's pool sends spans.
    chain
        '<number>/<jobs> <name>' if it was submitted as a part of a chain.
    history
        The job's history before this claim, as its record has it.
    snooze_note
        Note of the worker that snoozed the job.
    queue_length
        Jobs left in the queue at that time.
    room
        Of a card: what the caps on bets leave; None if there are none. A worker reads it once, before it starts.
    """

    job_id: str
    kind: str
    payload: bytes
    attempt: int
    fence: int
    queue: str
    time_limit_seconds: float
    submitted_at: datetime
    claimed_at: datetime
    deadline: datetime | None
    correlation_id: str | None
    caller: str | None = None
    queued_at: datetime | None = None
    trace: TraceContext | None = None
    span: TraceContext | None = None
    chain: str | None = None
    history: bytes = b""
    snooze_note: bytes = b""
    queue_length: int = 0
    controls: Controls = Controls()
    alias_digests: Mapping[str, str | None] = {}
    room: BettingRoom | None = None

    @property
    def queue_wait(self) -> timedelta | None:
        """How long the job waited for a worker; None if it was snoozed since, and so waited for something else.

        Both times are the server's; 0 if its clock was set back in between.
        """
        if self.snooze_note:
            return None
        return max(self.claimed_at - (self.queued_at or self.submitted_at), timedelta(0))


class RunningJob(Struct, frozen=True, kw_only=True):
    """A running job as the supervisor sees it. `owner` is `node#incarnation/child-pid`."""

    job_id: str
    fence: int
    owner: str
    attempt: int
    kind: str
    queue: str
    claimed_at: datetime
    lease_until: datetime
    time_limit_seconds: float
    correlation_id: str | None = None
    caller: str | None = None
    trace: TraceContext | None = None


class Settlement(Struct, frozen=True):
    """An encoded result of a claimed job, ready to be stored.

    `prediction_page` is stored in the prediction log in the same step, if the result is accepted. `provenance` is empty
    if no worker produced the result.
    """

    job_id: str
    fence: int
    state: JobState
    field: str
    body: bytes
    prediction_page: PredictionPage | None = None
    provenance: bytes = b""

    @classmethod
    def from_result(
        cls,
        claim: Claim | RunningJob,
        result: Report | Failure,
        page: PredictionPage | None = None,
        origin: Provenance | None = None,
    ) -> Settlement:
        """Encode a result. Raises ValueError on NaN or infinity, naming the field."""
        field = "failure" if isinstance(result, Failure) else "report"
        written = b"" if origin is None else encode_provenance(origin)
        return cls(claim.job_id, claim.fence, final_state(result), field, codec.encode(result), page, written)


class SettleResult(IntEnum):
    """What became of a result. A report after the deadline is not kept: the outcome is `expired`."""

    REFUSED = 0
    ACCEPTED = 1
    TOO_LATE = 2


class ReapCounts(Struct, frozen=True):
    """Counts of one `reap`: jobs by what became of them, and doorbells that were rung.

    `prepares`: 1 if outcomes wait for the disk or for replicas, so that a pool has to confirm them.
    `expired_leases` are the claims, as job and fence, that no worker renewed: those of `requeued` and `lost`.
    `next_due_seconds`: the time until the next lease expires, or the next snoozed or waiting job is due.
    """

    requeued: int
    lost: int
    expired: int
    rung: int
    prepares: int = 0
    expired_leases: tuple[tuple[str, int], ...] = ()
    next_due_seconds: float = math.inf


class IdleLook(Struct, frozen=True):
    """What a pool without a job has to know.

    Attributes
    ----------
    holds
        True if the ledger has a job running in one of its children.
    waiting
        Jobs in its queues.
    controls
        The operator's controls.
    reaped_seconds
        The time since a pool of the fleet reaped; infinite if none has, or if the clock was set back since.
    next_due_seconds
        As in `ReapCounts`; 0 if something is due.
    """

    holds: bool
    waiting: int
    controls: Controls
    reaped_seconds: float
    next_due_seconds: float


class Recalled(Enum):
    """What a wait returns in place of an item if it was recalled: a stranger's item can be any bytes, also none."""

    RECALLED = "recalled"


RECALLED = Recalled.RECALLED


class Claims:
    """Claims of jobs under a lease, and the ways in which a claim ends."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def claim(self, queue: str, owner: str, limit: int = 1) -> list[Claim]:
        """Implement `Ledger.claim`."""
        return self._claimed(queue, self._server.run_script("claim", *self._claim_arguments(queue, owner, limit)))

    def claim_when_notified(
        self, queue: str, owner: str, timeout_seconds: float, recall: str = ""
    ) -> tuple[bytes | Recalled | None, list[Claim]]:
        """Implement `Ledger.claim_when_notified`."""
        lists = [self._server.key("doorbell", queue), *([self._server.key("recall", recall)] if recall else [])]
        with self._server.translate_errors():
            doorbell, answer = self._server.connections.execute(
                ("BRPOP", *lists, max(timeout_seconds, 0.001)),  # 0: for ever
                self._server.script_call("claim", *self._claim_arguments(queue, owner, 1)),
                blocks_seconds=timeout_seconds,
            )
            for reply in (doorbell, answer):
                if isinstance(reply, Exception) and not lacks_script(reply):
                    raise reply
        item: bytes | Recalled | None = None
        if doorbell is not None:
            item = bytes(doorbell[1]) if doorbell[0] == lists[0].encode() else RECALLED
        known = not isinstance(answer, Exception)  # a restarted server has to load the script again
        return item, self._claimed(queue, answer) if known else self.claim(queue, owner)

    @staticmethod
    def _claim_arguments(queue: str, owner: str, limit: int) -> tuple[str | int, ...]:
        if owner.split() != [owner]:
            raise ValueError(f"an owner is a name without spaces, not {owner!r}")
        return queue, owner, min(limit, MAX_CLAIM_SIZE), MAX_PAYLOAD_BYTES, *_NAMES

    def _claimed(self, queue: str, answer: list[Any]) -> list[Claim]:
        now, waiting, fields, digests, stored_format, *jobs = answer
        self._server.note_format(stored_format)
        claimed_at = to_datetime(now)
        controls = Controls.from_fields(fields)
        names = {name: digest and digest.decode() for name, digest in zip(_NAMES, digests, strict=False)}
        return [
            Claim(
                job_id=job_id.decode(),
                kind=kind.decode(),
                payload=_payload_of(payload),
                attempt=attempt,
                fence=int(fence),
                queue=queue,
                time_limit_seconds=float(time_limit),
                submitted_at=to_datetime(submitted),
                claimed_at=claimed_at,
                deadline=to_datetime(deadline) if deadline else None,
                correlation_id=correlation.decode() or None,
                caller=caller.decode() if caller else None,
                queued_at=to_datetime(queued) if queued else None,
                trace=TraceContext.from_stored(trace.decode()) if trace else None,
                chain=chain.decode() if chain else None,
                history=history or b"",
                snooze_note=note or b"",
                controls=controls,
                alias_digests=names,
                queue_length=waiting,
            )
            for (
                kind,
                payload,
                attempt,
                fence,
                time_limit,
                deadline,
                submitted,
                correlation,
                note,
                caller,
                queued,
                trace,
                chain,
                history,
                job_id,
            ) in jobs
        ]

    def renew(self, claims: Iterable[tuple[str, int]]) -> set[str]:
        """Implement `Ledger.renew`."""
        pairs = [value for pair in claims for value in pair]
        return {job_id.decode() for job_id in self._server.run_script("renew", *pairs)} if pairs else set()

    def settle_many(self, results: Sequence[tuple[Claim | RunningJob, Report | Failure]]) -> list[bool]:
        """Implement `Ledger.settle_many`."""
        stored = self.settle_batch([Settlement.from_result(claim, result) for claim, result in results])
        return [each is not SettleResult.REFUSED for each in stored]

    def settle_batch(self, settlements: Sequence[Settlement]) -> list[SettleResult]:
        """Implement `Ledger.settle_batch`."""
        if not settlements:
            return []
        stored_format = self._server.stored_format
        arguments: list[str | int | bytes] = []
        for entry in settlements:
            page = encode_page(entry.prediction_page, self._server.settings.prediction_log_retention_seconds)
            # Scripts read failures, which are small. Small reports are of jobs for which the time counts.
            body = compress(entry.body, stored_format) if entry.field == "report" else entry.body
            origin = compress(entry.provenance, stored_format) if body is not entry.body else entry.provenance
            arguments += (entry.job_id, entry.fence, entry.state, entry.field, body, page, origin)
        results = self._server.run_script("settle", MAX_DAY_ENTRIES, stored_format, *arguments)
        if _TOO_NEW in results:  # the ledger's format was set back since the claim
            self._server.note_format(PLAIN_FORMAT)
            again = iter(
                self.settle_batch(
                    [entry for entry, result in zip(settlements, results, strict=True) if result == _TOO_NEW]
                )
            )
            return [next(again) if result == _TOO_NEW else SettleResult(result) for result in results]
        return [SettleResult(result) for result in results]

    def release_many(
        self, claims: Sequence[Claim | RunningJob], *, ring: bool, exclusive: bool = False, reason: str = ""
    ) -> list[bool]:
        """Implement `Ledger.release_many`."""
        pairs = [value for claim in claims for value in (claim.job_id, claim.fence)]
        claimed_by_caller = all(isinstance(claim, Claim) for claim in claims)  # the supervisor passes running jobs
        flags = int(ring), int(exclusive), int(claimed_by_caller)
        return (
            [bool(released) for released in self._server.run_script("release", *flags, reason, *pairs)] if pairs else []
        )

    def snooze(
        self, claim: Claim, due_seconds: float, note: bytes = b"", progress: Progress | None = None, reason: str = ""
    ) -> bool:
        """Implement `Ledger.snooze`."""
        encoded = b"" if progress is None else msgspec.json.encode(progress)
        due_ms = round(due_seconds * 1000)
        return bool(self._server.run_script("snooze", claim.job_id, claim.fence, due_ms, note, encoded, reason))

    def resume_now(self, job_id: str) -> bool:
        """Implement `Ledger.resume_now`."""
        return bool(self._server.run_script("unsnooze", job_id))

    def report_worker_lost(self, job_id: str, fence: int, reason: str = "") -> JobState | None:
        """Implement `Ledger.report_worker_lost`."""
        state = self._server.run_script("worker_lost", job_id, fence, reason)
        return None if state is None else JobState(state.decode())

    def set_progress(self, claim: Claim | RunningJob, progress: Progress) -> bool:
        """Implement `Ledger.set_progress`."""
        return bool(self._server.run_script("progress", claim.job_id, claim.fence, msgspec.json.encode(progress)))

    def running_jobs(self, owner_prefix: str = "") -> list[RunningJob]:
        """Implement `Ledger.running_jobs`."""
        records = self._server.run_script("list_running", owner_prefix)
        return [
            RunningJob(
                job_id=job_id.decode(),
                fence=int(fence),
                owner=owner.decode(),
                attempt=int(attempt),
                kind=kind.decode(),
                queue=queue.decode(),
                claimed_at=to_datetime(claimed),
                lease_until=to_datetime(lease_until),
                time_limit_seconds=float(time_limit),
                correlation_id=correlation.decode() or None,
                caller=caller.decode() if caller else None,
                trace=TraceContext.from_stored(trace.decode()) if trace else None,
            )
            for (
                job_id,
                fence,
                owner,
                attempt,
                kind,
                queue,
                claimed,
                time_limit,
                correlation,
                lease_until,
                caller,
                trace,
            ) in records
        ]

    def recall(self, name: str, waits: int, ttl_seconds: float) -> None:
        """Implement `Ledger.recall`."""
        key = self._server.key("recall", name)
        self._server.transaction(
            ("DEL", key), ("LPUSH", key, *["!"] * waits), ("PEXPIRE", key, round(ttl_seconds * 1000))
        )

    def look(self, owner_prefix: str, queues: Sequence[str], heartbeat: Sequence[Command]) -> IdleLook:
        """Implement `Ledger.look`."""
        key = self._server.key
        (seconds, microseconds), looked, controls, held, *replies = self._server.transaction(
            ("TIME",),
            ("GET", key("looked")),
            ("HGETALL", key("controls")),
            ("ZRANGEBYLEX", key("held"), f"[{owner_prefix}", f"({owner_prefix}".encode() + b"\xff", "LIMIT", 0, 1),
            *(("ZRANGE", key(name), 0, 0, "WITHSCORES") for name in _DUE),
            *(("ZCARD", key(part, queue)) for queue in queues for part in ("queue", "named")),
            *heartbeat,
        )
        waiting = replies[len(_DUE) : len(replies) - len(heartbeat)]
        now_seconds = int(seconds) + int(microseconds) / 1e6
        since_seconds = math.inf if looked is None else now_seconds - int(looked) / 1000
        due_seconds = [float(first[1]) / 1000 for first in replies[: len(_DUE)] if first]
        return IdleLook(
            bool(held),
            sum(waiting),
            Controls.from_fields([part for pair in controls.items() for part in pair]),
            since_seconds if since_seconds > -1.0 else math.inf,
            max(min(due_seconds, default=math.inf) - now_seconds, 0.0),
        )

    def reap(self, *, leases: bool = True) -> ReapCounts:
        """Implement `Ledger.reap`."""
        wait_ms = round(self._server.settings.notify_retry_seconds * 1000)
        *counts, claims, next_due = self._server.run_script("reap", wait_ms, int(leases), *QUEUES)
        requeued, lost, expired, rung, prepares = counts
        ended = tuple((job_id.decode(), int(fence)) for job_id, fence in claims)
        next_due_seconds = int(next_due) / 1000 if next_due else math.inf
        return ReapCounts(requeued, lost, expired, rung, prepares, ended, next_due_seconds)


def _payload_of(stored: bytes) -> bytes:
    try:
        return decompress(stored, MAX_PAYLOAD_BYTES)
    except UnreadableValueError:  # decoding the job fails then, as invalid input
        return stored


def final_state(result: Report | Failure) -> JobState:
    """Return the final state of a job with this result."""
    if not isinstance(result, Failure):
        return JobState.SUCCEEDED
    return {FailureCode.EXPIRED: JobState.EXPIRED, FailureCode.CANCELLED: JobState.CANCELLED}.get(
        result.code, JobState.FAILED
    )
