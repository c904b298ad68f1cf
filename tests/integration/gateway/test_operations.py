"""The table of operations names every route, with the parameters and the role that the route has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from gateway.app import create_gateway
from gateway.settings import GatewaySettings
from gateway.specification.operations import Operation
from gateway.specification.table import OPERATIONS
from ledger.ledger import Ledger

PAGES = "gateway.pages"
"""The module of the routes for browsers, which are no part of the interface."""


@pytest.fixture(scope="module")
def routes(gateway_ledger: Ledger) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Every route of the application by method and path: its handler, and the model of the handler's arguments."""
    app = create_gateway(GatewaySettings(), gateway_ledger).app._app
    assert isinstance(app, Litestar)
    return {(method, path): found for method, path, found in _walk(app)}


def _walk(app: Litestar) -> Iterator[tuple[str, str, tuple[Any, Any]]]:
    for route in app.routes:
        assert isinstance(route, HTTPRoute)
        for method, found in route.route_handler_map.items():
            if method != "OPTIONS" and not str(found[0]).startswith(PAGES):
                yield method, re.sub(r"{(\w+):\w+}", r"{\1}", route.path), found


def test_every_route_is_in_the_table(routes: dict[tuple[str, str], tuple[Any, Any]]) -> None:
    assert {(operation.method, operation.path) for operation in OPERATIONS} == routes.keys(), (
        "describe the route in gateway/specification/table, then run: python -m gateway.specification"
    )


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_has_the_parameters_and_the_role_of_its_route(
    operation: Operation, routes: dict[tuple[str, str], tuple[Any, Any]]
) -> None:
    handler, model = routes[operation.method, operation.path]
    assert operation.role == handler.opt.get("role")
    places = {
        "path": model.expected_path_params,
        "query": model.expected_query_params,
        "header": model.expected_header_params,
    }
    for place, expected in places.items():
        described = {each.name.lower(): each.required for each in operation.parameters if each.place == place}
        actual = {each.field_alias.lower(): each.is_required for each in expected}
        assert described == actual, place
