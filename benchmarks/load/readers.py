"""The readers of the long run, in a process of their own: a follower, HTTP followers, and a receiver of webhooks."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.ledger import Ledger
from ledger.settings import LedgerSettings

FOLLOWERS = ("follower", *(f"HTTP follower {number}" for number in range(1, 5)))
TIMEOUT_SECONDS = 60.0
_EVENT = b"event: outcome"


@dataclass(frozen=True)
class Readers:
    """The process of the readers, and where it receives webhooks."""

    pid: int
    webhook_url: str
    _pipe: Connection

    def follow(self, gateway_url: str) -> None:
        """Begin to read what is settled from now on."""
        self._pipe.send(gateway_url)
        self._expect()

    def seen(self) -> dict[str, int]:
        """Return how many outcomes each reader has seen by now."""
        self._pipe.send("seen")
        found: dict[str, int] = self._expect()
        return found

    def _expect(self) -> Any:
        if not self._pipe.poll(TIMEOUT_SECONDS):
            raise RuntimeError("the readers do not answer")
        return self._pipe.recv()


@contextmanager
def running_readers(settings: LedgerSettings) -> Iterator[Readers]:
    """Run the readers for the duration of a block."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_read, args=(settings, there), daemon=True)
    process.start()
    try:
        if not here.poll(TIMEOUT_SECONDS):
            raise RuntimeError("the readers do not start")
        yield Readers(process.pid or 0, here.recv(), here)
    finally:
        process.kill()
        process.join()


def _read(settings: LedgerSettings, pipe: Connection) -> None:
    seen = Counter(dict.fromkeys(FOLLOWERS, 0))

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen["webhook"] += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(f"http://127.0.0.1:{server.server_address[1]}/hook")
    gateway = pipe.recv()
    threading.Thread(target=_follow, args=(settings, seen), daemon=True).start()
    for name in FOLLOWERS[1:]:
        begun = threading.Event()
        threading.Thread(target=_follow_http, args=(gateway, name, seen, begun), daemon=True).start()
        begun.wait(TIMEOUT_SECONDS)
    pipe.send(None)
    while pipe.recv():
        pipe.send(dict(seen))


def _follow(settings: LedgerSettings, seen: Counter[str]) -> None:
    place = "0"
    with closing(Ledger.connect(settings)) as ledger:
        while True:
            try:
                for _ in ledger.follow(place):
                    seen["follower"] += 1
            except OutcomesMissedError as missed:  # the machine was so busy that it fell behind by the retention
                seen["missed by the follower"] += missed.count or 1
                place = missed.place


def _follow_http(gateway: str, name: str, seen: Counter[str], begun: threading.Event) -> None:
    connection = http.client.HTTPConnection(urlsplit(gateway).netloc)
    connection.request("GET", "/v1/outcomes/events?after=0")
    answer = connection.getresponse()
    begun.set()
    while line := answer.readline():
        seen[name] += line.startswith(_EVENT)
