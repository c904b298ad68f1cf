"""The ledger: jobs, models and controls of one namespace on one server, for callers and workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, Unpack

from ledger.contracts.failures import Failure
from ledger.contracts.job_state import Durability, JobState, JobStatus, Outcome, Progress, Receipt
from ledger.contracts.reports import Report
from ledger.jobs.conditions import SubmitConditions
from ledger.jobs.job_entries import JobInput
from ledger.ledger_parts import LedgerParts
from ledger.server.connection_pool import Command
from ledger.server.server import Server
from ledger.settings import LedgerSettings

if TYPE_CHECKING:
    from ledger.jobs.claims import Claim, IdleLook, ReapCounts, Recalled, RunningJob, Settlement, SettleResult
    from ledger.jobs.dead_letters import DeadLetter
    from ledger.jobs.job_history import JobHistory
    from ledger.jobs.job_index import JobPage, JobQuery, JobSummary
    from ledger.jobs.job_records import JobRecord
    from ledger.jobs.outcome_reader import OutcomePage, OutcomesMissedError
    from ledger.schedules.due_runs import DueRuns

__all__ = [
    "Claim",
    "DeadLetter",
    "JobHistory",
    "JobPage",
    "JobQuery",
    "JobRecord",
    "JobSummary",
    "Ledger",
    "LedgerSettings",
    "ReapCounts",
    "RunningJob",
    "Settlement",
]


# Names of this module that are imported when they are first used, with the parts that use them.
_MODULES = {
    **dict.fromkeys(("Claim", "ReapCounts", "RunningJob", "Settlement"), "ledger.jobs.claims"),
    "DeadLetter": "ledger.jobs.dead_letters",
    "JobHistory": "ledger.jobs.job_history",
    **dict.fromkeys(("JobPage", "JobQuery", "JobSummary"), "ledger.jobs.job_index"),
    "JobRecord": "ledger.jobs.job_records",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


class Ledger(LedgerParts):
    """The job state machine of one namespace on one server, and a part for everything else.

    A job is one record on the server and changes only by the scripts in `lua/`, each of them atomic:

        submit ──> waiting ──cancel, deadline, the job before it did not succeed──> cancelled | expired | failed
          │          │
          │          │ its time has come, and the job before it succeeded
          │          v
          └─────> queued ──claim──> running ──settle──> succeeded | failed
                     ^  │               │  │
                     │  │               │  └─cancel────> cancelled
                     │  ├─cancel────────┼──────────────> cancelled
                     │  └─deadline──────┼──────────────> expired
                     └─release, snooze, ┘
                       report_worker_lost (after the last attempt: failed as worker_lost, a dead letter)

    Callers submit, wait, follow and cancel; workers claim, renew, and end a claim by settle, release or snooze;
    supervisors report lost workers and reap. Threads may share a ledger; `Ledger.connect(settings)` opens one.

    A claim is a lease on the server's clock, identified by its fence. A call with an old fence is refused, and an
    outcome is never replaced. An outcome lives for the retention; a tombstone distinguishes `forgotten` from `unknown`
    for some time after that. Not covered: a server that loses data it has confirmed (see `durable`), and several
    servers (shard by whole ledgers).

    Attributes
    ----------
    server
        The server that all parts share: commands, scripts, clock, memory.
    submission
        Submission of jobs, with what only workers submit: parts, shadow cards, urgent health checks.
    chains
        Chains of jobs, each of which waits for the one before.
    job_index, job_audit, job_histories, job_logs, job_records, card_answers, dead_letters
        Lists of jobs by state, kind, caller, card and time; submissions and outcomes of a range of time; the history of
        a job, and the log lines about it; stored jobs; cards by date with all answers to each; and the jobs that failed
        as `worker_lost`.
    job_archive
        The archive of outcomes: what it has, where a job is, and whether it is whole.
    queue_stats, outcome_stats
        Lengths and waiting times of the queues; statistics of recent outcomes.
    outcome_confirmation
        What an outcome waits for before it is visible: the disk, replicas or nothing.
    liveness_probes
        Probes by which a pool checks its own children.
    models, aliases, verification, promotions, references, fighters
        Registered models, the aliases that point to them, their verification, the promotion gate's history, which
        models are still referenced, and the fighters that they know.
    drift_alarms, drift_figures, prediction_log, fight_results, state_lags
        Monitoring of models: alarms, latest figures, recorded predictions, the results of fights, and how far the
        fighters' states lag behind them.
    controls, pools, quarantine, tokens, stored_format, feeds
        Operations: live controls, living pools, malformed queue items, tokens of gateways and limits of callers, the
        format of stored payloads and reports, and odds feeds: their runners, their retrievals and the fights that they
        have listed.
    prices
        Price history of the fights of feeds.
    bets
        Register of bets: placed, voided and settled, with what is at stake and the caps on it.
    webhooks, webhook_queue
        Webhooks that receive outcomes, and their deliveries as a relay needs them.
    schedules
        Schedules, their runs and changes; `due_runs()` is for the pools that submit what is due.
    """

    @classmethod
    def connect(cls, settings: LedgerSettings) -> Self:
        """Open a ledger.

        Warns with EvictionWarning if the server may evict keys of the ledger.

        Raises
        ------
        LedgerUnavailableError
            The server does not answer or refuses the user, or no server is named.
        """
        return cls(Server.connect(settings))

    def close(self) -> None:
        """Close all connections."""
        self.server.close()

    @property
    def settings(self) -> LedgerSettings:
        """Settings of the ledger."""
        return self.server.settings

    @property
    def address(self) -> str:
        """Address of the server, without user or password."""
        return self.server.address

    def due_runs(self) -> DueRuns:
        """Return the schedules as a pool sees them that submits what is due; not for several threads."""
        from ledger.schedules.due_runs import DueRuns  # with zones and calendars, which only pools need

        return DueRuns(self.server, self.schedules, self._outcomes)

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
        """Accept a job, once.

        Parameters
        ----------
        job
            The job, its JSON, or a `CheckedJob`; a job is checked as if it had been read from JSON.
        key
            Becomes the job's id; by default the id is a digest of the content. Submitting the same job again returns
            the same id, whatever the job's state, with `created=False`. Once its retention is over, the same job is
            accepted as a new one.
        correlation_id
            Stored with the job and returned in its outcome.
        durable
            True: wait until the server has the job in its append-only file on disk (Valkey, or Redis >= 7.2).
            "replica": wait until replicas have it, too: CORNERMAN_DURABLE_REPLICAS of them, on disk or in memory as
            CORNERMAN_REPLICA_STORAGE says.
        caller
            Who submits: stored with the job and returned in its outcome. By default that of the settings
            (CORNERMAN_CALLER). A job that exists keeps its first caller.
        **conditions
            When the job is queued, and which cards it replaces: see `ledger.jobs.conditions.SubmitConditions`. A job
            that exists keeps its first conditions, and replaces nothing more.

        Raises
        ------
        JobRefusedError
            Nothing was written. `invalid_input` or `unsupported_schema`: a check failed, or `key` names a job of other
            content. `expired`: the deadline has passed, or is not after `not_before`. `stale_odds`: a quote is too old.
            `predecessor_failed`: the job `after` ended without a report, or is not known. `superseded`: another job has
            newer prices of this card.
            `memory_limit_exceeded`: the queue or the server is full, with `retry_after_seconds` in the details, or the
            server's maxmemory-policy may evict keys of the ledger. (A job that is known is accepted nevertheless.)
        NotDurableError
            The server cannot confirm what `durable` asks for: `missing` says which part, `accepted` whether the job
            was accepted.
        LedgerUnavailableError
            The server does not answer; submitting again is safe.
        """
        return self.submission.submit(
            job, key=key, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
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
        """Accept jobs and return their receipts in the same order. Raises as `submit` does, for the first refused job.

        Up to `submission.MAX_JOBS_PER_STEP` jobs (and `MAX_BYTES_PER_STEP`) are accepted in one atomic step, all or
        none. More go in several steps, between which the server answers other clients. All jobs are checked before the
        first step, and nothing is written if one would be refused. Only events from outside can stop them halfway:
        others fill the queue, a deadline passes, the server goes away. Then the jobs of the earlier steps are accepted,
        and submitting all of them again is safe; `accepted` in the details of the refusal is their number.
        """
        return self.submission.submit_many(
            jobs, keys=keys, correlation_id=correlation_id, durable=durable, caller=caller, **conditions
        )

    def status(self, job_id: str) -> JobStatus:
        """Return the current state of a job; `unknown` and `forgotten` are states of their own."""
        return self._outcomes.status(job_id)

    def outcome(self, job_id: str) -> Outcome | None:
        """Return the outcome of a job, or None if there is none; `status` says why there is none.

        Raises UnreadableOutcomeError if a newer version wrote the outcome.
        """
        return self._outcomes.outcome(job_id)

    def wait(
        self, job_id: str, timeout_seconds: float, *, on_progress: Callable[[Progress], None] | None = None
    ) -> Outcome:
        """Wait for a job's outcome and return it; `on_progress` is called with the job's progress reports.

        Raises
        ------
        WaitTimeoutError
            There is no outcome after `timeout_seconds`; the job goes on.
        UnknownJobError
            The job was never submitted, or its retention is over.
        UnreadableOutcomeError
            As from `outcome`.
        LedgerUnavailableError
            The server does not answer for `timeout_seconds`, or for twice `reply_timeout_seconds` if that is less;
            waiting again is safe.
        """
        return self._outcomes.wait(job_id, timeout_seconds, on_progress=on_progress)

    def follow(
        self,
        after: str = "$",
        *,
        idle_seconds: float | None = None,
        on_missed: Callable[[OutcomesMissedError], None] | None = None,
    ) -> Iterator[tuple[str, Outcome]]:
        """Yield outcomes in the order of settling, each with its place in the stream.

        Parameters
        ----------
        after
            A place that this method yielded: all later outcomes follow, also those that were settled meanwhile. "$"
            begins with what is settled from this call on, "0" with the oldest that is kept.
        idle_seconds
            End after this time without an outcome; by default never.
        on_missed
            Called instead of raising OutcomesMissedError while following.

        Raises
        ------
        JobRefusedError
            `after` is not a place.
        OutcomesMissedError
            Outcomes were dropped from the stream before they were read (`max_outcomes`, `retention_seconds`).
        UnreadableOutcomeError
            A newer version wrote the next outcome; continue after its `place`.
        LedgerUnavailableError
            The server does not answer; continue after the last place.
        """
        return self._outcomes.follow(after, idle_seconds=idle_seconds, on_missed=on_missed)

    def outcomes_page(self, after: str, limit: int, *, block_seconds: float = 0.0) -> OutcomePage:
        """Return outcomes after a place, in the order of settling.

        Parameters
        ----------
        after
            A place, "0" or "$" as in `follow`.
        limit
            At most how many.
        block_seconds
            How long to wait for the first one if there is none.

        Raises
        ------
        JobRefusedError
            `after` is not a place.
        UnreadableOutcomeError
            A newer version wrote one of the outcomes; continue after its `place`.
        LedgerUnavailableError
            The server does not answer.
        """
        return self._outcomes.page(after, limit, block_seconds)

    def latest_place(self) -> str:
        """Return the place of the latest outcome in the stream, "0" if it is empty."""
        return self._outcomes.latest_place()

    def cancel(self, job_id: str) -> JobStatus:
        """End a job that has no outcome yet, and return its state. Its worker learns of it by its next `renew`."""
        return self._outcomes.cancel(job_id)

    def claim(self, queue: str, owner: str, limit: int = 1) -> list[Claim]:
        """Claim up to `limit` jobs: callers take turns, and of each the earliest deadline goes first, then the oldest.

        Jobs that `owner` still holds are queued again first, so one owner runs one claim at a time: the reply to its
        last claim must have been lost, and as no worker ran these jobs, the attempt does not count (at most
        `max_attempts` times in a job's life). A job past its deadline is settled as `expired` instead of handed out,
        one above the size limit as `invalid_input`; one whose worker was lost with several jobs is claimed alone.
        Nothing is handed out while the queue is paused, or the owner's node or pool is drained.
        """
        return self._claims.claim(queue, owner, limit)

    def claim_when_notified(
        self, queue: str, owner: str, timeout_seconds: float, recall: str = ""
    ) -> tuple[bytes | Recalled | None, list[Claim]]:
        """Wait for a doorbell of a queue and claim one job when it rings, or at the end of the timeout.

        Returns the item of the doorbell list (None after the timeout) and the claim. The server claims when the
        doorbell is popped, which saves a round trip. `Ledger.recall` of the name `recall` ends the wait early, too; the
        item is `RECALLED` then.
        """
        return self._claims.claim_when_notified(queue, owner, timeout_seconds, recall)

    def recall(self, name: str, waits: int, ttl_seconds: float) -> None:
        """End this number of waits that have the name `recall`, also waits that begin within `ttl_seconds`."""
        self._claims.recall(name, waits, ttl_seconds)

    def renew(self, claims: Iterable[tuple[str, int]]) -> set[str]:
        """Prolong the leases of (job id, fence) pairs; return the ids that are no longer held: cancelled or lost."""
        return self._claims.renew(claims)

    def settle(self, claim: Claim | RunningJob, result: Report | Failure) -> bool:
        """Store the outcome of a claimed job: the first one wins.

        Returns True if this is the outcome now, also if the call repeats one whose reply was lost; False if the claim
        is no longer current or another outcome exists. A report after the deadline is stored as `expired`, without the
        report. Raises ValueError on NaN or infinity, naming the field.
        """
        return self._claims.settle_many([(claim, result)])[0]

    def settle_many(self, results: Sequence[tuple[Claim | RunningJob, Report | Failure]]) -> list[bool]:
        """Settle several jobs in one step, each as `settle` does. Raises ValueError before anything is stored."""
        return self._claims.settle_many(results)

    def settle_batch(self, settlements: Sequence[Settlement]) -> list[SettleResult]:
        """Store encoded results in one step; each is accepted or refused by itself, as in `settle`."""
        return self._claims.settle_batch(settlements)

    def release(self, claim: Claim | RunningJob, *, exclusive: bool = False, reason: str = "") -> bool:
        """Return a job to its queue without using an attempt; `reap` rings its doorbell.

        Returns True also if the call repeats one whose reply was lost; False if the job was no longer held. With
        `exclusive` the job is claimed alone from then on. `reason` goes into the job's history.
        """
        return self._claims.release_many([claim], ring=False, exclusive=exclusive, reason=reason)[0]

    def release_many(
        self, claims: Sequence[Claim | RunningJob], *, ring: bool, exclusive: bool = False, reason: str = ""
    ) -> list[bool]:
        """Return jobs to their queues in one step, each as `release` does; `ring` wakes other workers at once."""
        return self._claims.release_many(claims, ring=ring, exclusive=exclusive, reason=reason)

    def snooze(
        self, claim: Claim, due_seconds: float, note: bytes = b"", progress: Progress | None = None, reason: str = ""
    ) -> bool:
        """Set a job aside until it is due or resumed, without using an attempt.

        It waits outside its queue and does not count as backlog; cancelling and its deadline still apply. Its next
        claim carries `note`; `reason` goes into its history. Returns True also if the call repeats one whose reply was
        lost; False if the job was no longer held.
        """
        return self._claims.snooze(claim, due_seconds, note, progress, reason)

    def resume_now(self, job_id: str) -> bool:
        """Return a snoozed job to its queue at once. False if there is no such job, or it has an outcome."""
        return self._claims.resume_now(job_id)

    def report_worker_lost(self, job_id: str, fence: int, reason: str = "") -> JobState | None:
        """Report that the worker of a job is gone; return the job's new state, None if the claim was not current.

        QUEUED: another attempt follows. FAILED: it was the last of `max_attempts`; the job failed as `worker_lost` and
        is a dead letter. A job that was claimed with others is claimed alone from then on. A call that repeats one
        whose reply was lost returns the same state. `reason` goes into the job's history.
        """
        return self._claims.report_worker_lost(job_id, fence, reason)

    def set_progress(self, claim: Claim | RunningJob, progress: Progress) -> bool:
        """Store and publish a job's progress. False if the claim is no longer held: stop working."""
        return self._claims.set_progress(claim, progress)

    def running_jobs(self, owner_prefix: str = "") -> list[RunningJob]:
        """Return the running jobs of all owners whose name begins with `owner_prefix`."""
        return self._claims.running_jobs(owner_prefix)

    def look(self, owner_prefix: str, queues: Sequence[str], heartbeat: Sequence[Command] = ()) -> IdleLook:
        """Return what a pool without a job has to know; its children's names begin with `owner_prefix`.

        `heartbeat` is executed in the same transaction (`PoolRegistry.announcement`).
        """
        return self._claims.look(owner_prefix, queues, heartbeat)

    def reap(self, *, leases: bool = True) -> ReapCounts:
        """Requeue expired leases, expire overdue jobs and ring lost doorbells again; return the counts.

        A lease runs on the server's clock, but only while pools reap: a step of that clock, or a time in which no pool
        reached the server, counts for at most a fifth of a lease. `leases=False` leaves leases alone.
        """
        return self._claims.reap(leases=leases)
