"""Alerts as JSON to an address of the operator's. A thread of its own posts them; who tells of one never waits."""

from __future__ import annotations

import queue
import threading
import time
import urllib.request
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import msgspec
import structlog

from workers.alerts.evaluation import Change

TIMEOUT_SECONDS = 5.0
PAUSES_SECONDS = (1.0, 10.0)  # between tries; after the last one it is given up
MOST_WAITING = 100


class Webhook:
    """Posts changes of alerts one after the other. Without an address it does nothing."""

    def __init__(self, url: str, pool_name: str) -> None:
        self._url = url
        self._pool_name = pool_name
        self._waiting: queue.Queue[Change] = queue.Queue(MOST_WAITING)
        self._log = structlog.get_logger("cornerman.alerts")
        self._opener = urllib.request.build_opener(_Redirects)

    def start(self) -> None:
        """Go on for as long as the process lives."""
        if self._url:
            threading.Thread(target=self._run, name="webhook", daemon=True).start()

    def post(self, change: Change) -> None:
        """Have a change posted. Drops it, and says so, where too many wait already."""
        if not self._url:
            return
        try:
            self._waiting.put_nowait(change)
        except queue.Full:
            self._log.warning("alert not posted: too many wait", alert=change.rule.name)

    def body(self, change: Change) -> bytes:
        """Return what is posted."""
        status = "firing" if change.firing else "resolved"
        return msgspec.json.encode({"status": status, "pool": self._pool_name, **change.said()})

    def _run(self) -> None:
        while True:
            self._deliver(self._waiting.get())

    def _deliver(self, change: Change) -> None:
        for pause_seconds in (*PAUSES_SECONDS, None):
            try:
                self._send(self.body(change))
            except Exception as error:  # noqa: BLE001 - whatever is wrong over there, this thread goes on
                # The address may carry a token in its path, and the error the address: only the host is said.
                said = {"alert": change.rule.name, "host": urlsplit(self._url).hostname, "error": _reason(error)}
                if pause_seconds is None:
                    self._log.warning("alert not posted", **said)
                    return
                time.sleep(pause_seconds)
            else:
                return

    def _send(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - the settings let http and https pass
        with self._opener.open(request, timeout=TIMEOUT_SECONDS):
            pass


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Posts again at the new address; urllib would only get it, without the alert, and take the page for an answer.

    After 301, 302 and 303 a client may get instead of post, and what is there may be a page to log in: these are
    followed from http to https of the same address only. Never from https to http.
    """

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request to make instead; None ends it as an error."""
        secure = "https:" + req.full_url.partition(":")[2]
        repeats = code in (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT)
        if newurl == secure or (repeats and urlsplit(newurl).scheme in ("https", req.type)):
            return urllib.request.Request(newurl, req.data, req.headers)  # noqa: S310 - https, or as before
        return None


def _reason(error: Exception) -> str:
    if not isinstance(error, HTTPError):
        return type(error).__name__
    moved = ": it redirects, so set CORNERMAN_WEBHOOK_URL to where it leads" if error.code // 100 == 3 else ""
    return f"HTTP status {error.code}{moved}"
