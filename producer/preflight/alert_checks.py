"""Preflight check of alert delivery: make jobs fail, and wait for the pool's webhook request.

The alert rules themselves are defined and tested with `workers.alerts.rules`. This check shows that on this machine an
alert travels the whole way, from a failed job to the webhook's receiver.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from ledger.contracts.failures import JobFailed
from producer.preflight.check import CheckFailed
from producer.preflight.environment import Rehearsal

ALERT = "HighErrorRate"
FAILING = 10
"""Number of jobs that fail on purpose, far more than the 5% of the migration guide."""
WITHIN_SECONDS = 30.0

Posts = SimpleQueue[dict[str, Any]]
"""The requests that the webhook received, in order."""


@contextmanager
def listening() -> Iterator[tuple[dict[str, str], Posts]]:
    """Run a webhook receiver on a free port; yield the settings that point a pool at it, and the received requests."""
    posts: Posts = SimpleQueue()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.put(msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        yield {"CORNERMAN_WEBHOOK_URL": address, "CORNERMAN_SAMPLE_SECONDS": "0.5"}, posts
        server.shutdown()


def alert_fires(rehearsal: Rehearsal, posts: Posts) -> str:
    """Make jobs fail and wait for the alert."""
    for _ in range(FAILING):
        with suppress(JobFailed):
            rehearsal.ask(model="nobody")
    end = time.monotonic() + WITHIN_SECONDS
    while (left_seconds := end - time.monotonic()) > 0:
        with suppress(Empty):
            post = posts.get(timeout=left_seconds)
            if (post["alert"], post["status"]) == (ALERT, "firing"):
                return f"{ALERT} was posted: {post['value']:.0%} of the jobs failed, more than {post['threshold']:.0%}"
    raise CheckFailed(f"no {ALERT} was posted within {WITHIN_SECONDS:g} s although {FAILING} jobs failed")
