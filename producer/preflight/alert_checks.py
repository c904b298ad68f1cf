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

from ledger.contracts.failures import JobFailedError
from producer.preflight.check import CheckFailedError
from producer.preflight.environment import PreflightEnvironment

ALERT = "HighErrorRate"
FAILING_JOBS = 10
"""Number of jobs that fail on purpose, far more than the 5% of the migration guide."""
TIMEOUT_SECONDS = 30.0

WebhookPosts = SimpleQueue[dict[str, Any]]
"""The requests that the webhook received, in order."""


@contextmanager
def webhook_listener() -> Iterator[tuple[dict[str, str], WebhookPosts]]:
    """Run a webhook receiver on a free port; yield the settings that point a pool at it, and the received requests."""
    posts: WebhookPosts = SimpleQueue()

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
        yield {"CORNERMAN_WEBHOOK_URL": address, "CORNERMAN_METRICS_INTERVAL_SECONDS": "0.5"}, posts
        server.shutdown()


def check_alert_fires(environment: PreflightEnvironment, posts: WebhookPosts) -> str:
    """Make jobs fail and wait for the alert."""
    for _ in range(FAILING_JOBS):
        with suppress(JobFailedError):
            environment.predict(model="no-such-model")
    end = time.monotonic() + TIMEOUT_SECONDS
    while (left_seconds := end - time.monotonic()) > 0:
        with suppress(Empty):
            post = posts.get(timeout=left_seconds)
            if (post["alert"], post["status"]) == (ALERT, "firing"):
                return f"{ALERT} was posted: {post['value']:.0%} of the jobs failed, more than {post['threshold']:.0%}"
    raise CheckFailedError(f"no {ALERT} was posted within {TIMEOUT_SECONDS:g} s although {FAILING_JOBS} jobs failed")
