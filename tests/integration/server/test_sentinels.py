"""Callers of a ledger behind Sentinel: whatever happens to its primary, they find the next one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator

import pytest

from ledger.async_ledger import AsyncLedger
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.ledger import Ledger, LedgerSettings
from tests.support.sentinels import CONTINUE, STOP, SentinelGroup, sentinel_group

REPORT = HealthReport(status="healthy", checks=(HealthCheck(name="x", passed=True, detail=""),), memory_mb=1.0)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    with sentinel_group(tmp_path_factory.mktemp("sentinels")) as started:
        yield started


@pytest.fixture
def ledger_settings(group: SentinelGroup) -> LedgerSettings:
    group.wait_until_whole()
    return LedgerSettings(redis_url=group.url(), namespace=f"test-{uuid.uuid4().hex}", reply_timeout_seconds=2.0)


def ordered(group: SentinelGroup) -> Callable[[], None]:
    group.order_failover()
    return lambda: None


def killed(group: SentinelGroup) -> Callable[[], None]:
    primary = group.primary()
    primary.kill()
    group.wait_for_other(primary)
    return primary.start


def stopped(group: SentinelGroup) -> Callable[[], None]:
    primary = group.primary()
    primary.signal(STOP)
    group.wait_for_other(primary)
    return lambda: primary.signal(CONTINUE)


@pytest.mark.parametrize("fail", [ordered, killed, stopped])
def test_callers_find_the_new_primary(
    fail: Callable[[SentinelGroup], Callable[[], None]], group: SentinelGroup, ledger: Ledger
) -> None:
    """Calls, an asyncio client, a wait and an asyncio wait that were there before."""

    async def ask_and_wait() -> tuple[Outcome, Outcome]:
        async with AsyncLedger(ledger.settings) as other:
            job_id = (await other.submit(CheckHealth(nonce="1"))).job_id
            wait = asyncio.create_task(other.wait(job_id, 60))
            blocking = asyncio.create_task(asyncio.to_thread(ledger.wait, job_id, 60))
            await asyncio.to_thread(fail_and_settle)
            assert (await other.status(job_id)).state is JobState.SUCCEEDED
            assert (await other.submit(CheckHealth(nonce="1"))).job_id == job_id
            return await wait, await blocking

    def fail_and_settle() -> None:
        group.wait_until_replicated()
        revive = fail(group)
        [claim] = ledger.claim("predict", "test#1/1")
        assert ledger.settle(claim, REPORT)
        revive()

    outcomes = asyncio.run(ask_and_wait())
    assert [outcome.state for outcome in outcomes] == [JobState.SUCCEEDED] * 2
