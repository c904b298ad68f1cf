"""The HTTP server of a pool: `/metrics`, `/healthz` and `/readyz`, read only, in threads of the main process."""

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
from workers.pool.vital_threads import LoopErrors

OFF = "off"
RETRY_SECONDS = 2.0
_NEVER_SECONDS = 1e6
_REQUEST_SECONDS = 5.0  # a silent connection holds a thread for this long

Checks = Callable[[], Sequence[HealthCheck]]


class ObservabilityServer:
    """The HTTP server of one pool.

    A port that is in use keeps no pool from its jobs: the error is logged, and the port retried until it is free.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        refresh: Callable[[], None],
        liveness: Checks,
        readiness: Checks,
    ) -> None:
        self._host, self._port = host, port
        self._refresh = refresh  # called before the metrics are read
        self._checks = {"/healthz": liveness, "/readyz": readiness}
        self._registry = registry
        self._log = structlog.get_logger("cornerman")
        self.request_errors = LoopErrors(self._log, "request for metrics or health failed")
        self.address = ""

    def start(self) -> None:
        """Start serving, in threads that end with the process."""
        if self._host != OFF:
            threading.Thread(target=self._serve, name="http", daemon=True).start()

    def respond(self, path: str, accept: str = "") -> tuple[HTTPStatus, str, bytes]:
        """Return status, content type and body for a path."""
        if path == "/metrics":
            self._refresh()
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
        errors = LoopErrors(self._log, "metrics not served: set CORNERMAN_HTTP_HOST and CORNERMAN_HTTP_PORT")
        while True:
            with errors.caught(), _Server((self._host, self._port), _handler(self)) as server:
                # A child that outlives this process must not keep its port open.
                os.register_at_fork(after_in_child=server.socket.close)
                host, port = server.server_address[:2]
                self.address = f"{host!s}:{port}"
                self._log.info("serving metrics and health", address=self.address)
                server.serve_forever(poll_interval=_NEVER_SECONDS)  # at which it would ask whether to stop
            time.sleep(RETRY_SECONDS)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind without resolving the own host name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, *_: Any) -> None:
        """Log nothing: a client that disconnects early is no event, and the log is JSON."""


def _handler(endpoints: ObservabilityServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_SECONDS
        protocol_version = "HTTP/1.0"  # one request a connection: no idle connection holds a thread

        def do_GET(self) -> None:
            status, content_type, body = HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"see the log of the pool\n"
            with endpoints.request_errors.caught():
                path, accept = self.path.partition("?")[0], self.headers.get("Accept", "")
                status, content_type, body = endpoints.respond(path, accept)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Log nothing: probes come every few seconds."""

    return Handler
