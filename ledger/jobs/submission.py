"""Submission of jobs: each is checked, gets its id, and is accepted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from ledger.compression.stored_values import PLAIN_FORMAT
from ledger.contracts import codec
from ledger.contracts.caller_names import CALLER_RULE, is_caller
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError, LedgerError, QuotaExceededError
from ledger.contracts.job_state import Durability, Receipt
from ledger.contracts.jobs import (
    BacktestPart,
    CheckHealth,
    PredictCard,
    ShadowCard,
    TrainPart,
)
from ledger.contracts.reports import Report
from ledger.contracts.trace_context import TraceContext
from ledger.durability.confirmations import (
    Confirmation,
    NotDurableError,
    check_confirmation,
    script_confirmed,
)
from ledger.jobs import backpressure
from ledger.jobs.conditions import ChainConditions, CheckedConditions, SubmitConditions
from ledger.jobs.job_entries import MAX_BYTES_PER_STEP, JobEntry, JobInput, enter, steps_of
from ledger.jobs.quote_age import stale_odds_failure
from ledger.server.base_server import BaseServer, to_datetime
from ledger.server.error_replies import ServerFullError
from ledger.server.exchanges import Exchange
from ledger.server.server import Server

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

_NO_CONDITIONS = CheckedConditions()
MAX_URGENT_CHECKS = 100
"""How many urgent health checks may wait beyond the length of a full queue."""


class SubmissionExchanges:
    """Submission of jobs, as exchanges with a server."""

    def __init__(self, server: BaseServer) -> None:
        self._server = server

    def submit(
        self,
        job: JobInput,
        *,
        key: str | None = None,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[SubmitConditions],
    ) -> Exchange[Receipt[Report]]:
        """Implement `Ledger.submit`."""
        receipts = yield from self.submit_many(
            [job], keys=[key], correlation_id=correlation_id, durable=durable, caller=caller, **conditions
        )
        return receipts[0]

    def submit_many(
        self,
        jobs: Sequence[JobInput],
        *,
        keys: Sequence[str | None] | None = None,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[SubmitConditions],
    ) -> Exchange[list[Receipt[Report]]]:
        """Implement `Ledger.submit_many`."""
        return (
            yield from self.submit_all(
                jobs,
                keys,
                self._gate_for_callers(),
                correlation_id=correlation_id,
                durable=durable,
                caller=self.checked_caller(caller),
                conditions=CheckedConditions.from_options(conditions),
            )
        )

    def submit_chain(
        self,
        name: str,
        jobs: Sequence[JobInput],
        keys: Sequence[str],
        *,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[ChainConditions],
    ) -> Exchange[list[Receipt[Report]]]:
        """Implement `Chains.submit`, for checked names."""
        checked = CheckedConditions.from_options(
            {
                "not_before": conditions.get("not_before"),
                "after": conditions.get("after"),
                "traceparent": conditions.get("traceparent"),
                "tracestate": conditions.get("tracestate"),
            }
        )
        return (
            yield from self.submit_all(
                jobs,
                keys,
                self._gate_for_callers(),
                correlation_id=correlation_id,
                durable=durable,
                caller=self.checked_caller(caller),
                conditions=msgspec.structs.replace(checked, chain=name),
            )
        )

    def _gate_for_callers(self) -> _Gate:
        settings = self._server.settings
        return _Gate(settings.max_queue_length, settings.max_memory_fraction)

    def checked_caller(self, given: str | None = None) -> str:
        """Return the caller of a submission, by default that of the settings; '' for none. Raises JobRefusedError."""
        name = self._server.settings.caller if given is None else given
        if name is not None and not is_caller(name):
            raise codec.job_refused(f"the name of a caller is {CALLER_RULE}: {name[:80]!r} is not one")
        return name or ""

    def submit_all(
        self,
        jobs: Sequence[JobInput],
        keys: Sequence[str | None] | None,
        gate: _Gate,
        *,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str = "",
        conditions: CheckedConditions = _NO_CONDITIONS,
    ) -> Exchange[list[Receipt[Report]]]:
        """Accept jobs within the limits of `gate`."""
        confirmation = Confirmation.of_submission(durable, self._server.settings)
        stored_format = self._server.stored_format
        entries = [enter(job, key, stored_format) for job, key in zip(jobs, keys or [None] * len(jobs), strict=True)]
        once: dict[str, JobEntry] = {}
        for entry in entries:
            if once.setdefault(entry.job_id, entry).digest != entry.digest:
                raise _conflict(entry)
        steps = list(steps_of(once.values()))
        if len(steps) > 1:
            if conditions.chain:
                raise codec.job_refused(
                    f"the jobs of chain {conditions.chain!r} have more than {MAX_BYTES_PER_STEP:,} bytes: they are "
                    "accepted in one step"
                )
            yield from self._check_all(steps, gate, caller, conditions)
        accepted: dict[str, bool] = {}
        for step in steps:
            # A confirmed last step confirms all steps before it.
            confirmed = confirmation if step in (steps[0], steps[-1]) else None
            try:
                accepted |= yield from self._step(
                    step, gate, correlation_id or "", conditions, caller=caller, durable=confirmed
                )
            except JobRefusedError as refused:
                if not accepted:
                    raise
                raise type(refused)(
                    backpressure.partially_accepted(refused.failure, len(accepted), len(once))
                ) from refused
        # Of two equal jobs, the first is the created one.
        return [
            Receipt(
                job_id=entry.job_id,
                created=accepted[entry.job_id] and once.pop(entry.job_id, None) is not None,
                durable=confirmation is not None,
                replicas=confirmation.replicas if confirmation else 0,
            )
            for entry in entries
        ]

    def _check_all(
        self, steps: Sequence[Sequence[JobEntry]], gate: _Gate, caller: str, conditions: CheckedConditions
    ) -> Exchange[None]:
        """Check the jobs of all steps together. Raises JobRefusedError as the steps themselves would."""
        new: Counter[str] = Counter()
        for step in steps:
            marks = yield from self._step(step, gate, "", conditions, caller=caller, check_only=True, others=new)
            new.update(entry.queue for entry in step if marks[entry.job_id])

    def _step(
        self,
        entries: Sequence[JobEntry],
        gate: _Gate,
        correlation_id: str,
        conditions: CheckedConditions,
        *,
        caller: str = "",
        durable: Confirmation | None = None,
        check_only: bool = False,
        others: Mapping[str, int] | None = None,
    ) -> Exchange[dict[str, bool]]:
        """Run submit.lua for the jobs of one step; return by id whether each is new."""
        before = msgspec.json.encode(others or {})
        head: list[Any] = [int(durable is not None), *gate.arguments(), int(check_only), before, caller]
        head += ("1" if conditions.supersede else "", conditions.supersedes, conditions.chain, conditions.trace)
        while True:
            stored_format = self._server.stored_format
            arguments = [*head, stored_format]
            waits_for = conditions.waits_for
            for entry in entries:
                payload = b"" if check_only else entry.payload(stored_format)
                arguments += (*entry.arguments(payload), waits_for, correlation_id)
                if conditions.chain:  # the next job waits for this one only
                    waits_for = f" {entry.job_id}"
            try:
                if durable is not None:
                    verdict, *marks = yield from self._submit_durably(arguments, durable)
                else:
                    verdict, *marks = yield from self._run_script(arguments)
            except ServerFullError as error:
                raise JobRefusedError(backpressure.out_of_memory()) from error
            if verdict not in (b"accepted", b"format"):
                raise self._refusal(entries, verdict.decode(), marks)
            self._server.note_format(marks[0])
            if verdict == b"accepted":
                return {entry.job_id: bool(created) for entry, created in zip(entries, marks[1:], strict=True)}

    def _run_script(self, arguments: Sequence[Any]) -> Exchange[list[Any]]:
        """Run submit.lua, or in a subclass a script that includes it."""
        return list((yield from self._server.script("submit", *arguments)))

    def _refusal(self, entries: Sequence[JobEntry], verdict: str, figures: list[Any]) -> JobRefusedError:
        """Return the exception for a refusal of submit.lua."""
        if verdict == "long":
            waiting, new, settled, span_ms = map(int, figures)
            most = self._server.settings.max_queue_length
            return JobRefusedError(backpressure.queue_full(waiting, new, most, settled, span_ms / 1000))
        if verdict == "memory":
            return JobRefusedError(backpressure.memory_full(*map(int, figures)))
        if verdict == "quota":
            today, new, most, left_ms = map(int, figures)
            return QuotaExceededError(backpressure.quota_used_up(today, new, most, left_ms / 1000))
        if verdict == "evicts":
            return JobRefusedError(backpressure.eviction_enabled(figures[0].decode()))
        entry = entries[figures[0]]
        if verdict == "predecessor":
            return JobRefusedError(_predecessor_failure(entry, *(figure.decode() for figure in figures[1:])))
        if verdict == "superseded":
            return JobRefusedError(_superseded(entry, figures[1].decode()))
        now = to_datetime(figures[1])
        if verdict == "late":
            return codec.job_refused(
                f"the deadline of this {entry.kind} is {entry.deadline}, not after {now}, before which it may not "
                "begin: set a later `deadline`, or an earlier `not_before`",
                FailureCode.EXPIRED,
            )
        if verdict == "stale" and isinstance(job := entry.job, PredictCard):
            return JobRefusedError(stale_odds_failure(job, now))
        return _expired(entry) if verdict == "expired" else _conflict(entry)

    def _submit_durably(self, arguments: list[Any], confirmation: Confirmation) -> Exchange[list[Any]]:
        """Submit and wait on one connection: WAITAOF and WAIT cover only what their own connection has written."""
        # Before anything is written, so that a refusal leaves no job.
        yield from check_confirmation(self._server, confirmation)
        try:
            answer, missing = yield from script_confirmed(self._server, "submit", arguments, confirmation)
        except redis.ResponseError as error:
            raise LedgerError(
                f"the server at {self._server.address} cannot confirm a durable submit any more ({error}): submit "
                "again to find out whether it was accepted (it stays one job)"
            ) from error
        if answer[0] == b"accepted" and missing:
            raise NotDurableError(
                f"accepted, but {missing[1]}; submit again to confirm (it stays one job)", missing[0], accepted=True
            )
        return list(answer)


class Submission:
    """Submission of jobs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._exchanges = SubmissionExchanges(server)

    def submit(
        self,
        job: JobInput,
        *,
        key: str | None = None,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[SubmitConditions],
    ) -> Receipt[Report]:
        """Implement `Ledger.submit`."""
        return self._server.run(
            self._exchanges.submit(
                job, key=key, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
            )
        )

    def submit_many(
        self,
        jobs: Sequence[JobInput],
        *,
        keys: Sequence[str | None] | None = None,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[SubmitConditions],
    ) -> list[Receipt[Report]]:
        """Implement `Ledger.submit_many`."""
        return self._server.run(
            self._exchanges.submit_many(
                jobs, keys=keys, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
            )
        )

    def submit_chain(
        self,
        name: str,
        jobs: Sequence[JobInput],
        keys: Sequence[str],
        *,
        correlation_id: str | None = None,
        durable: Durability = False,
        caller: str | None = None,
        **conditions: Unpack[ChainConditions],
    ) -> list[Receipt[Report]]:
        """Implement `Chains.submit`, for checked names."""
        return self._server.run(
            self._exchanges.submit_chain(
                name, jobs, keys, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
            )
        )

    def submit_parts(
        self,
        parts: Sequence[TrainPart | BacktestPart],
        *,
        keys: Sequence[str | None] | None = None,
        correlation_id: str | None = None,
        caller: str | None = None,
        trace: TraceContext | None = None,
    ) -> list[Receipt[Report]]:
        """Accept parts of an accepted job, also beyond the queue length and memory mark for new jobs.

        `caller` is that of the job, `trace` the span of its attempt. Raises as `submit_many` does; JobRefusedError for
        a full server only at its maxmemory.
        """
        return self._server.run(
            self._exchanges.submit_all(
                parts,
                keys,
                _Gate(),
                correlation_id=correlation_id,
                caller=caller or "",
                conditions=_NO_CONDITIONS if trace is None else CheckedConditions(trace=trace.stored),
            )
        )

    def submit_urgent(self, job: CheckHealth) -> Receipt[Report]:
        """Accept a health check that goes before all other jobs, also if the queue or the server is full.

        It verifies a model before an alias moves, and so must be small, rare, and have a deadline. Raises as `submit`
        does, and JobRefusedError without a deadline.
        """
        if job.deadline is None:
            raise codec.job_refused("a health check that goes before all other jobs needs a deadline")
        most = self._server.settings.max_queue_length + MAX_URGENT_CHECKS
        gate, caller = _Gate(most, first=True), self._exchanges.checked_caller()
        return self._server.run(self._exchanges.submit_all([job], None, gate, caller=caller))[0]

    def submit_shadows(
        self,
        shadows: Sequence[ShadowCard],
        *,
        min_seconds: float = 0.0,
        callers: Sequence[str | None] | None = None,
        traces: Sequence[TraceContext | None] | None = None,
    ) -> int:
        """Queue shadow cards of answered cards, with the rights of a worker, and return how many were queued.

        Each belongs to the caller of its card, given in `callers`, and to the trace of its card, in `traces`. Skips
        those that exist already, those beyond the queue length, and those with less than `min_seconds` to their
        deadline. Raises LedgerUnavailableError.
        """
        min_ms = round(min_seconds * 1000)
        none = [None] * len(shadows)
        arguments = [
            part
            for shadow, caller, trace in zip(shadows, callers or none, traces or none, strict=True)
            for part in (*_shadow_arguments(shadow), caller or "", trace.stored if trace else "")
        ]
        return (
            int(self._server.run_script("shadow", self._server.settings.max_queue_length, min_ms, *arguments))
            if arguments
            else 0
        )


