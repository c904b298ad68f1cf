"""The checks of a request before its handler runs: the host it names, where it comes from, and its caller's role."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def check_role(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse callers whose role is lower than the `role` option of the route; a route without it is open to all.

    Raises
    ------
    NotAuthorizedException
        No caller is known (401).
    PermissionDeniedException
        The role is too low (403).
    """
    least: Role | None = handler.opt.get("role")
    if least is None:
        return
    caller: Caller | None = connection.scope.get("user")
    if caller is None:
        raise NotAuthorizedException(
            "this needs a token: send `Authorization: Bearer TOKEN` (cornerman tokens create)",
            headers={"WWW-Authenticate": 'Bearer realm="cornerman"'},
        )
    if not caller.may(least):
        raise PermissionDeniedException(
            f"the token of {caller.name!r} has the role {caller.role}, "
            f"this needs {least}: ask an operator for such a token"
        )


def check_host(host: str, allowed: tuple[str, ...]) -> None:
    """Refuse requests that name another host: a page elsewhere may have pointed its own name to this address.

    `host` is the header; `allowed` are names without ports, empty for any. Raises ProblemError (421).
    """
    name, _, port = host.rpartition(":")
    name = name if port.isdigit() else host
    if allowed and name.lower() not in allowed:
        raise ProblemError(
            421, f"this gateway does not answer for the host {name[:80]!r}: add it to CORNERMAN_GATEWAY_ALLOWED_HOSTS"
        )


def check_origin(method: str, origin: str | None, host: str) -> None:
    """Refuse changes that a page of another origin asks a browser to make. Raises ProblemError (403)."""
    if origin is not None and method not in SAFE_METHODS and urlsplit(origin).netloc.lower() != host.lower():
        raise ProblemError(403, f"a page of another origin ({origin[:80]!r}) may not change anything here")
