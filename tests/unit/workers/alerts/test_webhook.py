"""What becomes of alerts at a webhook, with a real HTTP server at the other end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from structlog.testing import capture_logs

from workers.alerts import webhook
from workers.alerts.evaluation import AlertTransition
from workers.alerts.rules import RULES
from workers.alerts.webhook import Webhook

TOKEN = "T0PS3CRET"  # noqa: S105 - that it stays one is what is tested
CHANGE = AlertTransition(rule=RULES[0], labels=(), firing=True, value=1.0)


@dataclass
class Site:
    """Redirects `/<status>/...` to `target` by that status, and keeps what is posted elsewhere."""

    address: str = ""
    target: str = "/hook"
    posts: list[Any] = field(default_factory=list)
    gets: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = int(first) if (first := self.path.split("/")[1]).isdigit() else 204
            if status == 204:
                found.posts.append((self.headers["Content-Type"], json.loads(body)))
            self.send_response(status)
            self.send_header("Location", found.target)
            self.end_headers()

        def do_GET(self) -> None:
            found.gets.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def deliver(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Any]]:
    """Deliver one alert, and return what is said of it."""
    monkeypatch.setattr(webhook, "PAUSES_SECONDS", (0.01, 0.01))

    def send(url: str) -> list[Any]:
        with capture_logs() as lines:
            hook = Webhook(url, "pool")
            hook._deliver(CHANGE)
        return lines

    return send


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_is_followed_with_the_alert(
    status: int, site: Site, deliver: Callable[[str], list[Any]]
) -> None:
    assert deliver(f"{site.address}/{status}/{TOKEN}") == []
    ((content_type, post),) = site.posts
    assert (content_type, post["alert"], post["status"]) == ("application/json", RULES[0].name, "firing")


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_may_lead_to_a_page_is_no_delivery(
    status: int, site: Site, deliver: Callable[[str], list[Any]]
) -> None:
    site.target = "/login"
    (line,) = deliver(f"{site.address}/{status}/{TOKEN}")
    assert (site.posts, site.gets) == ([], [])
    assert line["event"] == "alert not posted"
    assert line["error"] == f"HTTP status {status}: a redirect, so set CORNERMAN_WEBHOOK_URL to its target"
    assert TOKEN not in str(line)


def test_a_redirect_from_http_to_https_is_followed(site: Site, deliver: Callable[[str], list[Any]]) -> None:
    site.target = f"{site.address.replace('http:', 'https:')}/301/{TOKEN}"
    (line,) = deliver(f"{site.address}/301/{TOKEN}")
    assert line["error"] == "URLError", "it is tried, and this server speaks no TLS"


def test_a_redirect_that_never_ends_is_no_delivery(site: Site, deliver: Callable[[str], list[Any]]) -> None:
    site.target = f"/307/{TOKEN}"
    (line,) = deliver(f"{site.address}/307/{TOKEN}")
    assert line["event"] == "alert not posted"


@pytest.mark.parametrize("status", [404, 500])
def test_a_refusal_is_said_with_its_status(status: int, site: Site, deliver: Callable[[str], list[Any]]) -> None:
    (line,) = deliver(f"{site.address}/{status}/{TOKEN}")
    assert line["error"] == f"HTTP status {status}"
