"""`/metrics`, `/healthz` and `/readyz` over HTTP, from threads of a pool's main process; read only."""

from __future__ import annotations

import os
import socketserver
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from ledger.contracts.reports import HealthCheck
from workers.pool.vital_threads import Stumbles

OFF = "off"
RETRY_SECONDS = 2.0
_REQUEST_SECONDS = 5.0  # who connects and says nothing holds a thread for so long

Checks = Callable[[], Sequence[HealthCheck]]


class Endpoints:
    """The HTTP server of one pool.

    A port that is taken keeps no pool from its jobs: that is logged, and tried again until the port is free.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, liveness: Checks, readiness: Checks) -> None:
        self._host, self._port = host, port
        self._checks = {"/healthz": liveness, "/readyz": readiness}
        self._registry = registry
        self._log = structlog.get_logger("cornerman")
        self.unanswered = Stumbles(self._log, "a request for metrics or health cannot be answered")
        self.address = ""

    def start(self) -> None:
        """Serve from now on, from threads that end with the process."""
        if self._host != OFF:
            threading.Thread(target=self._serve, name="http", daemon=True).start()

    def answer(self, path: str, accept: str = "") -> tuple[HTTPStatus, str, bytes]:
        """Return status, content type and body of a path."""
        if path == "/metrics":
            encode, content_type = choose_encoder(accept)
            return HTTPStatus.OK, content_type, encode(self._registry)
        if path not in self._checks:
            return HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /healthz, /readyz\n"
        checks = self._checks[path]()
        passed = all(check.passed for check in checks)
        document = {"status": "passed" if passed else "failed", "checks": checks}
        status = HTTPStatus.OK if passed else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", msgspec.json.encode(document) + b"\n"

    def _serve(self) -> None:
        stumbles = Stumbles(self._log, "no metrics: set CORNERMAN_HTTP_HOST and CORNERMAN_HTTP_PORT")
        while True:
            with stumbles.caught(), _Server((self._host, self._port), _handler(self)) as server:
                # A child that outlives this process must not keep its port.
                os.register_at_fork(after_in_child=server.socket.close)
                host, port = server.server_address[:2]
                self.address = f"{host!s}:{port}"
                self._log.info("serving metrics and health", address=self.address)
                server.serve_forever()
            time.sleep(RETRY_SECONDS)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without asking the name service for our own name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a caller who hangs up early is no event, and the log is JSON."""


def _handler(endpoints: Endpoints) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS
        protocol_version = "HTTP/1.0"  # one request a connection: a thread is never held by one that is idle

        def do_GET(self) -> None:
            status, content_type, body = HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"the log says why\n"
            with endpoints.unanswered.caught():
                path, accept = self.path.partition("?")[0], self.headers.get("Accept", "")
                status, content_type, body = endpoints.answer(path, accept)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing: probes come every few seconds."""

    return Handler
