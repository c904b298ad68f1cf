"""What tests of alerts look at: the log of a pool, and the other end of its webhook."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from workers.alerts.rules import RULES

TOKEN = "T0PS3CRET"  # noqa: S105 - that it stays one is what is tested

SEEN_BY_PROMETHEUS = ["PoolDown"]
"""What no pool can tell of itself."""

STATUS = {"alert fires": "firing", "alert resolved": "resolved"}


class Receiver:
    """A webhook's other end: keeps what is posted, and refuses the first."""

    def __init__(self) -> None:
        self.posts: list[Any] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            refused = False

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not Handler.refused:
                    Handler.refused = True
                    self.send_error(503)
                    return
                receiver.posts.append(body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/hooks/{TOKEN}"


@dataclass
class Alarm:
    """The alerts of a pool, as its log and its webhook tell of them. What was said last of an alert counts."""

    log: Path
    receiver: Receiver
    until: Callable[..., None]

    def lines(self) -> list[dict[str, Any]]:
        written = self.log.read_text().rpartition("\n")[0]  # the last line may still be half a line
        return [json.loads(line) for line in written.splitlines() if '"event": "alert ' in line]

    def fires(self, *names: str) -> None:
        self._wait("firing", names)

    def clears(self, *names: str) -> None:
        self._wait("resolved", names)

    def _wait(self, status: str, names: tuple[str, ...]) -> None:
        def missing() -> set[str]:
            logged = {line["alert"]: STATUS[line["event"]] for line in self.lines()}
            posted = {post["alert"]: post["status"] for post in self.receiver.posts}
            return {name for name in names if not logged.get(name) == posted.get(name) == status}

        try:
            self.until(lambda: not missing(), 30.0)
        except AssertionError:
            raise AssertionError(f"not {status}, in the log or at the webhook: {sorted(missing())}") from None


def at_once(**thresholds: float) -> str:
    """The setting under which no alert is pending before it fires, and some have another threshold."""
    return ",".join(f"{rule.name}={thresholds.get(rule.name, rule.threshold):g}/0" for rule in RULES)
