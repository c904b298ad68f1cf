"""One run: a pool at work, callers that submit and read, and servers that fail at intervals."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from ledger.contracts.job_state import Durability
from ledger.ledger import Ledger, LedgerSettings
from tests.chaos import probe
from tests.chaos.data_loss import worker
from tests.chaos.data_loss.callers import PATIENCE_SECONDS, Callers, Losses, insist
from tests.chaos.fleet import Fleet, Pool

Mode: TypeAlias = Literal["none", "disk", "replica"]
_DURABLE: dict[str, Durability] = {"none": False, "disk": True, "replica": "replica"}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a run: `mode` is what submissions and outcomes wait for; a failure comes every so many seconds."""

    mode: Mode
    jobs: int = 20_000
    jobs_per_second: float = 80.0
    every_seconds: float = 60.0
    burst: int = 25
    children: int = 2
    least_failures: int = 1


def play(
    plan: Plan,
    settings: LedgerSettings,
    folder: Path,
    failures: Iterable[Callable[[], str]],
    say: Callable[[str], None],
) -> tuple[Losses, list[str]]:
    """Run a plan on a ledger; return what was lost, and the message of each failure."""
    variables = {
        "CORNERMAN_REDIS_URL": str(settings.redis_url),
        "CORNERMAN_NAMESPACE": settings.namespace,
        "CORNERMAN_LEASE_SECONDS": str(settings.lease_seconds),
        "CORNERMAN_MAX_OUTCOMES": str(settings.max_outcomes),
        "CORNERMAN_DATA": str(folder),
        "CORNERMAN_DURABLE_REPLICAS": str(settings.durable_replicas),
        "CORNERMAN_REPLICA_STORAGE": settings.replica_storage,
        "CORNERMAN_OUTCOME_DURABILITY": plan.mode,
        "PYTHONPATH": os.getcwd(),
    }
    with ExitStack() as stack:
        fleet = stack.enter_context(Fleet([_pool(folder, variables, plan.children)]))
        ledger = insist(lambda: Ledger.connect(settings))
        stack.callback(ledger.close)
        latest_seconds = time.monotonic() + PATIENCE_SECONDS
        while not insist(ledger.pools.alive):
            if time.monotonic() > latest_seconds:
                raise TimeoutError(f"no pool is alive after {PATIENCE_SECONDS:g} s: see its log in {folder}")
            time.sleep(0.1)
        callers = Callers(lambda: Ledger.connect(settings), _DURABLE[plan.mode])
        failed: list[str] = []
        with callers.at_work(plan.jobs, plan.jobs_per_second, plan.burst) as submitted:
            due_seconds = time.monotonic() + plan.every_seconds / 2
            for fail in failures:
                while time.monotonic() < due_seconds and not submitted():
                    time.sleep(0.05)
                if submitted() and len(failed) >= plan.least_failures:
                    break
                due_seconds += plan.every_seconds
                failed.append(fail())
                say(f"{plan.mode}: {failed[-1]}; {len(callers.submitted):,} submitted, {len(callers.seen):,} seen")
            callers.wait_until_answered(ledger)
        losses = callers.count(ledger)
        fleet.retire()
    return losses, failed


def _pool(folder: Path, variables: dict[str, str], children: int) -> Pool:
    pool = Pool("pool", folder, variables, children)
    pool._command = [word if word != probe.__name__ else worker.__name__ for word in pool._command]
    return pool
