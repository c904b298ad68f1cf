"""Errors as pages, for browsers: what was wrong, and what to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from litestar import Request
from litestar.response import Response

from gateway.pages.rendering import path_of, redirect, render
from gateway.problems import Problem

API_PATHS = ("/v1/", "/static/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json", "/schemas/")
REMEDIES = {
    401: "Log in again, then send the form once more.",
    403: "Log in with a token of a higher role, or go back, load the page again and send the form once more.",
    404: "Check the address, or start from the first page. Jobs and cards are removed at the end of the retention.",
    410: "Its retention is over; only its id is still known.",
    429: "Wait a little, then load the page again.",
    500: "This is a fault of the gateway. Its log has the reason under the request id below.",
    502: "A newer version wrote this record: update the gateway.",
    503: "The ledger cannot be reached now. Load the page again in a moment; nothing is lost.",
}
DEFAULT_REMEDY = "Go back, correct what the message names, and send it again."


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """Return True if an error is to be shown to a person: a browser asks, and not for the interface of programs."""
    accepted = request.headers.get("accept", "")
    return "text/html" in accepted and not request.scope["path"].startswith(API_PATHS)


def error_page(request: Request[Any, Any, Any], problem: Problem, headers: dict[str, str]) -> Response[Any]:
    """Return the page of an error; without a session, the way to the login."""
    if problem.status == 401 and request.method == "GET":
        return redirect(f"/login?{urlencode({'next': path_of(request)})}")
    remedy = REMEDIES.get(problem.status, DEFAULT_REMEDY)
    return render(
        request, "error.html", section="error", status=problem.status, headers=headers, problem=problem, remedy=remedy
    )
