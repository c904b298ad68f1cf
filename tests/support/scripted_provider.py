"""A provider on this machine whose answers a test writes, down to how the bytes come."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "k3y/of+the shop"
"""The API key of tests: it must be seen nowhere, also not as it is written in a URL."""
KEY_IN_URLS = ("k3y/of+the shop", "k3y%2Fof%2Bthe+shop", "k3y%2Fof%2Bthe%20shop", "k3y/of%2Bthe")
SPORT = "mma_mixed_martial_arts"
JSON_TYPE = "application/json; charset=utf-8"


@dataclass
class Answer:
    """One answer. `cut` ends it after so many bytes of the body; `trickle_seconds` is the time between two bytes."""

    body: bytes | Any = b"[]"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = JSON_TYPE
    cut: int | None = None
    trickle_seconds: float = 0.0
    wait_seconds: float = 0.0
    packed: bool = False

    def content(self) -> bytes:
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return gzip.compress(content) if self.packed else content


@dataclass(frozen=True)
class Asked:
    """One request: when, its path and its parameters without the key."""

    at: float
    path: str
    parameters: dict[str, str]

    @property
    def prices(self) -> bool:
        return self.path.endswith("/odds")


def refusal(status: int, code: str, message: str = "no", **headers: str) -> Answer:
    return Answer({"message": message, "error_code": code}, status, headers)


def event(
    name: str,
    start: datetime,
    home: str = "Ann Archer",
    away: str = "Bea Brown",
    price: float = 1.9,
    books: Sequence[str] = ("bluecorner", "redcorner"),
    **changes: Any,
) -> dict[str, Any]:
    outcomes = [{"name": home, "price": price}, {"name": away, "price": 2.05}]
    quoted = [{"key": book, "markets": [{"key": "h2h", "outcomes": outcomes}]} for book in books]
    teams = {"home_team": home, "away_team": away}
    return {
        "id": name,
        "sport_key": SPORT,
        "commence_time": start.isoformat(),
        **teams,
        "bookmakers": quoted,
    } | changes


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing: readers that end in the middle are what is tested."""


class ScriptedProvider:
    """The provider. `script` has the next answers; after them it answers with `events` and counts `remaining`."""

    def __init__(self) -> None:
        self.script: deque[Answer] = deque()
        self.events: list[dict[str, Any]] = []
        self.asked: list[Asked] = []
        self.remaining: int | None = None
        self.used = 0
        self.keys: set[str] = set()
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("_Bound", (_Handler,), {"provider": self}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def polls(self) -> list[Asked]:
        """The requests for prices."""
        return [asked for asked in self.asked if asked.prices]

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            if self.script:
                return self.script.popleft()
            cost = 1 if asked.prices and self.events else 0
            if self.remaining is not None and self.remaining < cost:
                return refusal(401, "OUT_OF_USAGE_CREDITS", "Usage quota has been reached")
            self.used += cost
            headers = {"x-requests-used": str(self.used), "x-requests-last": str(cost)}
            if self.remaining is not None:
                self.remaining -= cost
                headers["x-requests-remaining"] = str(self.remaining)
            listed = self.events if asked.prices else [{**each, "bookmakers": []} for each in self.events]
            return Answer(listed, headers=headers)

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def scripted_provider() -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider()
    thread = threading.Thread(target=provider.serve, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    provider: ScriptedProvider
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.provider.keys.add(given.pop("apiKey", ""))
        answer = self.provider.answer(Asked(time.time(), parts.path, given))
        content = answer.content()
        self.provider.over.wait(answer.wait_seconds)
        try:
            self.send_response(answer.status)
            if answer.kind:
                self.send_header("Content-Type", answer.kind)
            if answer.packed:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(content)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self._send_body(answer, content)
        except OSError:  # the reader has lost its patience
            self.close_connection = True

    def _send_body(self, answer: Answer, content: bytes) -> None:
        content = content if answer.cut is None else content[: answer.cut]
        if answer.trickle_seconds:
            for place in range(len(content)):
                self.wfile.write(content[place : place + 1])
                self.wfile.flush()
                if self.provider.over.wait(answer.trickle_seconds):
                    return
        else:
            self.wfile.write(content)
        if answer.cut is not None:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Log nothing."""
