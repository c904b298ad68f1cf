from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from tests.support.memory_gauge import MemoryGauge
from workers.pool.process_memory import anon_rss_mb

pytestmark = pytest.mark.new_interpreter

WAIT_SECONDS = 60
BUDGET = "max_memory_mb.predict"


def take(ledger: Ledger, jobs: int, megabytes: int, seconds: float) -> list[str]:
    wanted = [CheckHealth(nonce=f"take:{megabytes}:{seconds}:{number}") for number in range(jobs)]
    return [receipt.job_id for receipt in ledger.submit_many(wanted)]


def endings(ledger: Ledger, job_ids: list[str]) -> set[tuple[JobState, int]]:
    outcomes = [ledger.wait(job_id, WAIT_SECONDS) for job_id in job_ids]
    return {(outcome.state, outcome.attempt) for outcome in outcomes}


def test_a_pool_grows_with_its_backlog_and_stays_within_its_budget(
    ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    pool = start_pool(concurrency=6, CORNERMAN_MIN_CHILDREN="1", CORNERMAN_POOL_MAX_MEMORY_MB="700")
    gauge = MemoryGauge(pool.pid)
    with gauge.watching():
        assert endings(ledger, take(ledger, 12, 150, 1.0)) == {(JobState.SUCCEEDED, 1)}
    assert gauge.peak_mb < 700
    assert gauge.max_children >= 2


def test_a_budget_that_is_cut_is_obeyed_in_seconds_and_no_job_is_lost(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    ledger.controls.set({BUDGET: 900}, user="test", reason="test")
    pool = start_pool(concurrency=6, CORNERMAN_MIN_CHILDREN="1")
    gauge = MemoryGauge(pool.pid)
    job_ids = take(ledger, 12, 150, 1.0)
    until(lambda: gauge.read_mb() > 450)
    ledger.controls.set({BUDGET: 300}, user="test", reason="test")
    cut_seconds = time.monotonic()
    with gauge.watching():
        assert endings(ledger, job_ids) == {(JobState.SUCCEEDED, 1)}
    assert max(moment for moment, used_mb in gauge.samples if used_mb > 300) - cut_seconds < 5.0


def test_a_job_that_grows_in_c_code_is_stopped_and_its_neighbours_are_not(
    ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=2, CORNERMAN_CHILD_MAX_MEMORY_MB="300")
    before = {child.pid for child in pool.children()}
    (bystander,) = take(ledger, 1, 50, 3.0)
    until(lambda: ledger.status(bystander).progress)
    jobs = [CheckHealth(nonce=f"answer:{number}") for number in range(12)]
    jobs.insert(6, CheckHealth(nonce="fill:4000"))
    job_ids = [receipt.job_id for receipt in ledger.submit_many(jobs)]
    failure = ledger.wait(job_ids.pop(6), WAIT_SECONDS).failure
    assert failure is not None
    assert failure.code is FailureCode.MEMORY_LIMIT_EXCEEDED
    assert failure.details["max_memory_mb"] == 300.0
    assert 300.0 < failure.details["used_mb"] < 4000.0
    assert f"{failure.details['used_mb']:.1f} MB" in failure.message
    assert endings(ledger, [*job_ids, bystander]) == {(JobState.SUCCEEDED, 1)}
    assert len(before & {child.pid for child in pool.children()}) == 1


def test_a_job_that_comes_before_the_guard_has_looked_is_not_judged_by_a_limit_that_is_not_known_yet(
    ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    job_ids = take(ledger, 1, 20, 0.5)
    start_pool(concurrency=1, PROBE_LATE_GUARD="1")
    assert endings(ledger, job_ids) == {(JobState.SUCCEEDED, 1)}


@pytest.mark.parametrize("how", ["private", "shared"])
@pytest.mark.parametrize(
    ("attempts", "expected"),
    [("3", (JobState.SUCCEEDED, 2)), ("1", (JobState.FAILED, 1))],  # one that may not be tried again must have an end
)
def test_a_job_is_not_blamed_for_what_others_have_left_in_its_child(
    how: str, attempts: str, expected: tuple[JobState, int], ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    """It ends there, by the memory monitor or by a MemoryError, and is tried again in a fresh child."""
    pool = start_pool(concurrency=1, CORNERMAN_CHILD_MAX_MEMORY_MB="400", CORNERMAN_MAX_ATTEMPTS=attempts)
    (child,) = pool.children()
    allowed_mb = 400 - anon_rss_mb(child.pid)
    leaking = ledger.submit(CheckHealth(nonce=f"leak:{how}:{0.7 * allowed_mb:.0f}")).job_id
    assert endings(ledger, [leaking]) == {(JobState.SUCCEEDED, 1)}
    job_ids = take(ledger, 1, round(0.5 * allowed_mb), 0.4)
    assert endings(ledger, job_ids) == {expected}
    failure = ledger.wait(job_ids[0], WAIT_SECONDS).failure
    assert (failure and failure.code) == (
        None if expected[0] is JobState.SUCCEEDED else FailureCode.MEMORY_LIMIT_EXCEEDED
    )


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """Make a control group with a limit of 400 MB; skip the test where that is not allowed."""
    second = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    top = Path("/sys/fs/cgroup") if second else Path("/sys/fs/cgroup/memory")
    folder = top / f"cornerman-test-{os.getpid()}"
    member = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        folder.mkdir()
        limit = folder / ("memory.max" if second else "memory.limit_in_bytes")
        limit.write_text(str(400 * 2**20))
        (folder / "cgroup.procs").write_text(str(member.pid))
    except OSError as error:
        pytest.skip(f"no process can be put into a control group here: {error}")
    finally:
        member.kill()
        member.wait()
    yield folder
    for left in folder.joinpath("cgroup.procs").read_text().split():
        os.kill(int(left), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while folder.joinpath("cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    folder.rmdir()


def test_what_the_kernel_kills_for_memory_is_tried_again_and_ends_as_worker_lost(
    ledger: Ledger, start_pool: Callable[..., Any], memory_group: Path, until: Callable[..., None]
) -> None:
    """The last line, which only counts where all others are too slow: so the memory monitor is made to sleep.

    Only the child is in the group: a kernel that has killed a process may kill a second one before the memory of the
    first is given back.
    """
    pool = start_pool(concurrency=1, CORNERMAN_SPARE_MEMORY_MB="0", CORNERMAN_MEMORY_CHECK_INTERVAL_SECONDS="60")
    (child,) = pool.children()
    until(
        lambda: Path(f"/proc/{child.pid}/oom_score_adj").read_text().strip() == "500", 10
    )  # it sets it when it starts
    assert Path(f"/proc/{pool.pid}/oom_score_adj").read_text().strip() == "0"
    lost = ledger.wait(ledger.submit(CheckHealth(nonce=f"fill:4000:{memory_group}")).job_id, WAIT_SECONDS)
    assert lost.failure is not None
    assert (lost.failure.code, lost.attempt) == (FailureCode.WORKER_LOST, 3)
    assert endings(ledger, [ledger.submit(CheckHealth(nonce="answer")).job_id]) == {(JobState.SUCCEEDED, 1)}
    assert pool.process.poll() is None


def test_in_a_container_the_watcher_comes_before_the_kernel(
    ledger: Ledger, start_pool: Callable[..., Any], memory_group: Path, until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, CORNERMAN_SPARE_MEMORY_MB="100", CORNERMAN_MEMORY_CHECK_INTERVAL_SECONDS="0.01")
    for process in (pool.pid, *(child.pid for child in pool.children())):
        (memory_group / "cgroup.procs").write_text(str(process))
    until(lambda: any("cgroup" in announced["memory_limited_by"] for announced in ledger.pools.alive()))
    stopped = ledger.wait(ledger.submit(CheckHealth(nonce="take:4000:10:0")).job_id, WAIT_SECONDS)
    assert stopped.failure is not None
    assert (stopped.failure.code, stopped.attempt) == (FailureCode.MEMORY_LIMIT_EXCEEDED, 1)
    assert stopped.failure.details["used_mb"] < 400
