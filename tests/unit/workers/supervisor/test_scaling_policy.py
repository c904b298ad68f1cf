from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from msgspec import structs

from workers.supervisor.scaling_policy import (
    RECOVER_SECONDS,
    SHRINK_AFTER_SECONDS,
    STEP_SECONDS,
    PoolLoad,
    desired_children,
    memory_bound,
)
from workers.supervisor.scaling_policy import (
    ScalingHistory as History,
)

NOW = 100.0
CALM = History(occupied_seconds=NOW)
# 1000 MB, 100 of them the main process's: four children of 200 MB, or four with a tenth of the limit free.
QUIET = PoolLoad(
    now_seconds=NOW,
    children=2,
    busy=0,
    limit_mb=1000.0,
    fixed_mb=100.0,
    busy_mb=0.0,
    child_mb=200.0,
    min_children=1,
    max_children=8,
)


def load(**changes: float) -> PoolLoad:
    return structs.replace(QUIET, **changes)


PRESSED = {"busy": 2, "busy_mb": 400.0, "backlog": 50, "oldest_seconds": 3.0}


@pytest.mark.parametrize(
    ("seen", "past", "expected"),
    [
        pytest.param(load(), CALM, 2, id="nothing to do: nothing changes at once"),
        pytest.param(load(**PRESSED), CALM, 4, id="a backlog that lasts: twice as many"),
        pytest.param(load(**PRESSED, max_children=3), CALM, 3, id="no more than are allowed"),
        pytest.param(load(**{**PRESSED, "backlog": 1}), CALM, 3, id="no more than there are jobs"),
        pytest.param(load(**{**PRESSED, "oldest_seconds": 0.1}), CALM, 2, id="a backlog of a moment"),
        pytest.param(load(**{**PRESSED, "limit_mb": 800.0}), CALM, 3, id="no more than memory allows"),
        pytest.param(load(**{**PRESSED, "limit_mb": 770.0}), CALM, 2, id="not into the last tenth of the limit"),
        pytest.param(load(**PRESSED, starting=1), CALM, 2, id="not before the last ones work"),
        pytest.param(
            load(**PRESSED), History(grown_seconds=NOW - STEP_SECONDS / 2, occupied_seconds=NOW), 2, id="too soon"
        ),
        pytest.param(
            load(**PRESSED), History(short_seconds=NOW - RECOVER_SECONDS / 2, occupied_seconds=NOW), 2, id="no room yet"
        ),
        pytest.param(load(min_children=4), CALM, 4, id="what is asked for comes at once"),
        pytest.param(load(min_children=9, limit_mb=560.0), CALM, 2, id="but never beyond memory"),
        pytest.param(load(limit_mb=450.0), CALM, 1, id="short of memory: idle children go"),
        pytest.param(load(limit_mb=450.0, min_children=2), CALM, 1, id="also below the fewest that were asked for"),
        pytest.param(load(limit_mb=10.0), CALM, 1, id="but never the last"),
        pytest.param(load(children=5, busy=5, busy_mb=900.0, limit_mb=300.0), CALM, 1, id="a budget that was cut"),
        pytest.param(load(children=5, busy=5, busy_mb=900.0, max_children=2), CALM, 2, id="an operator wants fewer"),
        pytest.param(load(children=4, busy=2, busy_mb=800.0), CALM, 2, id="two who will need twice as much"),
        pytest.param(load(), History(occupied_seconds=NOW - SHRINK_AFTER_SECONDS), 1, id="a surplus that lasts"),
        pytest.param(load(), History(occupied_seconds=NOW - SHRINK_AFTER_SECONDS / 2), 2, id="a surplus of a moment"),
        pytest.param(load(min_children=2), History(occupied_seconds=NOW - 9 * SHRINK_AFTER_SECONDS), 2, id="minimum"),
        pytest.param(
            load(), History(occupied_seconds=0.0, shrunk_seconds=NOW - STEP_SECONDS / 2), 2, id="one by one"
        ),
        pytest.param(load(), History(), 2, id="a pool that has just begun"),
    ],
)  # fmt: skip
def test_how_many_children_a_pool_should_have(seen: PoolLoad, past: History, expected: int) -> None:
    assert desired_children(seen, past)[0] == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (load(), 4),
        (load(busy=1, busy_mb=600.0), 2),
        (load(busy=3, busy_mb=1000.0), 2),
        (load(busy=3, busy_mb=3000.0), 1),
        (load(limit_mb=0.0), 1),
    ],
)
def test_how_many_could_be_at_work_at_once(seen: PoolLoad, expected: int) -> None:
    assert memory_bound(seen) == expected


MAIN_MB, IDLE_MB, JOB_MB = 60.0, 30.0, 150.0
LOOK_SECONDS = 0.25


