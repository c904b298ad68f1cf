"""The other end of webhooks: a server that verifies what is posted, keeps it, and answers as a test wishes."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Post:
    """One request, and whether a secret of the receiver verifies it."""

    message_id: str
    timestamp: int
    body: dict[str, Any]
    raw: bytes
    headers: dict[str, str]
    path: str
    verified: bool
    at_seconds: float

    @property
    def job(self) -> str:
        return str(self.body["data"].get("job_id", ""))

    @property
    def card(self) -> str | None:
        return self.body.get("card_id")


@dataclass(frozen=True)
class Reply:
    """How a receiver answers: after `delay_seconds`, with so much body; `length` may promise another."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    delay_seconds: float = 0.0


OK = Reply()


class WebhookReceiver:
    """A context manager. `answer` gets a post and how many there were of the same message before."""

    def __init__(self, answer: Callable[[Post, int], Reply] = lambda post, before: OK) -> None:
        self.answer = answer
        self.secrets: list[str] = []
        self.posts: list[Post] = []
        self._times: Counter[str] = Counter()
        self._changed = threading.Lock()
        self.over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                post, before = receiver._keep(self.path, dict(self.headers), raw)
                reply = receiver.answer(post, before)
                if reply.delay_seconds:
                    receiver.over.wait(reply.delay_seconds)
                try:
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    if reply.status != 204:
                        self.send_header("Content-Length", str(reply.length or len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)
                except OSError:  # the other side has had enough
                    self.close_connection = True

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:  # a connection that the other side has cut
                ...

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def __enter__(self) -> Self:
        """Listen."""
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def jobs(self) -> list[str]:
        """Return the jobs whose outcomes were posted, each where it came first."""
        return list(dict.fromkeys(post.job for post in list(self.posts)))

    def _keep(self, path: str, headers: dict[str, str], raw: bytes) -> tuple[Post, int]:
        named = {name.lower(): value for name, value in headers.items()}
        verified = any(_verifies(secret, raw, named) for secret in self.secrets)
        message_id, timestamp = named.get("webhook-id", ""), int(named.get("webhook-timestamp", 0))
        post = Post(message_id, timestamp, json.loads(raw), raw, named, path, verified, time.monotonic())
        with self._changed:
            before = self._times[message_id]
            self._times[message_id] += 1
            self.posts.append(post)
        return post, before


def _verifies(secret: str, raw: bytes, headers: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(raw, headers)
    except WebhookVerificationError:
        return False
    return True
