"""Samples of the resources of processes over a run, and whether they are flat over its second half."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean, linear_regression, median
from typing import NamedTuple

import psutil

from workers.pool.process_memory import anon_rss_mb, pss_mb

MAX_GROWTH = 0.05
"""How much a memory may change over the second half of a run, as a share of its mean there."""
LASTING = 3
"""How many successive samples a value has to last for to count as one that stays."""

Processes = Callable[[], Iterable[int]]


class Sample(NamedTuple):
    """Resources of the processes of a role, summed.

    Memory in MiB: all resident pages, those that are shared in part (PSS); and what the processes have filled, as
    `anon_rss_mb` counts it. Pages of their own (USS) would not say whether a pool grows: of a process that forks they
    become fewer when a child starts, and more as the child writes, without any more memory.
    """

    pss_mb: float
    anon_mb: float
    handles: float
    threads: float


COUNTS = ("handles", "threads")


class Course(NamedTuple):
    """One figure over the second half of a run.

    `growth` is the change of a line fitted through it, as a share of its mean; `before` and `after` are the medians of
    its third and its last quarter, `most` the largest values there that last for LASTING samples.
    """

    before: float
    after: float
    most_before: float
    most_after: float
    growth: float

    @property
    def flat(self) -> bool:
        """True for a memory that changes by at most MAX_GROWTH."""
        return abs(self.growth) <= MAX_GROWTH

    @property
    def no_more(self) -> bool:
        """True for a count whose last quarter has no value above those of the quarter before."""
        return self.most_after <= self.most_before


def second_half(times: Sequence[float], values: Sequence[float]) -> Course:
    """Return the course of values over the second half of the time.

    Raises ValueError if a quarter has fewer than two samples.
    """
    begin, end = times[0], times[-1]
    middle, last = begin + (end - begin) / 2, begin + (end - begin) * 3 / 4
    pairs = [(time, value) for time, value in zip(times, values, strict=True) if time >= middle]
    third = [value for time, value in pairs if time < last]
    fourth = [value for time, value in pairs if time >= last]
    if min(len(third), len(fourth)) < 2:
        raise ValueError("a quarter of the run has fewer than two samples: let it be longer")
    slope, _ = linear_regression([time for time, _ in pairs], [value for _, value in pairs])
    mean = fmean(value for _, value in pairs)
    growth = slope * (end - middle) / mean if mean else 0.0
    return Course(median(third), median(fourth), _lasting_maximum(third), _lasting_maximum(fourth), growth)


def _lasting_maximum(values: Sequence[float]) -> float:
    """Return the largest value that lasts: a process that reads a file has a handle more for a moment."""
    width = min(LASTING, len(values))
    return max(min(values[first : first + width]) for first in range(len(values) - width + 1))


@dataclass
class Samples:
    """Samples of several roles at the same times.

    `figures` has other figures, by name, at the same times; `ended` the processes of a role that ended between samples.
    """

    roles: Mapping[str, Processes]
    times: list[float] = field(default_factory=list)
    jobs: list[int] = field(default_factory=list)
    by_role: dict[str, list[Sample]] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)
    ended: dict[str, set[int]] = field(default_factory=dict, init=False)
    _seen: dict[str, set[int]] = field(default_factory=dict, init=False)

    def take(self, seconds: float, jobs: int, figures: Mapping[str, float]) -> None:
        """Take a sample `seconds` after the start, with the number of jobs answered by then."""
        self.times.append(seconds)
        self.jobs.append(jobs)
        for role, processes in self.roles.items():
            pids = set(processes())
            self.by_role.setdefault(role, []).append(measure(pids))
            self.ended.setdefault(role, set()).update(self._seen.get(role, pids) - pids)
            self._seen[role] = pids
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(value)

    def courses(self) -> dict[str, Course]:
        """Return the second half of everything, by `role, figure`."""
        found = {
            f"{role}, {name}": second_half(self.times, [getattr(sample, name) for sample in samples])
            for role, samples in self.by_role.items()
            for name in Sample._fields
        }
        return found | {name: second_half(self.times, values) for name, values in self.figures.items()}


def measure(pids: Iterable[int]) -> Sample:
    """Measure processes; those that have just ended count as nothing."""
    total = Sample(0.0, 0.0, 0.0, 0.0)
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            one = Sample(pss_mb(pid), anon_rss_mb(pid), process.num_fds(), process.num_threads())
            total = Sample(*(each + more for each, more in zip(total, one, strict=True)))
    return total


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of processes."""
    used = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            used += sum(psutil.Process(pid).cpu_times()[:2])
    return used


def children_of(pid: int) -> Processes:
    """Return a function that lists the children of a process."""

    def children() -> list[int]:
        with suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return []

    return children


def only(pid: int | None = None) -> Processes:
    """Return a function that lists one process, by default this one."""
    return lambda: [os.getpid() if pid is None else pid]
