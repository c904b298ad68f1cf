"""Login with a token, and logout."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect, Response

from gateway.pages.forms import FormData, form_route, session_cookie, session_secret
from gateway.pages.rendering import own_path, redirect, render
from ledger.operations.sessions import SESSION_SECONDS
from producer.async_client import AsyncClient

NextPath = Annotated[str, QueryParameter(name="next", max_length=2000)]


@get("/login", include_in_schema=False)
async def get_login(request: Request[Any, Any, Any], next_path: NextPath = "/") -> Response[bytes]:
    """Return the page that asks for a token."""
    return _form(request, next_path)


@post("/login", **form_route())
async def post_login(
    request: Request[Any, Any, Any], client: NamedDependency[AsyncClient], data: FormData
) -> Response[Any]:
    """Open a session for a token, and lead to the page that was asked for."""
    next_path = own_path(data.get("next", "/"))
    secret = await client.ledger.sessions.open(data.get("token", "").strip())
    if secret is None:
        refused = "This token is not valid: it is unknown, has expired or was revoked. Copy all of it."
        return _form(request, next_path, refused=refused, status=401)
    before = session_secret(request)
    if before is not None:
        await client.ledger.sessions.close(before)
    return redirect(next_path, cookies=[session_cookie(request, secret, round(SESSION_SECONDS))])


@post("/logout", **form_route())
async def post_logout(request: Request[Any, Any, Any], client: NamedDependency[AsyncClient]) -> Redirect:
    """End the session, at every gateway."""
    secret = session_secret(request)
    if secret is not None:
        await client.ledger.sessions.close(secret)
    return redirect("/login", cookies=[session_cookie(request, "", 0)])


def _form(
    request: Request[Any, Any, Any], next_path: str, *, refused: str | None = None, status: int = 200
) -> Response[bytes]:
    return render(
        request,
        "login.html",
        section="login",
        status=status,
        next=own_path(next_path),
        refused=refused,
        session_seconds=SESSION_SECONDS,
    )


ROUTES = (get_login, post_login, post_logout)
