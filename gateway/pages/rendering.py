"""Rendering of a page: its template, the frame around it, its cookies and its compression."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request
from litestar.datastructures import Cookie
from litestar.response import Redirect, Response
from msgspec import Struct

from gateway.pages.filters import FILTERS
from gateway.pages.forms import TOKEN_FIELD, FormTokens, session_secret
from gateway.pages.static_files import accepts_gzip, static_address
from gateway.security.caller import Caller, Role

THEMES = ("system", "light", "dark")
THEME_COOKIE = "cornerman-theme"
HTML = "text/html"
NAVIGATION = (
    ("cards", "/", "Cards", Role.READER),
    ("record", "/record", "Record", Role.READER),
    ("bets", "/bets", "Bets", Role.READER),
    ("operations", "/operations", "Operations", Role.OPERATOR),
)
"""Entries of the main navigation: name of the section, address, words, and the least role that sees it."""
_COMPRESSION_LEVEL = 5
_MIN_COMPRESSED_BYTES = 1_000


class Live(Struct, frozen=True, kw_only=True):
    """What a page follows after it was loaded, to load itself again (`static/pages.js`).

    Its parts that may change are elements with an id and the attribute `data-live`.

    Attributes
    ----------
    place
        Place in the stream of outcomes up to which the page is current.
    kinds
        Kinds of jobs whose outcomes may change it; empty for any.
    card
        Only outcomes of this card, and failures, whose card is not known.
    seconds
        Also load it again at this interval, for figures that no outcome announces; 0 for never.
    """

    place: str
    kinds: tuple[str, ...] = ()
    card: str = ""
    seconds: int = 0
    address: str = "/v1/outcomes/events"


environment = Environment(
    loader=PackageLoader("gateway.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters.update(FILTERS)
environment.globals.update(static_address=static_address, TOKEN_FIELD=TOKEN_FIELD, THEMES=THEMES, NAVIGATION=NAVIGATION)


def render(
    request: Request[Any, Any, Any],
    template: str,
    *,
    section: str = "",
    live: Live | None = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
    cookies: list[Cookie] | None = None,
    **values: Any,
) -> Response[bytes]:
    """Return a page.

    Parameters
    ----------
    request
        The request that it answers.
    template
        Name of a file in `templates`. Besides `values` it gets `caller` (None if unknown), `theme`, `path` (with the
        query), `form_token`, `has_session`, `now`, `section` and `live`.
    section
        Name of the entry of the navigation that the page belongs to.
    live
        What the page follows; None for a page that does not change.
    status, headers, cookies
        Of the response.
    **values
        What the template shows.
    """
    tokens = FormTokens(request)
    caller = request.scope.get("user")
    page = environment.get_template(template).render(
        caller=caller,
        theme=theme_of(request),
        path=path_of(request),
        form_token=tokens.token,
        now=datetime.now(UTC),
        has_session=caller is not None and session_secret(request) is not None,
        section=section,
        live=live,
        **values,
    )
    set_cookies = [*(cookies or []), *([tokens.new_cookie] if tokens.new_cookie else [])]
    body = page.encode()
    all_headers = {"Vary": "Accept-Encoding, Cookie", **(headers or {})}
    if len(body) >= _MIN_COMPRESSED_BYTES and accepts_gzip(request):
        body = gzip.compress(body, _COMPRESSION_LEVEL, mtime=0)
        all_headers["Content-Encoding"] = "gzip"
    return Response(body, status_code=status, headers=all_headers, cookies=set_cookies, media_type=HTML)


def redirect(path: str, *, cookies: list[Cookie] | None = None) -> Redirect:
    """Return the answer to a form that has done its work: the browser gets `path` next."""
    return Redirect(path, status_code=303, cookies=cookies)


def theme_of(request: Request[Any, Any, Any]) -> str:
    """Return the theme that the reader has chosen; `system` for none."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "system"


def path_of(request: Request[Any, Any, Any]) -> str:
    """Return the path of a request as it was sent, with its query."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    query = request.scope.get("query_string") or b""
    text = raw.decode("latin-1").partition("?")[0]
    return f"{text}?{query.decode('latin-1')}" if query else text


def own_path(text: str, default: str = "/") -> str:
    """Return a path of this gateway that a form or a query names; `default` for anything that leads elsewhere."""
    # A browser takes `//host` and `/\\host` for another host, and drops line ends and tabs from an address.
    safe = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isascii() and text.isprintable()
    return text if safe else default


def may(caller: Caller | None, role: Role) -> bool:
    """Return True if a caller has at least a role."""
    return caller is not None and caller.may(role)


environment.globals.update(may=may, Role=Role)
