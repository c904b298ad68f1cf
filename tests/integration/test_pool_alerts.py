from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from ledger.backlog import Drift
from ledger.book import Ledger
from ledger.jobs import CheckHealth, TrainEnsemble
from tests.integration.endpoints import HASTY, checks

TOKEN = "T0PS3CRET"  # noqa: S105 - that it stays one is what is tested

Until = Callable[..., None]


class Receiver:
    """A webhook's other end: keeps what is posted, and refuses the first."""

    def __init__(self) -> None:
        self.posts: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            refused = False

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not Handler.refused:
                    Handler.refused = True
                    self.send_error(503)
                    return
                receiver.posts.append(body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hooks/{TOKEN}"

    def told(self, status: str) -> set[str]:
        return {post["alert"] for post in self.posts if post["status"] == status}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_alerts_are_logged_and_posted_when_they_fire_and_when_they_are_over(
    ledger: Ledger, start_pool: Callable[..., Any], until: Until, receiver: Receiver
) -> None:
    impatient = {"PROBE_ALERTS": "1", "CORNERMAN_REPLY_TIMEOUT_SECONDS": "0.3", **HASTY}
    pool = start_pool(concurrency=2, CORNERMAN_WEBHOOK_URL=receiver.url, **impatient)
    training = ledger.submit(TrainEnsemble(data="nowhere")).job_id
    ledger.submit_many([CheckHealth(nonce="kill_itself"), *(CheckHealth(nonce=f"nan:{number}") for number in range(6))])
    ledger._call("LPUSH", f"{ledger.settings.namespace}:doorbell:predict", "cos\nsystem\n")
    ledger.set_drift(Drift(model="a" * 64, drift=0.2, fights=300))
    expected = {"NoConsumer", "DeadLetters", "HighErrorRate", "Quarantined", "CalibrationDrift"}
    until(lambda: receiver.told("firing") >= expected)
    ledger.cancel(training)
    ledger.purge_all_dead()
    until(lambda: receiver.told("resolved") >= {"NoConsumer", "DeadLetters"})
    for child in pool.children():
        child.suspend()
    until(lambda: "NotConsuming" in receiver.told("firing"))
    for child in pool.children():
        child.resume()
    ledger._call("CLIENT", "PAUSE", 3000)  # longer than the pool waits for a reply
    until(lambda: "LedgerUnavailable" in receiver.told("firing"))
    ledger._call("CLIENT", "UNPAUSE")
    until(lambda: "LedgerUnavailable" in receiver.told("resolved"))
    post = next(post for post in receiver.posts if post["alert"] == "NoConsumer")
    assert (post["severity"], post["labels"], post["value"]) == ("critical", {"queue": "train"}, 1)
    assert post["pool"] == ledger.pools()[0]["name"]
    assert post["action"]
    text = pool.log.read_text()
    assert TOKEN not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    levels = {line["event"]: line["level"] for line in lines if line["event"].startswith("alert ")}
    assert levels == {"alert fires": "warning", "alert resolved": "info"}


def test_a_webhook_that_does_not_answer_holds_up_nothing(
    ledger: Ledger, start_pool: Callable[..., Any], until: Until
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{TOKEN}"
        pool = start_pool(concurrency=1, PROBE_ALERTS="1", CORNERMAN_WEBHOOK_URL=url, **HASTY)
        ledger.set_drift(Drift(model="a" * 64, drift=0.2, fights=300))
        until(lambda: "CalibrationDrift" in pool.log.read_text())
        ledger.submit(TrainEnsemble(data="nowhere"))
        until(lambda: "NoConsumer" in pool.log.read_text())  # judged while the first is still being posted
        until(lambda: checks(ledger.pools()[0]["http"])[0] == 200)
        assert pool.stop() == 0


def test_jobs_taken_over_from_a_dead_pool_are_told(
    ledger: Ledger, start_pool: Callable[..., Any], until: Until
) -> None:
    short = {"CORNERMAN_LEASE_SECONDS": "1", "PROBE_ALERTS": "1", **HASTY}
    first = start_pool(concurrency=1, **short)
    job_id = ledger.submit(CheckHealth(nonce="block_at_first")).job_id
    until(lambda: ledger.status(job_id).progress)
    second = start_pool(concurrency=1, **short)
    first.process.kill()
    until(lambda: '"alert": "LeasesLost"' in second.log.read_text())