class _Gate(msgspec.Struct, frozen=True):
    """Limits for new jobs: maximum queue length and share of the server's maxmemory; None for no limit.

    first: the jobs go before all others, and are accepted even if the server is full.
    """

    most: int | None = None
    fraction: float | None = None
    first: bool = False

    def arguments(self) -> tuple[Any, ...]:
        """Return the arguments of submit.lua."""
        limits = ("" if limit is None else limit for limit in (self.most, self.fraction))
        return (*limits, int(self.first))


def _shadow_arguments(shadow: ShadowCard) -> tuple[Any, ...]:
    entry = enter(shadow, None, PLAIN_FORMAT)
    return entry.arguments(entry.stored)[:-2]


def _conflict(entry: JobEntry) -> JobRefusedError:
    return codec.job_refused(
        f"the key {entry.job_id!r} names a job with other content: choose another key, or submit that content"
    )


def _predecessor_failure(entry: JobEntry, after: str, state: str) -> Failure:
    known = {"unknown": "was never submitted", "forgotten": "has ended, and its retention too"}
    why = known.get(state, f"is {state}")
    return Failure(
        code=FailureCode.PREDECESSOR_FAILED,
        message=f"this {entry.kind} is to run after job {after} has succeeded, which {why}: nothing was accepted, name "
        "a job that can succeed",
        details={"after": after, "state": state},
    )


def _superseded(entry: JobEntry, newer: str) -> Failure:
    card = entry.job
    read_at = f" at {card.priced_at}" if isinstance(card, PredictCard) else ""
    return Failure(
        code=FailureCode.SUPERSEDED,
        message=f"the prices of this card were read{read_at}, and job {newer} has later ones: nothing was accepted, "
        "read the outcome of that job",
        details={"superseded_by": newer},
    )


def _expired(entry: JobEntry) -> JobRefusedError:
    if isinstance(job := entry.job, PredictCard):
        start = job.event_start.isoformat()
        message = (
            f"the event of card {job.card_id!r} started at {start} and that is the deadline"
            if job.deadline is None
            else f"the deadline of card {job.card_id!r} (event start {start}) was {entry.deadline}"
        )
    else:
        message = f"the deadline of this {entry.kind} was {entry.deadline}"
    return codec.job_refused(f"{message}: set `deadline` to a later moment to have it answered", FailureCode.EXPIRED)
