"""The ASGI application of the gateway: its routes, what their handlers get, and the frame around each request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote

from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.response import Response
from prometheus_client import CollectorRegistry

from gateway.api import (
    alerts,
    bets,
    chains,
    check,
    controls,
    dead_letters,
    documents,
    events,
    feeds,
    health,
    jobs,
    models,
    pools,
    prices,
    queues,
    schedules,
    status,
    webhooks,
)
from gateway.events.outcome_feed import OutcomeFeed
from gateway.metrics import RequestMetrics
from gateway.pages import bets as bets_page
from gateway.pages import cards, login, record, static_files, theme
from gateway.pages.error_pages import error_page, wants_page
from gateway.pages.forms import check_form
from gateway.pages.operations import audit, overview, runbook
from gateway.pages.operations import controls as controls_page
from gateway.pages.operations import dead_letters as dead_letters_page
from gateway.pages.operations import jobs as jobs_page
from gateway.pages.operations import models as models_page
from gateway.pages.operations import schedules as schedules_page
from gateway.problems import ProblemError, describe_problem, problem_response
from gateway.query import check_query
from gateway.security.access import LOOPBACK_NAMES, check_role
from gateway.security.authentication import Authenticator
from gateway.security.request_context import RequestContext
from gateway.server.address import is_loopback
from gateway.settings import GatewaySettings
from gateway.webhooks.relay import Relay
from ledger.async_ledger import AsyncLedger
from ledger.ledger import Ledger
from producer.async_client import AsyncClient
from producer.client import Client
from producer.operations.alerts import alert_kinds

SUBJECTS = (
    jobs,
    chains,
    events,
    feeds,
    prices,
    bets,
    check,
    status,
    alerts,
    pools,
    queues,
    controls,
    dead_letters,
    schedules,
    models,
    webhooks,
    health,
    documents,
    cards,
    login,
    record,
    bets_page,
    theme,
    static_files,
    overview,
    jobs_page,
    dead_letters_page,
    controls_page,
    schedules_page,
    models_page,
    audit,
    runbook,
)
"""Modules with routes, each in its `ROUTES`."""


class Gateway(NamedTuple):
    """The application of a gateway, and the outcomes that its followers are sent."""

    app: RequestContext
    outcomes: OutcomeFeed


def create_gateway(settings: GatewaySettings, ledger: Ledger) -> Gateway:
    """Return a gateway. It uses the blocking `ledger` in threads, and opens a client of its own on its loop."""
    metrics = RequestMetrics()
    client = AsyncClient(AsyncLedger(ledger.settings))
    outcomes = OutcomeFeed(client, settings.gateway_stream_buffer_mb * 2**20)
    metrics.count_followers(lambda: outcomes.followers)
    values = {
        "ledger": ledger,
        "blocking_client": Client(ledger),
        "client": client,
        "feed": outcomes,
        "registry": metrics.registry,
        "alert_kinds": alert_kinds(),
    }

    relay = Relay(ledger, settings, metrics.registry) if settings.gateway_relay == "on" else None

    @asynccontextmanager
    async def run_relay(_app: Litestar) -> AsyncIterator[None]:
        stop = asyncio.Event()
        running = None if relay is None else asyncio.create_task(relay.run(stop))
        try:
            yield
        finally:
            stop.set()
            if running is not None:
                await running

    @asynccontextmanager
    async def open_client(_app: Litestar) -> AsyncIterator[None]:
        async with client:
            await outcomes.start()
            try:
                yield
            finally:
                await outcomes.stop()

    app = Litestar(
        # In a router of their own, because two handlers of one path in threads fail if the application registers them.
        route_handlers=[Router("/", route_handlers=[route for subject in SUBJECTS for route in subject.ROUTES])],
        dependencies={name: Provide(_constant(value), sync_to_thread=False) for name, value in values.items()},
        before_request=_prepare,
        exception_handlers={Exception: _error_response, HTTPException: _error_response},
        lifespan=[open_client, run_relay],
        openapi_config=None,
        state=State({"max_wait_seconds": settings.gateway_max_wait_seconds}),
        logging_config=None,
        signature_types=[AsyncClient, Client, CollectorRegistry, Ledger, OutcomeFeed],
    )
    framed = RequestContext(
        app,
        Authenticator(client.ledger).caller_of,
        metrics,
        allowed_hosts=_allowed_hosts(settings),
        body_seconds=settings.gateway_body_seconds,
    )
    return Gateway(framed, outcomes)


def _constant(value: Any) -> Any:
    def provide() -> Any:
        return value

    return provide


def _allowed_hosts(settings: GatewaySettings) -> tuple[str, ...]:
    names = tuple(name.lower() for name in settings.allowed_hosts)
    return names or (LOOPBACK_NAMES if is_loopback(settings.gateway_host) else ())


async def _prepare(request: Request[Any, Any, Any]) -> None:
    """Decode the parameters of the path, each once, and check the query and the token of a form.

    Raises ProblemError.
    """
    # A new dictionary: Litestar keeps this one for the next request of the same path.
    request.scope["path_params"] = {
        name: _decoded(value) if isinstance(value, str) else value
        for name, value in request.scope["path_params"].items()
    }
    check_role(request, request.route_handler)  # not a guard: for those Litestar copies the handler at each request
    check_query(request)
    if request.route_handler.opt.get("form"):
        await check_form(request)


def _error_response(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Return the response to an error: a page for a person, a problem document for a program."""
    if not wants_page(request):
        return problem_response(request, error)
    problem, headers = describe_problem(error, request.scope["state"].get("request_id"))
    return error_page(request, problem, headers)


def _decoded(text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ProblemError(400, "the path is not UTF-8") from None
    if not decoded.isprintable():
        raise ProblemError(400, "the path has characters that cannot be printed")
    return decoded
