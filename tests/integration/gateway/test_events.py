"""Outcomes and progress as server-sent events."""

from __future__ import annotations

import asyncio
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import httpx
import msgspec
import pytest

from ledger.contracts.job_state import Outcome, Progress
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from ledger.settings import LedgerSettings
from tests.support.event_streams import Event, open_events
from tests.support.gateways import GatewayProcess, running_gateway

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)


def settle(ledger: Ledger, count: int = 1) -> list[str]:
    """Submit health checks and settle them; return their ids in the order of settling."""
    for _ in range(count):
        ledger.submit(CheckHealth(model=uuid.uuid4().hex))
    settled: list[str] = []
    while len(settled) < count:
        claims = ledger.claim("predict", "test#1", 50)
        assert all(ledger.settle_many([(claim, REPORT) for claim in claims]))
        settled += [claim.job_id for claim in claims]
    return settled


def jobs_of(events: Iterator[Event], count: int) -> list[str]:
    return [event.data["job_id"] for event in islice(events, count)]


def test_outcomes_come_as_they_are_settled(http: httpx.Client, gateway_ledger: Ledger) -> None:
    with open_events(http, "/v1/outcomes/events") as events:
        jobs = settle(gateway_ledger, 3)
        found = list(islice(events, 3))
    assert [event.event for event in found] == ["outcome"] * 3
    assert [event.data["job_id"] for event in found] == jobs
    outcome = msgspec.convert(found[0].data, Outcome)
    assert outcome == gateway_ledger.outcome(jobs[0])


def test_a_reader_that_has_the_head_of_the_response_misses_nothing(http: httpx.Client, gateway_ledger: Ledger) -> None:
    for _ in range(30):
        gateway_ledger.submit(CheckHealth(model=uuid.uuid4().hex))
        (claim,) = gateway_ledger.claim("predict", "test#1", 1)
        with open_events(http, "/v1/outcomes/events") as events:
            assert gateway_ledger.settle(claim, REPORT)
            assert next(events).data["job_id"] == claim.job_id


def test_a_reader_that_comes_back_misses_nothing(http: httpx.Client, gateway_ledger: Ledger) -> None:
    with open_events(http, "/v1/outcomes/events") as events:
        settle(gateway_ledger, 1)
        last = next(events).event_id
    meanwhile = settle(gateway_ledger, 5)
    with open_events(http, "/v1/outcomes/events", last_event_id=last) as events:
        later = settle(gateway_ledger, 2)
        assert jobs_of(events, 7) == meanwhile + later


def test_pages_lead_from_the_oldest_to_the_latest(http: httpx.Client, gateway_ledger: Ledger) -> None:
    place = gateway_ledger.latest_place()
    jobs = settle(gateway_ledger, 5)
    found: list[str] = []
    while page := http.get("/v1/outcomes", params={"after": place, "limit": 2}).json():
        if not page["outcomes"]:
            break
        assert len(page["outcomes"]) <= 2
        found += [entry["outcome"]["job_id"] for entry in page["outcomes"]]
        place = page["place"]
    assert found == jobs
    assert place == gateway_ledger.latest_place()


def test_a_filter_leaves_the_others_out(http: httpx.Client, gateway_ledger: Ledger) -> None:
    with open_events(http, "/v1/outcomes/events", state="cancelled", kind="check_health") as events:
        settle(gateway_ledger, 2)
        receipt = gateway_ledger.submit(CheckHealth(model=uuid.uuid4().hex))
        gateway_ledger.cancel(receipt.job_id)
        assert jobs_of(events, 1) == [receipt.job_id]


@pytest.mark.parametrize("path", ["/v1/outcomes", "/v1/outcomes/events"])
@pytest.mark.parametrize("after", ["yesterday", "1-2-3", "-1", "9" * 30])
def test_what_is_no_place_is_refused(http: httpx.Client, path: str, after: str) -> None:
    reply = http.get(path, params={"after": after})
    assert reply.status_code == 422
    assert after[:20] in reply.json()["detail"]


