"""The memory budget of a pool: memory in use and reserved, free memory, and the number of children that it allows.

limit     the tightest of the pool's own budget (a setting, or the operator's control), the container, the machine
used      the proportional set sizes (PSS) of the main process and its children, which add up to the pool's memory
promised  memory that running jobs have reserved and not yet taken
free      limit - used - promised, from which a child reserves before it claims a job
job       memory of a typical job: the largest growth observed recently, and at least `MIN_JOB_MB`
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ledger.jobs.queue_stats import QueueBacklog
from workers.pool.pool import WorkerPool
from workers.pool.process_memory import PoolMemory, anon_rss_mb, pss_mb
from workers.pool.scoreboard import ChildSlot
from workers.supervisor.memory_limits import memory_limits
from workers.supervisor.memory_monitor import MemoryMonitor
from workers.supervisor.pool_pss import PoolPss
from workers.supervisor.rules import ChildSnapshot
from workers.supervisor.scaling_policy import PoolLoad, ScalingHistory, desired_children

_STARVED_AFTER_SECONDS, _REPEAT_SECONDS = 5.0, 30.0

MIN_JOB_MB = 32.0
"""Minimum memory assumed for a job, and for an idle child before one was measured."""


class MemoryBudget:
    """The allocation of one pool's memory. Used by the supervisor's thread alone."""

    def __init__(self, pool: WorkerPool, queues: Sequence[str], memory_monitor: MemoryMonitor) -> None:
        self._pool = pool
        self._queues = queues
        self._memory_monitor = memory_monitor
        self._pool_pss = PoolPss()
        self._history = ScalingHistory()
        self._idle_mb = MIN_JOB_MB
        self._report_seconds: float | None = None
        self._target = pool.scoreboard.target_size  # children at the start of the pool
        self._fewest_children = 0
        self._initial_children = pool.settings.concurrency or pool.scoreboard.target_size

    def update(self, children: Iterable[ChildSnapshot], backlog: QueueBacklog, now_seconds: float) -> None:
        """Measure the pool, and publish its free memory and its target size on the scoreboard."""
        children = [child for child in children if child.alive]
        living = [child.slot.pid for child in children]
        anon_rss = {pid: anon_rss_mb(pid) for pid in (os.getpid(), *living)}
        pss = self._pool_pss.update(anon_rss, now_seconds, idle=all(is_idle(child.slot) for child in children))
        used_mb = sum(pss.values())
        fixed_mb = pss.pop(os.getpid())
        limited_by, limit_mb, max_limit_mb = self._limit(used_mb)
        with self._pool.scoreboard.accounting() as write:
            slots = [slot for slot in self._pool.scoreboard.slots() if slot.pid in pss]
            unused = {slot.pid: _unused_reservation_mb(slot, anon_rss[slot.pid]) for slot in slots}
            self._update_idle_mb([pss[slot.pid] for slot in slots if is_idle(slot)])
            alone_mb = limit_mb - fixed_mb - self._idle_mb  # for one job that runs alone
            typical_job_mb = max(MIN_JOB_MB, min(self._memory_monitor.max_growth_mb(), alone_mb))
            free_mb = limit_mb - used_mb - sum(unused.values())
            write(free_mb, typical_job_mb, max_limit_mb - fixed_mb)
        busy = [slot.pid for slot in slots if slot.reserved_mb or slot.token]
        min_children, max_children = self._child_bounds()
        self._fewest_children = min(min_children, max_children)
        load = PoolLoad(
            now_seconds=now_seconds,
            children=self._target,
            busy=len(busy),
            starting=max(0, self._target - sum(bool(slot.baseline_mb) for slot in slots)),
            backlog=backlog.waiting,
            oldest_seconds=backlog.oldest_seconds,
            limit_mb=limit_mb,
            fixed_mb=fixed_mb,
            busy_mb=sum(pss[pid] + unused[pid] for pid in busy),
            child_mb=self._idle_mb + typical_job_mb,
            min_children=min_children,
            max_children=max_children,
        )
        self._target, self._history = desired_children(load, self._history)
        self._pool.scoreboard.set_target_size(self._target, max(0, len(living) - self._target))
        self._pool.memory = PoolMemory(
            used_mb=round(used_mb, 1),
            limit_mb=round(limit_mb, 1),
            limited_by=limited_by,
            room_mb=round(free_mb, 1),
            job_mb=round(typical_job_mb, 1),
            wanted=self._target,
        )

    def initial_children(self) -> int:
        """Return how many children the pool may have from its start, to be asked before the first is forked.

        The scaling policy decides, with the assumed memory of a child. What children will share with this process
        counts in full, so there may be fewer than at the first tick.
        """
        used_mb = pss_mb(os.getpid())
        _, limit_mb, _ = self._limit(used_mb)
        min_children, max_children = self._child_bounds()
        load = PoolLoad(
            now_seconds=0.0,
            children=1,
            busy=0,
            limit_mb=limit_mb,
            fixed_mb=used_mb,
            busy_mb=0.0,
            child_mb=self._idle_mb + MIN_JOB_MB,
            min_children=min_children,
            max_children=max_children,
        )
        return desired_children(load, ScalingHistory())[0]

    @property
    def is_settled(self) -> bool:
        """True if a pool without work would keep the number of children that it is to have."""
        return self._target == self._fewest_children

    def is_starved(self, children: Iterable[ChildSnapshot], backlog: QueueBacklog, now_seconds: float) -> bool:
        """Return True if jobs wait, none runs, and no job fits into the free memory; True again every half minute.

        Either the limit is too low for any work, or other processes of the machine have taken its memory.
        """
        idle = all(is_idle(child.slot) for child in children if child.alive)
        if not (backlog.waiting and idle and self._pool.memory.room_mb < self._pool.memory.job_mb):
            self._report_seconds = None
            return False
        if self._report_seconds is None:
            self._report_seconds = now_seconds + _STARVED_AFTER_SECONDS
        if now_seconds < self._report_seconds:
            return False
        self._report_seconds = now_seconds + _REPEAT_SECONDS
        return True

    def oversized_children(self, children: Iterable[ChildSnapshot]) -> list[int]:
        """Return the idle children whose leftover memory keeps every child of the pool from starting a job.

        Replacing such a child is the only way to give that memory back.
        """
        living = [child.slot for child in children if child.alive]
        if self._pool.scoreboard.can_start_job or not living or not all(map(is_idle, living)):
            return []
        return [each.pid for each in living if anon_rss_mb(each.pid) - each.baseline_mb >= MIN_JOB_MB]

    def _limit(self, used_mb: float) -> tuple[str, float, float]:
        """Return the limiting factor, the limit now, and the limit if no other process used any memory."""
        spare_mb, around, own = self._pool.settings.spare_memory_mb, memory_limits(), self._own_budget()
        now = [(bound.name, min(bound.limit_mb, used_mb + bound.free_mb) - spare_mb) for bound in around]
        max_limit_mb = min([*(limit_mb for _, limit_mb in own), *(bound.limit_mb - spare_mb for bound in around)])
        return (*min([*own, *now], key=lambda named: named[1]), max_limit_mb)

    def _own_budget(self) -> list[tuple[str, float]]:
        """Return the budgets that were set; an operator's control of a queue overrides the pool's setting."""
        controls = [(name, self._pool.controls.number(name)) for name in self._names("max_memory_mb")]
        given = [(name, float(value)) for name, value in controls if value is not None]
        setting_mb = self._pool.settings.pool_max_memory_mb
        return given or ([("CORNERMAN_POOL_MAX_MEMORY_MB", float(setting_mb))] if setting_mb else [])

    def _child_bounds(self) -> tuple[int, int]:
        settings, controls = self._pool.settings, self._pool.controls
        fewest = [value for name in self._names("min_children") if (value := controls.number(name)) is not None]
        most = [value for name in self._names("max_children") if (value := controls.number(name)) is not None]
        min_children = max(fewest, default=settings.min_children or self._initial_children)
        return min_children, min(most, default=max(min_children, self._initial_children))

    def _names(self, control: str) -> list[str]:
        return [f"{control}.{queue}" for queue in self._queues]

    def _update_idle_mb(self, pss: Sequence[float]) -> None:
        if pss:
            self._idle_mb = max(MIN_JOB_MB, sum(pss) / len(pss))


def is_idle(slot: ChildSlot) -> bool:
    """Return True if a child is ready, and neither runs a job nor may begin one."""
    return bool(slot.baseline_mb) and not slot.token and not slot.reserved_mb


def _unused_reservation_mb(slot: ChildSlot, owned_mb: float) -> float:
    """Return how much of its reservation a child may still take."""
    if not slot.reserved_mb:
        return 0.0
    return max(0.0, slot.reserved_mb - max(0.0, owned_mb - slot.reserved_from_mb))
