"""The memory of a pool as its guard reckons it: what is in use and promised, what is left, for how many children.

limit    the tightest of the pool's own budget (a setting, or the operator's control), the container, the machine
used     the shares (PSS) of the main process and its children, which add up to what the pool takes
promised what the jobs that run have booked and not yet taken
room     limit - used - promised, from which a child books before it takes a job
price    what a usual job takes: the most that was seen of late, and at least `PRICE_FLOOR_MB`
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ledger.jobs.queue_stats import QueueBacklog
from workers.pool.pool import Pool
from workers.pool.process_memory import PoolMemory, own_mb, share_mb
from workers.pool.scoreboard import Activity
from workers.supervisor.memory_limits import bounds
from workers.supervisor.memory_monitor import Watcher
from workers.supervisor.rules import Child
from workers.supervisor.scaling_policy import Look, Past, wanted

_PATIENCE_SECONDS, _SAY_SECONDS = 5.0, 30.0

PRICE_FLOOR_MB = 32.0
"""A job is never reckoned cheaper, nor an idle child: both are taken on before anything was measured."""


class Budget:
    """Shares out the memory of one pool. Used by the guard's thread alone."""

    def __init__(self, pool: Pool, queues: Sequence[str], watcher: Watcher) -> None:
        self._pool = pool
        self._queues = queues
        self._watcher = watcher
        self._past = Past()
        self._idle_mb = PRICE_FLOOR_MB
        self._say_seconds: float | None = None
        self._number = pool.board.wanted  # the children with which the pool has started
        self._started = pool.settings.concurrency or pool.board.wanted

    def look(self, children: Iterable[Child], backlog: QueueBacklog, now_seconds: float) -> None:
        """Measure, and write on the board how much room there is and how many children there should be."""
        living = [child.activity.pid for child in children if child.alive]
        fixed_mb = share_mb(os.getpid())
        shares = {pid: share_mb(pid) for pid in living}
        used_mb = fixed_mb + sum(shares.values())
        limited_by, limit_mb, ever_mb = self._limit(used_mb)
        owned = {pid: own_mb(pid) for pid in living}
        with self._pool.board.account() as write:
            activities = [activity for activity in self._pool.board.children() if activity.pid in shares]
            promised = {activity.pid: _promised_mb(activity, owned[activity.pid]) for activity in activities}
            self._note_idle([shares[activity.pid] for activity in activities if _idle(activity)])
            least_mb = limit_mb - fixed_mb - self._idle_mb  # for one job while nothing else goes on
            price_mb = max(PRICE_FLOOR_MB, min(self._watcher.growth_mb(), least_mb))
            room_mb = limit_mb - used_mb - sum(promised.values())
            write(room_mb, price_mb, ever_mb - fixed_mb)
        busy = [activity.pid for activity in activities if activity.booked_mb or activity.token]
        least, most = self._bounds()
        look = Look(
            now_seconds=now_seconds,
            children=self._number,
            busy=len(busy),
            starting=max(0, self._number - sum(bool(activity.born_mb) for activity in activities)),
            backlog=backlog.waiting,
            oldest_seconds=backlog.oldest_seconds,
            limit_mb=limit_mb,
            fixed_mb=fixed_mb,
            busy_mb=sum(shares[pid] + promised[pid] for pid in busy),
            child_mb=self._idle_mb + price_mb,
            least=least,
            most=most,
        )
        self._number, self._past = wanted(look, self._past)
        self._pool.board.want(self._number, max(0, len(living) - self._number))
        self._pool.memory = PoolMemory(
            used_mb=round(used_mb, 1),
            limit_mb=round(limit_mb, 1),
            limited_by=limited_by,
            room_mb=round(room_mb, 1),
            job_mb=round(price_mb, 1),
            wanted=self._number,
        )

    def stuck(self, children: Iterable[Child], backlog: QueueBacklog, now_seconds: float) -> bool:
        """Whether jobs wait, none runs, and there is no room for one; said again every half a minute.

        Such a limit is too low for any work, or others on the machine have taken its memory.
        """
        idle = all(_idle(child.activity) for child in children if child.alive)
        if not (backlog.waiting and idle and self._pool.memory.room_mb < self._pool.memory.job_mb):
            self._say_seconds = None
            return False
        if self._say_seconds is None:
            self._say_seconds = now_seconds + _PATIENCE_SECONDS
        if now_seconds < self._say_seconds:
            return False
        self._say_seconds = now_seconds + _SAY_SECONDS
        return True

    def bloated(self, children: Iterable[Child]) -> list[int]:
        """Return the idle children that keep so much memory that none of the pool's could start a job.

        A new child in place of such a one has the room; nothing else would ever give it back.
        """
        living = [child.activity for child in children if child.alive]
        if self._pool.board.has_room or not living or not all(map(_idle, living)):
            return []
        return [each.pid for each in living if own_mb(each.pid) - each.born_mb >= PRICE_FLOOR_MB]

    def _limit(self, used_mb: float) -> tuple[str, float, float]:
        """Return what limits the pool now, its limit, and what that would be if nobody else used any memory."""
        spare_mb, around, own = self._pool.settings.spare_memory_mb, bounds(), self._own_budget()
        now = [(bound.name, min(bound.limit_mb, used_mb + bound.free_mb) - spare_mb) for bound in around]
        ever_mb = min([*(limit_mb for _, limit_mb in own), *(bound.limit_mb - spare_mb for bound in around)])
        return (*min([*own, *now], key=lambda named: named[1]), ever_mb)

    def _own_budget(self) -> list[tuple[str, float]]:
        """The budgets that were set: by the operator for a queue, which goes before the pool's setting."""
        controls = [(name, self._pool.controls.number(name)) for name in self._names("max_memory_mb")]
        given = [(name, float(value)) for name, value in controls if value is not None]
        setting_mb = self._pool.settings.max_memory_mb
        return given or ([("CORNERMAN_MAX_MEMORY_MB", float(setting_mb))] if setting_mb else [])

    def _bounds(self) -> tuple[int, int]:
        settings, controls = self._pool.settings, self._pool.controls
        fewest = [value for name in self._names("min_children") if (value := controls.number(name)) is not None]
        most = [value for name in self._names("max_children") if (value := controls.number(name)) is not None]
        least = max(fewest, default=settings.min_children or self._started)
        return least, min(most, default=max(least, self._started))

    def _names(self, control: str) -> list[str]:
        return [f"{control}.{queue}" for queue in self._queues]

    def _note_idle(self, shares: Sequence[float]) -> None:
        if shares:
            self._idle_mb = max(PRICE_FLOOR_MB, sum(shares) / len(shares))


def _idle(activity: Activity) -> bool:
    return bool(activity.born_mb) and not activity.token and not activity.booked_mb


def _promised_mb(activity: Activity, owned_mb: float) -> float:
    """How much more a child may take of what it has booked."""
    return max(0.0, activity.booked_mb - max(0.0, owned_mb - activity.kept_mb)) if activity.booked_mb else 0.0
