"""Protection of forms against pages elsewhere (CSRF), next to the check of the request's origin.

Each form contains a token that only pages of this gateway can know: a random number and its HMAC under a secret in a
cookie of the browser, that of the session or, before a login, one for forms alone. The token differs in each page, so
that a compressed page does not reveal it. Nothing is stored, so that any gateway accepts the forms of any other.
"""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import Annotated, Any

from litestar import Request
from litestar.datastructures import Cookie
from litestar.enums import RequestEncodingType
from litestar.exceptions import PermissionDeniedException
from litestar.params import Body

from gateway.problems import ProblemError
from gateway.security.caller import Role
from gateway.security.cookies import SESSION_COOKIE, name_of_cookie

TOKEN_FIELD = "form_token"  # noqa: S105 - the name of a field
MAX_FORM_BYTES = 65_536
_FORM_COOKIE = "cornerman-form"
_FORM_MEDIA_TYPE = "application/x-www-form-urlencoded"
_NONCE_BYTES = 12


FormData = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]
"""The fields of a form, as the type of a handler's `data`."""


def form_route(role: Role | None = None) -> dict[str, Any]:
    """Return the arguments of a `@post` that takes a form of a page; `role` is the least role that may send it."""
    return {
        "opt": {"form": True, **({} if role is None else {"role": role})},
        "request_max_body_size": MAX_FORM_BYTES,
        "include_in_schema": False,
    }


def cookie_name(request: Request[Any, Any, Any], name: str) -> str:
    """Return the name of a cookie; over TLS with the prefix that binds it to this host and to TLS."""
    return name_of_cookie(name, tls=request.url.scheme == "https")


def secret_cookie(request: Request[Any, Any, Any], name: str, value: str, *, max_age: int | None = None) -> Cookie:
    """Return a cookie that no script and no other site can use, and no connection without TLS if this one has it."""
    return Cookie(
        key=cookie_name(request, name),
        value=value,
        path="/",
        max_age=max_age,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def session_secret(request: Request[Any, Any, Any]) -> str | None:
    """Return the secret of the session cookie."""
    return request.cookies.get(cookie_name(request, SESSION_COOKIE)) or None


def session_cookie(request: Request[Any, Any, Any], secret: str, max_age: int) -> Cookie:
    """Return the cookie of a session; with an empty secret and an age of 0 the one that removes it."""
    return secret_cookie(request, SESSION_COOKIE, secret, max_age=max_age)


class FormTokens:
    """The token of the forms of one page, and the cookie that it needs.

    Attributes
    ----------
    new_cookie
        The cookie to set with the page, None if the browser has it.
    """

    def __init__(self, request: Request[Any, Any, Any]) -> None:
        secret = _secret_of(request)
        self.new_cookie: Cookie | None = None
        if secret is None:
            secret = secrets.token_urlsafe(32)
            self.new_cookie = secret_cookie(request, _FORM_COOKIE, secret)
        nonce = secrets.token_hex(_NONCE_BYTES)
        self.token = f"{nonce}.{_signature(secret, nonce)}"


async def check_form(request: Request[Any, Any, Any]) -> None:
    """Refuse a form that does not come from a page of this gateway in this browser.

    Raises
    ------
    ProblemError
        The body is not a form (415).
    PermissionDeniedException
        The token is missing, or not one for this browser (403).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM_MEDIA_TYPE:
        raise ProblemError(415, f"send the form as {_FORM_MEDIA_TYPE}, not as {media_type[:80] or 'nothing'}")
    secret = _secret_of(request)
    token = str((await request.form()).get(TOKEN_FIELD, ""))
    nonce, _, signature = token.partition(".")
    if secret is None or not hmac.compare_digest(signature.encode(), _signature(secret, nonce).encode()):
        raise PermissionDeniedException(
            "this form belongs to another session, or the browser keeps no cookies: load the page again, then send it"
        )


def _secret_of(request: Request[Any, Any, Any]) -> str | None:
    return session_secret(request) or request.cookies.get(cookie_name(request, _FORM_COOKIE)) or None


def _signature(secret: str, nonce: str) -> str:
    return hmac.new(secret.encode(), b"form:" + nonce.encode(), sha256).hexdigest()
