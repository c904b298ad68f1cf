"""The frame around each request: its id, checks before any route, its caller, security headers, metrics and log."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import structlog

from gateway.metrics import RequestMetrics
from gateway.problems import PROBLEM_TYPE, ProblemError, problem_reply
from gateway.security.access import check_host, check_origin
from gateway.security.caller import Caller
from ledger.contracts.trace_context import TraceContext

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class Authenticate(Protocol):
    """The way from the headers of a request to its caller; see `gateway.security.authentication`."""

    def __call__(self, headers: dict[str, str], *, tls: bool) -> Awaitable[Caller | None]:
        """Return the caller, None if it is not known."""


_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Answered also if the ledger cannot be asked who the caller is."""
_HEADERS = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class RequestContext:
    """ASGI application around all routes.

    The request id is that of `X-Request-ID`, if it is harmless in a log, or a new one; the response repeats it. Routes
    are found by the path as it was sent, and its parameters are decoded later (see `gateway.app`), so that an encoded
    slash in the id of a job does not change the route.
    """

    def __init__(
        self,
        app: Application,
        authenticate: Authenticate,
        metrics: RequestMetrics,
        *,
        allowed_hosts: tuple[str, ...],
        body_seconds: float,
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._metrics = metrics
        self._allowed_hosts = allowed_hosts
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        reply = _Reply(send, request_id)
        bound = {"request_id": request_id}
        if (trace := TraceContext.from_headers(headers.get("traceparent", ""))) is not None:
            bound["trace_id"] = trace.trace_id
        with structlog.contextvars.bound_contextvars(**bound):
            try:
                await self._check(scope, headers)
            except Exception as error:  # noqa: BLE001 - every error gets its response
                await reply.problem(error)
            else:
                await self._app(scope, _within(receive, self._body_seconds), reply.send)
            finally:
                self._observe(scope, reply.status, time.perf_counter() - started)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and log a request."""
        caller = scope["user"].name if scope.get("user") else None
        self._metrics.observe(scope["method"], scope.get("path_template"), status, caller, seconds)
        structlog.get_logger("gateway").info(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status,
            caller=caller,
            seconds=round(seconds, 6),
        )

    async def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        """Check what holds for every route, and find the caller."""
        scope["path"] = scope["raw_path"].decode("latin-1")
        host = headers.get("host", "")
        check_host(host, self._allowed_hosts)
        check_origin(scope["method"], headers.get("origin"), host)
        if scope["path"] not in OPEN_PATHS:
            scope["user"] = await self._authenticate(headers, tls=scope["scheme"] == "https")


class _Reply:
    """The response of a request: adds the headers of every response, and keeps the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self._request_id.encode())]
            present = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in _HEADERS.items() if name not in present]
            message = {**message, "headers": headers}
        await self._send(message)

    async def problem(self, error: Exception) -> None:
        """Send the response to an error."""
        status, extra, body = problem_reply(error, self._request_id)
        headers = [(b"content-type", PROBLEM_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in extra.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _within(receive: Receive, seconds: float) -> Receive:
    """Limit the time for the whole body; what comes after it (a disconnection) may take any time."""
    end: float | None = None
    complete = False

    async def receive_in_time() -> Message:
        nonlocal complete, end
        if complete:
            return await receive()
        if end is None:
            end = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            raise ProblemError(408, f"the body was not complete after {seconds:g} s") from None
        complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return receive_in_time
