"""Jobs of 150 MB under a memory budget of 700 MB: our autoscaler and Celery's, alternately in one run.

    python -m benchmarks.pools.autoscaling [--json]

Both run the same jobs (each allocates its memory in half a second and holds it for another half) in a prefork pool of 1
to 6 children, on a server of this run. Memory is the sum of the proportional set sizes (PSS) of the pool's processes,
read twenty times a second; shared pages count once. Then the budget is cut from 900 to 300 MB while jobs run. Linux
only. The exit code is 1 if our pool breaks its limits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from tests.support.memory_gauge import MemoryGauge

JOBS, JOB_MB, JOB_SECONDS = 12, 150, 1.0
BUDGET_MB, FIRST_MB, CUT_MB, CUT_WITHIN_SECONDS = 700, 900, 300, 5.0
MAX_CHILDREN = 6
TIMEOUT_SECONDS = 120.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class PoolRun:
    """Measurements of one pool: succeeded jobs, memory peak, largest number of children, and duration."""

    name: str
    succeeded: int
    peak_mb: float
    children: int
    seconds: float  # until all jobs were done


@dataclass(frozen=True)
class BudgetCut:
    """Measurements of a budget cut: memory at the cut, time until memory stayed below the new budget, lost jobs."""

    before_mb: float
    obeyed_seconds: float
    lost: int


@contextlib.contextmanager
def process(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[int]:
    """Run a pool for the duration of a block; kill its process group afterwards."""
    # What the killed processes leave is removed with the log's folder.
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(log.parent), **environment}
    with log.open("wb") as stream:
        started = subprocess.Popen(command, env=variables, stdout=stream, stderr=stream, start_new_session=True)
    try:
        yield started.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(10)


@contextlib.contextmanager
def our_pool(ledger: Ledger, folder: Path, **settings: str) -> Iterator[int]:
    """Run our pool, and wait until it is registered."""
    environment = {
        "CORNERMAN_REDIS_URL": str(ledger.settings.redis_url),
        "CORNERMAN_NAMESPACE": ledger.settings.namespace,
        "CORNERMAN_DATA": str(folder),
        "CORNERMAN_CONCURRENCY": str(MAX_CHILDREN),
        "CORNERMAN_MIN_CHILDREN": "1",
        **settings,
    }
    with process([sys.executable, "-m", "benchmarks.pools.memory_pool"], environment, folder / "ours.log") as pid:
        wait_for(lambda: bool(ledger.pools.alive()))
        yield pid


def wait_for(condition: object) -> None:
    """Poll until the condition is true. Raises TimeoutError."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition was not true within {TIMEOUT_SECONDS:g} s")
        time.sleep(0.02)


def submit(ledger: Ledger, jobs: int, seconds: float) -> list[str]:
    """Submit jobs that allocate JOB_MB each."""
    wanted = [CheckHealth(nonce=f"{JOB_MB}:{seconds}:{number}") for number in range(jobs)]
    return [receipt.job_id for receipt in ledger.submit_many(wanted)]


def succeeded(ledger: Ledger, job_ids: Sequence[str]) -> int:
    """Wait for all outcomes and count the succeeded jobs."""
    return sum(ledger.wait(job_id, TIMEOUT_SECONDS).state is JobState.SUCCEEDED for job_id in job_ids)


def run_ours(ledger: Ledger, folder: Path) -> PoolRun:
    """Run the jobs under our autoscaler and the budget."""
    with our_pool(ledger, folder, CORNERMAN_POOL_MAX_MEMORY_MB=str(BUDGET_MB)) as pid:
        gauge = MemoryGauge(pid)
        began = time.monotonic()
        with gauge.watching():
            done = succeeded(ledger, submit(ledger, JOBS, JOB_SECONDS))
        return PoolRun("ours", done, round(gauge.peak_mb, 1), gauge.max_children, round(time.monotonic() - began, 1))


def run_celery(url: str, folder: Path) -> PoolRun:
    """Run the jobs under Celery's own autoscaler, which ignores memory."""
    environment = {"STOCK_URL": url}
    command = [
        sys.executable, "-m", "celery", "-A", "benchmarks.pools.naive_autoscaling:app", "worker",
        f"--autoscale={MAX_CHILDREN},1",
        "--without-gossip", "--without-mingle", "--loglevel=WARNING",
    ]  # fmt: skip
    with process(command, environment, folder / "stock.log") as pid:
        os.environ.update(environment)
        from benchmarks.pools.naive_autoscaling import fill

        fill.apply_async((1, 0.0)).get(timeout=TIMEOUT_SECONDS)  # wait until the worker is ready
        gauge = MemoryGauge(pid)
        began = time.monotonic()
        with gauge.watching():
            results = [fill.apply_async((JOB_MB, JOB_SECONDS)) for _ in range(JOBS)]
            done = sum(result.get(timeout=TIMEOUT_SECONDS) == JOB_MB for result in results)
        return PoolRun(
            "Celery's own", done, round(gauge.peak_mb, 1), gauge.max_children, round(time.monotonic() - began, 1)
        )


def run_cut(ledger: Ledger, folder: Path) -> BudgetCut:
    """Cut the operator's budget while the pool runs jobs."""
    control = "max_memory_mb.predict"
    ledger.controls.set({control: FIRST_MB}, user="benchmark", reason="to cut it")
    with our_pool(ledger, folder) as pid:
        gauge = MemoryGauge(pid)
        job_ids = submit(ledger, 2 * JOBS, 1.5 * JOB_SECONDS)
        wait_for(lambda: gauge.read_mb() > CUT_MB + JOB_MB)
        ledger.controls.set({control: CUT_MB}, user="benchmark", reason="to see it obeyed")
        before_mb = gauge.samples[-1][1]
        began = time.monotonic()
        after = MemoryGauge(pid)
        with after.watching():
            lost = len(job_ids) - succeeded(ledger, job_ids)
    last_above = max((moment for moment, used_mb in after.samples if used_mb > CUT_MB), default=began)
    return BudgetCut(round(before_mb, 1), round(last_above - began, 2), lost)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the results; return 1 if our pool breaks its limits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pools.autoscaling", description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="number of runs of each")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args(arguments)
    runs: list[PoolRun] = []
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name)) as server:

        def ledger() -> Ledger:
            return Ledger.connect(LedgerSettings(redis_url=server.url, namespace=uuid.uuid4().hex))

        for _ in range(given.repeats):
            runs += [run_ours(ledger(), Path(name)), run_celery(str(server.url), Path(name))]
        cut = run_cut(ledger(), Path(name))
    if given.json:
        print(json.dumps({"runs": [asdict(run) for run in runs], "cut": asdict(cut)}, indent=2))
    else:
        print(f"{JOBS} jobs of {JOB_MB} MB, 1 to {MAX_CHILDREN} children, budget {BUDGET_MB} MB")
        for run in runs:
            figures = f"peak {run.peak_mb:6.1f} MB, {run.children} children, {run.seconds} s"
            print(f"{run.name:13} done {run.succeeded}, {figures}")
        print(
            f"budget cut from {FIRST_MB} to {CUT_MB} MB while {cut.before_mb:.0f} MB were in use: obeyed after "
            f"{cut.obeyed_seconds} s and from then on, jobs lost {cut.lost}"
        )
    ours = [run for run in runs if run.name == "ours"]
    kept = all(run.succeeded == JOBS and run.peak_mb < BUDGET_MB for run in ours)
    return int(not kept or cut.lost > 0 or cut.obeyed_seconds > CUT_WITHIN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
