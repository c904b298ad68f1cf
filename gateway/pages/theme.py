"""The choice of colours, kept in a cookie, so that it needs no script."""

from __future__ import annotations

from typing import Any

from litestar import Request, post
from litestar.datastructures import Cookie
from litestar.response import Redirect

from gateway.pages.forms import FormData, form_route
from gateway.pages.rendering import THEME_COOKIE, THEMES, own_path, redirect
from gateway.problems import ProblemError

_YEAR_SECONDS = 365 * 86_400


@post("/theme", **form_route())
async def post_theme(request: Request[Any, Any, Any], data: FormData) -> Redirect:
    """Keep the reader's choice of a theme, and lead back to the page of the form. Raises ProblemError (422)."""
    theme = data.get("theme", "")
    if theme not in THEMES:
        raise ProblemError(422, f"there is no theme {theme[:40]!r}: choose {', '.join(THEMES)}")
    cookie = Cookie(
        key=THEME_COOKIE,
        value=theme,
        path="/",
        max_age=_YEAR_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return redirect(own_path(data.get("next", "/")), cookies=[cookie])


ROUTES = (post_theme,)