def test_a_reader_who_fell_behind_is_told(valkey: EmbeddedServer, tmp_path: Path) -> None:
    settings = LedgerSettings(redis_url=valkey.url, namespace=f"short-{uuid.uuid4().hex}", max_outcomes=100)
    ledger = Ledger.connect(settings)
    try:
        settle(ledger, 1)
        first = ledger.latest_place()
        settle(ledger, 500)  # the server trims its stream in pieces of about 100
        with running_gateway(settings, tmp_path) as gateway, gateway.client() as http:
            with open_events(http, "/v1/outcomes/events", last_event_id=first) as events:
                missed = next(events)
                assert missed.event == "missed"
                following = [next(events).event for _ in range(50)]
                assert following == ["outcome"] * 50
            page = http.get("/v1/outcomes", params={"after": first}).json()
            assert page["missed"]
            assert page["outcomes"]
    finally:
        ledger.close()


def test_progress_and_then_the_outcome(http: httpx.Client, gateway_ledger: Ledger) -> None:
    receipt = gateway_ledger.submit(CheckHealth(model=uuid.uuid4().hex))
    [claim] = gateway_ledger.claim("predict", "test#1")
    with open_events(http, f"/v1/jobs/{receipt.job_id}/events") as events:

        def work() -> None:
            gateway_ledger.set_progress(claim, Progress(stage="half", done=1, total=2))
            gateway_ledger.settle(claim, REPORT)

        worker = threading.Timer(0.5, work)
        worker.start()
        found = list(events)  # the stream ends by itself
        worker.join()
    assert [event.event for event in found][-1] == "outcome"
    assert found[-1].data["job_id"] == receipt.job_id
    assert [event.data["stage"] for event in found[:-1]] in (["half"], [])
    again = http.get(f"/v1/jobs/{receipt.job_id}/events", headers={"Last-Event-ID": found[-1].event_id or ""})
    assert again.status_code == 204
    assert http.get("/v1/jobs/nobody/events").status_code == 404


def test_a_stop_ends_the_streams_and_the_next_gateway_goes_on(ledger: Ledger, tmp_path: Path) -> None:
    with running_gateway(ledger.settings, tmp_path) as gateway, gateway.client() as http:
        with open_events(http, "/v1/outcomes/events") as events:
            settle(ledger, 1)
            last = next(events).event_id
            gateway.process.terminate()
            assert list(events) == []
        assert gateway.process.wait(20) == 0
    missed = settle(ledger, 2)
    with (
        running_gateway(ledger.settings, tmp_path) as gateway,
        gateway.client() as http,
        open_events(http, "/v1/outcomes/events", last_event_id=last) as events,
    ):
        assert jobs_of(events, 2) == missed


def test_a_reader_that_reads_nothing_is_cut_off(ledger: Ledger, tmp_path: Path, until: Callable[..., None]) -> None:
    with running_gateway(ledger.settings, tmp_path, gateway_stall_seconds=1) as gateway, gateway.client() as http:
        url = httpx.URL(gateway.url)
        stuck = socket.socket()
        # Or the kernel would keep megabytes for it, which are filled by ten thousand outcomes.
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        stuck.connect((url.host, url.port or 0))
        stuck.sendall(b"GET /v1/outcomes/events?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")

        def cut_off() -> bool:
            return "slow reader cut off" in gateway.log.read_text()

        for _ in range(40):
            settle(ledger, 500)
            with suppress(AssertionError):
                until(cut_off, 2.0)
                break
        assert cut_off()
        assert http.get("/healthz").status_code == 200
        stuck.close()


async def follow_until(url: str, wanted: int, opened: asyncio.Semaphore) -> list[str]:
    """Follow the outcomes over a connection of its own until so many came."""
    target = httpx.URL(url)
    reader, writer = await asyncio.open_connection(target.host, target.port, limit=2**20)
    writer.write(b"GET /v1/outcomes/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"retry: ")
    opened.release()
    found: list[str] = []
    while len(found) < wanted:
        line = await reader.readline()
        if line.startswith(b"data: "):
            found.append(msgspec.json.decode(line[6:])["job_id"])
    writer.close()
    return found


def test_many_followers_see_every_outcome_in_order(gateway: GatewayProcess, gateway_ledger: Ledger) -> None:
    followers, outcomes = 100, 200

    async def run() -> tuple[list[list[str]], list[str]]:
        opened = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(follow_until(gateway.url, outcomes, opened)) for _ in range(followers)]
        for _ in range(followers):
            await opened.acquire()
        jobs = await asyncio.to_thread(settle, gateway_ledger, outcomes)
        return await asyncio.gather(*tasks), jobs

    seen, jobs = asyncio.run(run())
    assert all(found == jobs for found in seen)
