"""The cookies of the pages."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

SESSION_COOKIE = "cornerman-session"
"""Holds the secret of a session (`ledger.operations.sessions`); no script and no other site can read it."""
_SECURE_PREFIX = "__Host-"


def name_of_cookie(name: str, *, tls: bool) -> str:
    """Return the name of a cookie; over TLS with the prefix that binds it to this host and to TLS."""
    return f"{_SECURE_PREFIX}{name}" if tls else name


def session_secret(cookies: str, *, tls: bool) -> str | None:
    """Return the secret of the session in a `Cookie` header, None if there is none."""
    try:
        found = SimpleCookie(cookies).get(name_of_cookie(SESSION_COOKIE, tls=tls))
    except CookieError:
        return None
    return found.value or None if found is not None else None