@dataclass
class League:
    """A pool as it would be: children that take a second to start, jobs that fill their memory as they go."""

    limit_mb: float
    max_children: int
    start_seconds: float = 1.0
    now: float = 0.0
    jobs: list[tuple[float, float]] = field(default_factory=list)  # when it came, how long it runs
    children: list[float] = field(default_factory=lambda: [0.0])  # from when each can work
    running: list[tuple[float, float]] = field(default_factory=list)  # begin and end
    target: int = 1
    past: History = field(default_factory=History)
    price_mb: float = 32.0
    peaks: list[float] = field(default_factory=list)
    targets: list[int] = field(default_factory=lambda: [1])

    def used_mb(self) -> float:
        grown = sum(JOB_MB * min(1.0, (self.now - begin) / (end - begin)) for begin, end in self.running)
        return MAIN_MB + IDLE_MB * len(self.children) + grown

    def step(self) -> None:
        """A quarter of a second of the pool: end, look, scale, begin."""
        self.now += LOOK_SECONDS
        self.peaks.append(self.used_mb())
        for begin, end in self.running:
            self.price_mb = max(self.price_mb, JOB_MB * min(1.0, (self.now - begin) / (end - begin)))
        self.running = [job for job in self.running if job[1] > self.now]
        ready = sum(since <= self.now for since in self.children)
        busy_mb = sum(
            IDLE_MB + max(self.price_mb, JOB_MB * min(1.0, (self.now - begin) / (end - begin)))
            for begin, end in self.running
        )
        seen = PoolLoad(
            now_seconds=self.now,
            children=self.target,
            busy=len(self.running),
            starting=max(0, self.target - ready),
            backlog=len(self.jobs),
            oldest_seconds=self.now - self.jobs[0][0] if self.jobs else 0.0,
            limit_mb=self.limit_mb,
            fixed_mb=MAIN_MB,
            busy_mb=busy_mb,
            child_mb=IDLE_MB + self.price_mb,
            min_children=1,
            max_children=self.max_children,
        )
        self.target, self.past = desired_children(seen, self.past)
        if self.target != self.targets[-1]:
            self.targets.append(self.target)
        while len(self.children) < self.target:
            self.children.append(self.now + self.start_seconds)
        idle = len(self.children) - len(self.running)
        for _ in range(min(idle, len(self.children) - self.target)):
            self.children.pop()
        room_mb = self.limit_mb - self.used_mb()
        room_mb -= sum(self.price_mb - JOB_MB * min(1.0, (self.now - b) / (e - b)) for b, e in self.running)
        while self.jobs and len(self.running) < min(ready, self.target) and room_mb >= self.price_mb:
            _, seconds = self.jobs.pop(0)
            self.running.append((self.now, self.now + seconds))
            room_mb -= self.price_mb

    def turns(self) -> int:
        """How often the pool has changed between growing and shrinking."""
        ways = [1 if after > before else -1 for before, after in pairwise(self.targets)]
        return sum(one != other for one, other in pairwise(ways))


def test_a_backlog_is_worked_off_without_overshoot_and_without_flapping() -> None:
    league = League(limit_mb=1200.0, max_children=12)
    league.jobs = [(0.0, 2.0)] * 60
    while league.jobs or league.running:
        league.step()
        assert league.now < 120
    assert max(league.peaks) <= 1200.0
    assert max(league.targets) >= 4
    for _ in range(4 * 120):
        league.step()
    assert league.targets[-1] == 1
    assert league.turns() <= 1


@pytest.mark.parametrize("seed", range(8))
def test_a_load_that_comes_and_goes_makes_no_pool_flap(seed: int) -> None:
    """Bursts every ten seconds or so, for ten minutes, under a limit that moves as a machine's free memory does."""
    rng = random.Random(seed)
    league = League(limit_mb=1000.0, max_children=16)
    next_burst = 0.0
    for _ in range(4 * 600):
        if league.now >= next_burst:
            league.jobs += [(league.now, rng.uniform(0.5, 3.0)) for _ in range(rng.randrange(1, 20))]
            next_burst += rng.expovariate(1 / 10)
        league.limit_mb = 960.0 + rng.uniform(-15.0, 15.0)  # five children, or nearly
        league.step()
    assert max(league.peaks) <= 975.0
    # Not more than about one change of direction a minute, whatever comes.
    assert league.turns() <= 12


def test_a_budget_that_is_cut_is_obeyed_as_jobs_end() -> None:
    league = League(limit_mb=1500.0, max_children=8)
    league.jobs = [(0.0, 2.0)] * 80
    for _ in range(4 * 12):
        league.step()
    assert len(league.running) >= 5
    league.limit_mb = 320.0
    for _ in range(4 * 3):
        league.step()
    assert league.used_mb() <= 320.0
    while league.jobs or league.running:
        league.step()
        assert league.used_mb() <= 320.0
        assert league.now < 300
