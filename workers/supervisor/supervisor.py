"""The supervisor of a pool: a thread of the main process that reconciles the children with the ledger.

At each tick (every quarter of a second) the supervisor renews the leases of jobs that live children run, kills children
that exceed a limit or run a cancelled job, releases, charges or settles the jobs of dead children, and reaps the ledger
(`Ledger.reap`); at longer intervals it sends the pool's heartbeat. While the pool has no job it waits between two ticks
for what may happen (`Supervisor._pause`). The supervisor is a thread and not a timer
of Celery's event loop, because the event loop stops while the broker reconnects, and ends before the last children do.
The decisions are pure functions in `workers.supervisor.rules`; this module has the clocks, the measurements and the
effects.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterable, Sequence, Set
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import msgspec
import psutil
import structlog

from ledger.compression.stored_values import NEWEST_FORMAT
from ledger.contracts.failures import LedgerUnavailableError, PermissionDeniedError
from ledger.jobs.claims import ReapCounts
from ledger.jobs.queue_stats import QueueBacklog
from ledger.ledger import Ledger, RunningJob
from workers.failures import deadline_failure, memory_limit_failure, time_limit_failure
from workers.logs.setup import LogLevels, canonical_line, loss_outcome
from workers.observability.pool_monitor import PoolMonitor
from workers.observability.readiness import SupervisorTick
from workers.pool.event_pipe import AttemptEnded, ChildKilled, ReapEvent
from workers.pool.pool import WorkerPool
from workers.pool.processes import ProcessSentinels, is_alive
from workers.pool.scoreboard import ChildSlot, claim_token
from workers.pool.vital_threads import NEEDS_RESTART, LoopErrors, start_critical_thread
from workers.settings import WorkerSettings
from workers.supervisor.memory_budget import MemoryBudget, is_idle
from workers.supervisor.memory_monitor import MemoryExcess, MemoryMonitor
from workers.supervisor.outcome_confirmer import OutcomeConfirmer
from workers.supervisor.rules import (
    MAX_UNSETTLED_SECONDS,
    ChildSnapshot,
    Disposition,
    decide_disposition,
    exceeds_time_limit,
    orphaned_children,
)
from workers.supervisor.watchdog import Watchdog
from workers.tracing.events import LOST_OUTCOMES, AttemptFinished

_VERSION = version("cornerman")  # which takes milliseconds to find
IDLE_MEMORY_SECONDS = 15.0
"""How long the free memory of an idle pool counts. What other processes take meanwhile is noticed by the tick after its
next job has begun."""
IDLE_INSPECTION_SECONDS = 60.0
"""How often an idle pool is inspected in full: index entries of expired records are removed then."""
REAP_FRACTION = 0.5
"""Age of the last reap at which an idle pool reaps, in parts of the longest time between two of its ticks."""
_MAX_MISSED_HEARTBEATS = 3  # missed heartbeats after which a pool counts as gone


def max_idle_seconds(settings: WorkerSettings) -> float:
    """Return the longest time between two ticks of the idle pool that reaps.

    Leases that expire and jobs that become due have times of their own, and a control that changes ends the wait. What
    bears this time: a doorbell that was lost is rung again. Of the time between two reaps at most a fifth of a lease
    counts (shift_leases in prelude.lua).
    """
    intervals = settings.supervisor_idle_interval_seconds, settings.ledger.lease_seconds / 5
    return min(*intervals, max_quiet_seconds(settings))


def max_quiet_seconds(settings: WorkerSettings) -> float:
    """Return the longest time between two ticks of an idle pool while another pool reaps.

    The pool that reaped last ticks again within `max_idle_seconds`; if it has died, another reaps as much later.
    Heartbeats and liveness probes are sent by ticks.
    """
    longest_seconds = 2 * settings.supervisor_idle_interval_seconds
    return min(longest_seconds, settings.heartbeat_seconds, settings.liveness_probe_seconds / 2)


class Supervisor:
    """The supervisor of one pool."""

    def __init__(self, pool: WorkerPool, queues: Sequence[str], monitor: PoolMonitor) -> None:
        self._pool = pool
        self._monitor = monitor
        self._queues = sorted(queues)
        self._log = structlog.get_logger("cornerman.guard")
        self._ledger: Ledger | None = None
        self._idle_since: dict[int, float] = {}
        self._held_since: dict[bytes, float] = {}
        self._timed_out: set[bytes] = set()
        self._orphans: set[tuple[int, bytes]] = set()
        self._closing_since: float | None = None
        self._heartbeat_seconds = -float("inf")
        self._announced_children: set[int] = set()
        self._reached_seconds = -float("inf")
        self._unsettled_seconds: dict[bytes, float] = {}
        self._watchdog = Watchdog(pool)
        self._started_seconds = time.monotonic()
        self._memory_monitor = MemoryMonitor(pool)
        self._memory_budget = MemoryBudget(pool, self._queues, self._memory_monitor)
        self._backlog = QueueBacklog(0, 0.0, 0)
        self._levels = LogLevels(pool.settings.log_level)
        self._kill_reasons: dict[int, str] = {}
        self._confirmer = OutcomeConfirmer(pool.settings)
        self._sentinels = ProcessSentinels()
        self._max_idle_seconds = max_idle_seconds(pool.settings)
        self._max_quiet_seconds = max_quiet_seconds(pool.settings)
        self._measured_seconds = self._inspected_seconds = -float("inf")
        self._applied_controls = pool.controls
        self._may_wait = True
        self._waiting = 0  # jobs in the pool's queues, also in those that it may not claim from
        self._idle_seconds = 0.0  # how long the next tick may wait; 0: the pool is not idle

    def start(self) -> None:
        """Start the threads; they run until the process ends and release the jobs of unfinished children last."""
        self._memory_monitor.start()
        start_critical_thread("supervisor", self._run)

    def _run(self) -> None:
        errors = LoopErrors(self._log, "supervisor loop failed", self._pool.settings.liveness_timeout_seconds)
        while True:
            reached = False
            with errors.caught():
                try:
                    self.tick()
                    reached = True
                except LedgerUnavailableError as unavailable:
                    self._log.warning("ledger unavailable", error=str(unavailable))
                except PermissionDeniedError as denied:
                    self._log.error("ledger permission denied", error=str(denied))
            self._monitor.note_tick(SupervisorTick(self._watchdog.silent_seconds, reached, idle=self._idle_seconds > 0))
            self._pause(self._idle_seconds if reached else 0.0)

    def _pause(self, idle_seconds: float) -> None:
        """Pause until the next tick: for the interval, or for `idle_seconds` if that is longer.

        The wait of an idle pool ends early if a child ends, the pool is closing, or a child may take a job. In the last
        case an interval passes before the tick, as between two ticks: most jobs have ended by then.
        """
        interval_seconds = self._pool.settings.supervisor_interval_seconds
        if idle_seconds > interval_seconds:
            started_seconds = time.monotonic()
            ended = self._pool.supervisor_wakeup.wait(idle_seconds, self._sentinels.descriptors.values())
            waited_out = time.monotonic() - started_seconds >= idle_seconds
            if ended or waited_out or self._pool.scoreboard.closing:
                return
        time.sleep(interval_seconds)

    def tick(self) -> None:
        """Inspect every child and every job of the pool once. Raises LedgerUnavailableError."""
        now_seconds = time.monotonic()
        children = {child.slot.pid: child for child in self._children(now_seconds)}
        closing = self._shutdown_grace_is_over(now_seconds)
        was_idle, self._idle_seconds = self._idle_seconds > 0, 0.0
        if was_idle and self._look(children, now_seconds):
            return
        self._kill_over_time_limit(children, now_seconds)
        self._measure(children.values(), now_seconds)
        for pid in self._memory_budget.oversized_children(children.values()):
            self._kill_if_unchanged(children[pid].slot, "it keeps memory that the next job needs")
        if self._memory_budget.is_starved(children.values(), self._backlog, now_seconds):
            self._log.warning("not enough memory for any job", **msgspec.structs.asdict(self._pool.memory))
        try:
            self._sync_with_ledger(children, now_seconds, closing=closing)
        finally:  # after their jobs were released, or without if that failed
            if closing:
                self._kill_unfinished(children)
            if closing and self._watchdog.expired:
                for child in psutil.Process().children():  # also a child that never registered
                    self._kill(child.pid, "the pool consumes nothing")
                os._exit(NEEDS_RESTART)  # a pool that does not consume ignores a shutdown request too

    def _measure(self, children: Iterable[ChildSnapshot], now_seconds: float) -> None:
        self._memory_budget.update(children, self._backlog, now_seconds)
        self._measured_seconds = now_seconds

    def _look(self, children: dict[int, ChildSnapshot], now_seconds: float) -> bool:
        """Inspect an idle pool; return False if it has to be inspected in full. Raises LedgerUnavailableError."""
        if now_seconds - self._measured_seconds >= IDLE_MEMORY_SECONDS:
            self._measure(children.values(), now_seconds)
        due = now_seconds - self._inspected_seconds >= IDLE_INSPECTION_SECONDS
        if self._ledger is None or due or not self._is_idle(children.values()):
            return False
        heartbeat = self._ledger.pools.announcement(*self._heartbeat(children, now_seconds))
        seen = self._ledger.look(f"{self._pool.name}/", self._queues, heartbeat)
        self._ledger.pools.prune_if_due()
        if seen.controls != self._pool.controls:
            self._pool.controls = seen.controls
            return False
        if seen.holds or seen.waiting:
            return False
        next_due_seconds = seen.next_due_seconds
        # One pool of the fleet is enough: the first that looks after the interval.
        reaps = seen.reaped_seconds > REAP_FRACTION * self._max_idle_seconds or not next_due_seconds
        if reaps:
            next_due_seconds = self._reap(self._ledger).next_due_seconds
        self._reached_seconds = time.monotonic()
        self._announce_and_probe(self._ledger, children, now_seconds)
        longest_seconds = self._max_idle_seconds if reaps else self._max_quiet_seconds
        self._idle_seconds = self._idle_for(children.values(), min(longest_seconds, next_due_seconds))
        return True

    def _sync_with_ledger(self, children: dict[int, ChildSnapshot], now_seconds: float, *, closing: bool) -> None:
        """Do the steps that need the ledger."""
        if self._ledger is None:
            ledger = Ledger.connect(self._pool.settings.ledger)
            self._confirmer.set_durability(ledger)
            self._ledger = ledger
        self._inspected_seconds = now_seconds
        controls = self._ledger.controls.current()
        changed, self._pool.controls = controls != self._applied_controls, controls
        self._levels.apply(controls)
        excesses = set(self._memory_monitor.excesses)
        held = {claim_token(job.job_id, job.fence): job for job in self._ledger.running_jobs(f"{self._pool.name}/")}
        self._settle_or_renew(self._ledger, held, children, now_seconds, closing)
        self._timed_out &= held.keys()
        for token in excesses - held.keys():
            del self._memory_monitor.excesses[token]
        self._pool.scoreboard.set_stopped(not any(self._may_claim(queue) for queue in self._queues))
        self._recall_children(self._ledger, children.values())
        self._backlog = self._total_backlog(self._ledger)
        self._kill_orphans(held.keys(), children)
        self._kill_unsettled(children.values())
        self._free_dead_slots(held.values(), children)
        reaped = self._reap(self._ledger)
        self._announce_and_probe(self._ledger, children, now_seconds)
        if not held and not changed and not self._waiting:
            self._idle_seconds = self._idle_for(children.values(), min(self._max_idle_seconds, reaped.next_due_seconds))
        if not self._idle_seconds:
            self._pool.maintain()
        self._applied_controls = controls
        if self._ledger.job_index.sweep().unfinished:  # last: nothing of the above may wait for it
            self._idle_seconds = 0.0

    def _announce_and_probe(self, ledger: Ledger, children: dict[int, ChildSnapshot], now_seconds: float) -> None:
        """Send the heartbeat and the liveness probe if they are due, and look for the answer to the last probe."""
        living = {pid for pid, child in children.items() if child.alive}
        due = now_seconds - self._heartbeat_seconds >= self._pool.settings.heartbeat_seconds
        if due or living != self._announced_children:  # callers see at once that a child is there or gone
            ledger.pools.announce(*self._heartbeat(children, now_seconds))
        if not self._pool.scoreboard.closing:
            self._watchdog.tick(ledger, children.values(), now_seconds)
            if self._watchdog.expired:
                self._log.error("the pool consumes nothing: it exits to be restarted")
                self._pool.start_closing()
                ledger.pools.announce(*self._heartbeat(children, now_seconds))

    def _recall_children(self, ledger: Ledger, children: Iterable[ChildSnapshot]) -> None:
        """Have all children leave their waits for claims if none may claim; they do not begin to wait then."""
        board = self._pool.scoreboard
        may_wait = board.can_start_job and not board.should_stop_claiming and not board.stopped
        idle = sum(child.alive and is_idle(child.slot) for child in children)
        if idle and not may_wait and self._may_wait:
            ledger.recall(self._pool.liveness_queue, idle, self._pool.settings.liveness_probe_seconds)
        self._may_wait = may_wait

    def _idle_for(self, children: Collection[ChildSnapshot], longest_seconds: float) -> float:
        return longest_seconds if self._is_idle(children) else 0.0

    def _is_idle(self, children: Collection[ChildSnapshot]) -> bool:
        """Return True if no child of the pool works, none is awaited, and there is nothing to decide."""
        scoreboard = self._pool.scoreboard
        return (
            not scoreboard.closing
            and scoreboard.can_start_job
            and self._memory_budget.is_settled
            and all(self._may_claim(queue) for queue in self._queues)
            and len(children) == scoreboard.target_size
            and all(child.alive and is_idle(child.slot) for child in children)
            and self._watchdog.silent_seconds is not None
            and self._sentinels.watch(child.slot.pid for child in children)
        )

    def _reap(self, ledger: Ledger) -> ReapCounts:
        """Reap the ledger.

        Leaves expired leases alone if this pool was itself silent for as long as a lease.
        """
        since_seconds = time.monotonic() - self._reached_seconds
        leases = since_seconds < self._pool.settings.ledger.lease_seconds
        reaped = ledger.reap(leases=leases)
        self._reached_seconds = time.monotonic()
        if reaped.prepares:
            self._confirmer.start()
        if self._pool.tracing is not None:
            for job_id, fence in reaped.expired_leases:
                self._pool.event_pipe.send(AttemptFinished(job_id, fence, "requeued"))
        if reaped.requeued or reaped.lost or reaped.expired:
            counts = {name: getattr(reaped, name) for name in ("requeued", "lost", "expired", "rung", "prepares")}
            self._log.info("reaped", **counts)
            self._pool.event_pipe.send(ReapEvent(reaped.requeued, reaped.lost, reaped.expired))
        return reaped

    def _children(self, now_seconds: float) -> list[ChildSnapshot]:
        slots = self._pool.scoreboard.slots()
        self._idle_since = {slot.pid: self._idle_since.get(slot.pid, now_seconds) for slot in slots if not slot.token}
        return [
            ChildSnapshot(
                slot,
                is_alive(slot.pid),
                now_seconds - self._idle_since.get(slot.pid, now_seconds),
                self._memory_monitor.killed_for.get(slot.pid),
            )
            for slot in slots
        ]

    def _kill_over_time_limit(self, children: dict[int, ChildSnapshot], now_seconds: float) -> None:
        """Kill children over their time limit. This needs no ledger, and works inside a long C call too."""
        for child in children.values():
            over = child.alive and exceeds_time_limit(child.slot, now_seconds)
            if over and self._kill_if_unchanged(child.slot, "time limit"):
                self._timed_out.add(child.slot.token)

    def _kill_unfinished(self, children: dict[int, ChildSnapshot]) -> None:
        """Kill the remaining children, which run a job or wait for Celery (up to half a minute)."""
        for child in children.values():
            if child.alive:
                self._kill(child.slot.pid, "the pool is closing")

    def _settle_or_renew(
        self,
        ledger: Ledger,
        held: dict[bytes, RunningJob],
        children: dict[int, ChildSnapshot],
        now_seconds: float,
        closing: bool,
    ) -> None:
        renewed = []
        self._held_since = {token: self._held_since.get(token, now_seconds) for token in held}
        for token, job in held.items():
            child = children.get(_owner_pid(job))
            held_seconds = now_seconds - self._held_since[token]
            excess = self._memory_monitor.excesses.get(token)
            reason = None
            match decide_disposition(
                token,
                child,
                held_seconds=held_seconds,
                timed_out=self._timed_out,
                overfilled={token} if self._job_is_responsible(excess, job) else frozenset(),
                closing=closing,
            ):
                case Disposition.RENEW:
                    renewed.append((job.job_id, job.fence))
                    continue
                case Disposition.TIME_LIMIT_EXCEEDED:
                    overdue = child is not None and child.slot.limit_seconds < job.time_limit_seconds
                    failure = deadline_failure() if overdue else time_limit_failure(job.time_limit_seconds)
                    outcome = failure.code.value if ledger.settle(job, failure) else "refused"
                case Disposition.MEMORY_LIMIT_EXCEEDED if excess is not None:
                    failure = memory_limit_failure(excess.used_mb, excess.ceiling_mb)
                    outcome = failure.code.value if ledger.settle(job, failure) else "refused"
                case Disposition.WORKER_LOST:
                    lost = self._loss_reason(_owner_pid(job))
                    outcome = loss_outcome(ledger.report_worker_lost(job.job_id, job.fence, lost))
                case _:
                    # A job that was not running may still have caused the crash: next time it runs in its own batch.
                    exclusive = child is not None and child.crashed
                    reason = _release_reason(child, closing=closing)
                    outcome = "released" if ledger.release(job, exclusive=exclusive, reason=reason) else "refused"
            ran = child.slot if child is not None and child.slot.token == token else None
            run_seconds = None if ran is None else now_seconds - ran.started_seconds
            line = canonical_line(job, outcome, queue_wait=None, run_seconds=run_seconds, model=None, reason=reason)
            self._log.info("job", **line)
            self._pool.event_pipe.send(AttemptEnded(job.kind, outcome, job.attempt, run_seconds=run_seconds))
            if self._pool.tracing is not None:
                why = self._loss_reason(_owner_pid(job)) if outcome in LOST_OUTCOMES else reason
                # The time of the tick: since the report to the ledger the next attempt may have begun.
                ended = AttemptFinished(job.job_id, job.fence, outcome, now_seconds, why)
                self._pool.event_pipe.send(ended)
        ledger.renew(renewed)

    def _loss_reason(self, pid: int) -> str:
        """Return why a child is gone, as far as the pool knows."""
        if (reason := self._kill_reasons.get(pid)) is not None:
            return f"the pool killed process {pid}: {reason}"
        if pid in self._memory_monitor.killed_for:
            return f"the pool killed process {pid} for its memory"
        return f"process {pid} ended in the middle of the job: it crashed, or something outside of the pool killed it"

    def _job_is_responsible(self, excess: MemoryExcess | None, job: RunningJob) -> bool:
        """Return True if the job fails for its memory: it caused the excess, or has no attempt left."""
        last = job.attempt >= self._pool.settings.ledger.max_attempts
        return excess is not None and (excess.blamed or last)

    def _kill_orphans(self, held: Set[bytes], children: dict[int, ChildSnapshot]) -> None:
        found = orphaned_children(children.values(), held)
        for pid, _ in found & self._orphans:
            self._kill_if_unchanged(children[pid].slot, "its job was cancelled or its lease ran out")
        self._orphans = found

    def _kill_unsettled(self, children: Iterable[ChildSnapshot]) -> None:
        """Kill children that cannot settle their job although the supervisor reaches the ledger.

        Only the time in which the ledger was reachable counts.
        """
        passed_seconds = min(
            time.monotonic() - self._reached_seconds, 2 * self._pool.settings.supervisor_interval_seconds
        )
        waiting = {child.slot.token: child.slot for child in children if child.alive and child.slot.handler_ended}
        self._unsettled_seconds = {token: self._unsettled_seconds.get(token, 0.0) + passed_seconds for token in waiting}
        for token, seconds in self._unsettled_seconds.items():
            if seconds > MAX_UNSETTLED_SECONDS:
                self._kill_if_unchanged(waiting[token], "it cannot settle its job")

    def _free_dead_slots(self, held: Iterable[RunningJob], children: dict[int, ChildSnapshot]) -> None:
        holding = {_owner_pid(job) for job in held}
        for pid, child in children.items():
            if not child.alive and pid not in holding:
                self._pool.scratch.remove_child(pid)
                self._pool.scoreboard.free_slot(pid)
                self._memory_monitor.killed_for.pop(pid, None)
                self._kill_reasons.pop(pid, None)

    def _total_backlog(self, ledger: Ledger) -> QueueBacklog:
        """Return the total backlog of the queues that this pool may claim from."""
        queues = ledger.queue_stats.backlog().queues
        self._waiting = sum(queues[queue].waiting for queue in self._queues)
        ours = [queues[queue] for queue in self._queues if self._may_claim(queue)]
        waiting = sum(queue.waiting for queue in ours)
        return QueueBacklog(waiting, max((queue.oldest_seconds for queue in ours), default=0.0), 0)

    def _shutdown_grace_is_over(self, now_seconds: float) -> bool:
        if not self._pool.scoreboard.closing:
            return False
        if self._closing_since is None:
            self._closing_since = now_seconds
        return now_seconds - self._closing_since >= self._pool.settings.shutdown_grace_seconds

    def _heartbeat(self, children: dict[int, ChildSnapshot], now_seconds: float) -> tuple[str, dict[str, Any], float]:
        """Return what `PoolRegistry.announce` takes: name, state, and for how many seconds the pool counts as alive.

        It counts as sent.
        """
        living = {pid for pid, child in children.items() if child.alive}
        self._heartbeat_seconds, self._announced_children = now_seconds, living
        memory = self._pool.memory
        info: dict[str, Any] = {
            "node": self._pool.settings.node_name,
            "pid": os.getpid(),
            "queues": self._queues,
            "children": len(living),
            "wanted": memory.wanted,
            "busy": sum(bool(children[pid].slot.token) for pid in living),
            "closing": self._pool.scoreboard.closing,
            "healthy": not self._watchdog.expired,
            "http": self._monitor.address,
            "memory_mb": memory.used_mb,
            "memory_limit_mb": memory.limit_mb,
            "memory_limited_by": memory.limited_by,
            "memory_room_mb": memory.room_mb,
            "job_memory_mb": memory.job_mb,
            "stopped": [queue for queue in self._queues if not self._may_claim(queue)],
            "uptime_seconds": round(time.monotonic() - self._started_seconds, 1),
            "version": _VERSION,
            "stored_format": NEWEST_FORMAT,
            "alerts": msgspec.to_builtins(self._monitor.firing_alerts()),
        }
        ttl_seconds = _MAX_MISSED_HEARTBEATS * self._pool.settings.heartbeat_seconds
        return self._pool.name, info, ttl_seconds

    def _may_claim(self, queue: str) -> bool:
        return self._pool.controls.may_claim(queue, self._pool.settings.node_name)

    def _kill_if_unchanged(self, seen: ChildSlot, reason: str) -> bool:
        """Kill a child for the observed claim, unless it has moved on to another since."""
        now = next((slot for slot in self._pool.scoreboard.slots() if slot.pid == seen.pid), None)
        if now is None or (now.token, now.handler_ended) != (seen.token, seen.handler_ended):
            return False
        self._kill(seen.pid, reason, seen.token)
        return True

    def _kill(self, pid: int, reason: str, token: bytes = b"") -> None:
        self._memory_monitor.killed_for[pid] = token
        self._kill_reasons[pid] = reason
        with suppress(ProcessLookupError):  # it has just exited
            os.kill(pid, signal.SIGKILL)
        self._log.warning("child killed", child=pid, reason=reason)
        self._pool.event_pipe.send(ChildKilled(reason))


def _release_reason(child: ChildSnapshot | None, *, closing: bool) -> str:
    """Return the reason for which a job is released."""
    if closing:
        return "the pool is closing"
    if child is None or child.alive:
        return "no child of the pool runs it"
    return "its child ended before it ran" if child.killed_for is None else "its child was stopped for another job"


def _owner_pid(job: RunningJob) -> int:
    return int(job.owner.rpartition("/")[2])
