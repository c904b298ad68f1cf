"""The check of a request's query: a parameter that its route does not have is an error, and not ignored."""

from __future__ import annotations

from functools import cache
from typing import Any

from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.params import CookieParameter, HeaderParameter, ParameterKwarg, PathParameter

from gateway.problems import ProblemError


def check_query(request: Request[Any, Any, Any]) -> None:
    """Refuse parameters that the route does not have: one that is misspelt would silently have no effect.

    Raises ProblemError (400).
    """
    if not request.scope["query_string"]:
        return
    known = _query_names(request.route_handler)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        have = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise ProblemError(400, f"the query has no parameter {unknown[0][:60]!r} here: {have}")


@cache
def _query_names(handler: BaseRouteHandler) -> frozenset[str]:
    """Return the names of a route's query parameters."""
    names = set()
    in_path = {part.partition(":")[0].strip("{") for path in handler.paths for part in path.split("/") if "{" in part}
    for name, field in handler.parsed_fn_signature.parameters.items():
        kwarg = field.kwarg_definition
        if isinstance(kwarg, ParameterKwarg):
            if not isinstance(kwarg, CookieParameter | HeaderParameter | PathParameter) and name not in in_path:
                names.add(kwarg.name or name)
        elif name not in in_path and name not in handler.resolve_dependencies() and name not in _RESERVED:
            names.add(name)
    return frozenset(names)


_RESERVED = frozenset({"request", "body", "data", "state", "scope", "headers", "cookies", "query", "socket"})
