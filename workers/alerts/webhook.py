"""Alerts posted as JSON to an operator's URL, by a thread of its own: evaluation never waits for the network."""

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

from workers.alerts.evaluation import AlertTransition

TIMEOUT_SECONDS = 5.0
PAUSES_SECONDS = (1.0, 10.0)  # between attempts; after the last one the alert is dropped
MAX_WAITING = 100


class Webhook:
    """The poster of alert transitions, one after the other. Without a URL it does nothing."""

    def __init__(self, url: str, pool_name: str) -> None:
        self._url = url
        self._pool_name = pool_name
        self._waiting: queue.Queue[AlertTransition] = queue.Queue(MAX_WAITING)
        self._log = structlog.get_logger("cornerman.alerts")
        self._opener = urllib.request.build_opener(_Redirects)

    def start(self) -> None:
        """Start the thread, which runs until the process ends."""
        if self._url:
            threading.Thread(target=self._run, name="webhook", daemon=True).start()

    def post(self, change: AlertTransition) -> None:
        """Queue a transition for posting; drop it, with a line in the log, if too many wait already."""
        if not self._url:
            return
        try:
            self._waiting.put_nowait(change)
        except queue.Full:
            self._log.warning("alert not posted: too many wait", alert=change.rule.name)

    def body(self, change: AlertTransition) -> bytes:
        """Return the body to post."""
        status = "firing" if change.firing else "resolved"
        return msgspec.json.encode({"status": status, "pool": self._pool_name, **change.fields()})

    def _run(self) -> None:
        while True:
            self._deliver(self._waiting.get())

    def _deliver(self, change: AlertTransition) -> None:
        for pause_seconds in (*PAUSES_SECONDS, None):
            try:
                self._send(self.body(change))
            except Exception as error:  # noqa: BLE001 - any error of the other side; this thread goes on
                # The URL may contain a token in its path, and the error the URL: only the host is logged.
                fields = {"alert": change.rule.name, "host": urlsplit(self._url).hostname, "error": _reason(error)}
                if pause_seconds is None:
                    self._log.warning("alert not posted", **fields)
                    return
                time.sleep(pause_seconds)
            else:
                return

    def _send(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - the settings allow http and https only
        with self._opener.open(request, timeout=TIMEOUT_SECONDS):
            pass


class _Redirects(urllib.request.HTTPRedirectHandler):
    """The redirect policy: post again at the new URL; urllib would only get it, without the alert, and accept the page.

    After 301, 302 and 303 a client may get instead of post, and the new URL may be a login page: these are followed
    from http to https of the same URL only. Never from https to http.
    """

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request to make instead; None ends the post with an error."""
        secure = "https:" + req.full_url.partition(":")[2]
        repeats = code in (HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT)
        if newurl == secure or (repeats and urlsplit(newurl).scheme in ("https", req.type)):
            return urllib.request.Request(newurl, req.data, req.headers)  # noqa: S310 - https, or as before
        return None


def _reason(error: Exception) -> str:
    if not isinstance(error, HTTPError):
        return type(error).__name__
    moved = ": a redirect, so set CORNERMAN_WEBHOOK_URL to its target" if error.code // 100 == 3 else ""
    return f"HTTP status {error.code}{moved}"
