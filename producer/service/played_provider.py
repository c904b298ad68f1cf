"""A provider of odds on this machine, which plays a season in the dialect of The Odds API v4.

It has the routes `/v4/sports/mma_mixed_martial_arts/odds`, `/events` and `/scores`, and
`/v4/historical/sports/mma_mixed_martial_arts/odds`, an API key, a budget in the response headers, and faults on
request. Every request is kept in `requests`, so that a test can hold what readers have against what was played.

    python -m producer.service.played_provider season.json --minutes 3

References
----------
The Odds API, "V4 documentation" and "API error codes", https://the-odds-api.com/liveapi/guides/v4/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from producer.service.played_season import SPORT, PlayedSeason, zulu

DEMO_KEY = "played-season-key"
CREDITS = 1_000_000
HISTORICAL_COST = 10
SNAPSHOT_SECONDS = 1.0
"""Time between two snapshots of the historical odds."""
MAX_DAYS_FROM = 3
SILENT_SECONDS = 600.0
EVENTS_PATH, ODDS_PATH, SCORES_PATH = (f"/v4/sports/{SPORT}/{name}" for name in ("events", "odds", "scores"))
PAST_ODDS_PATH = f"/v4/historical/sports/{SPORT}/odds"


class ProviderFault(StrEnum):
    """What can go wrong with one request."""

    KEY_REFUSED = "key refused (401)"
    UNPROCESSABLE = "parameters refused (422)"
    TOO_MANY = "too many requests (429)"
    SERVER_ERROR = "server error (500)"
    UNAVAILABLE = "unavailable (503)"
    HALF_BODY = "half a body, then cut"
    NOT_JSON = "a page of HTML with status 200"
    CUT = "connection cut before the reply"
    SILENT = "no reply at all"


_REPLIES: dict[ProviderFault, tuple[HTTPStatus, str, str]] = {
    ProviderFault.KEY_REFUSED: (HTTPStatus.UNAUTHORIZED, "INVALID_KEY", "API key is not valid"),
    ProviderFault.UNPROCESSABLE: (HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_MARKET", "Invalid markets"),
    ProviderFault.TOO_MANY: (HTTPStatus.TOO_MANY_REQUESTS, "EXCEEDED_FREQ_LIMIT", "Requests are too frequent"),
    ProviderFault.SERVER_ERROR: (HTTPStatus.INTERNAL_SERVER_ERROR, "", "Internal server error"),
    ProviderFault.UNAVAILABLE: (HTTPStatus.SERVICE_UNAVAILABLE, "", "Service unavailable"),
}


@dataclass(frozen=True)
class PlayedRequest:
    """A request as it was answered.

    Attributes
    ----------
    moment
        The moment of the season that was shown, in seconds since 1970.
    path
        The path without parameters: the key is nowhere kept.
    status
        The status, 0 if none was sent.
    sha256
        Digest of the body that was sent whole, empty otherwise.
    fault
        What was made to go wrong.
    """

    moment: float
    path: str
    status: int
    sha256: str = ""
    fault: ProviderFault | None = None


class _RefusedError(Exception):
    """A request that the provider refuses, with the error code of its documentation."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def _unprocessable(code: str, message: str) -> _RefusedError:
    return _RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, code, message)


class PlayedProvider:
    """A context manager: a server on a free port of this machine, in threads of this process.

    Parameters
    ----------
    season
        What is played.
    port
        Port of 127.0.0.1; 0 for a free one.
    key
        The API key that requests must give.
    credits_left
        The budget. Requests beyond it are refused.
    """

    def __init__(
        self, season: PlayedSeason, port: int = 0, *, key: str = DEMO_KEY, credits_left: int = CREDITS
    ) -> None:
        self.season = season
        self.requests: list[PlayedRequest] = []
        self._key = key
        self._credits, self._used = credits_left, 0
        self._faults: deque[ProviderFault] = deque()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", port), type("_Bound", (_Handler,), {"provider": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, name="played provider", daemon=True)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the server and what is still silent."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Address of the provider, without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def break_next(self, fault: ProviderFault, times: int = 1) -> None:
        """Make the next requests go wrong."""
        with self._lock:
            self._faults.extend([fault] * times)

    def heal(self) -> None:
        """Forget the faults that no request has met yet."""
        with self._lock:
            self._faults.clear()

    def next_fault(self) -> ProviderFault | None:
        """Return what is to go wrong with this request."""
        with self._lock:
            return self._faults.popleft() if self._faults else None

    def note(self, request: PlayedRequest) -> None:
        """Keep a request."""
        with self._lock:
            self.requests.append(request)

    def wait_silently(self) -> None:
        """Wait until the end of the server, or for longer than any reader has patience."""
        self._over.wait(SILENT_SECONDS)

    def answer(self, path: str, given: Mapping[str, str], moment: float) -> tuple[Any, dict[str, str]]:
        """Return the content of a reply and its headers. Raises _RefusedError."""
        self._check_key(given)
        if path == EVENTS_PATH:
            return self.season.events(moment), self._spend(0)
        if path == SCORES_PATH:
            days = _days_from(given)
            return self.season.scores(moment, days), self._spend(1 if days is None else 2)
        if path not in (ODDS_PATH, PAST_ODDS_PATH):
            raise _RefusedError(HTTPStatus.NOT_FOUND, "UNKNOWN_SPORT", f"Unknown path {path}; the sport is {SPORT}")
        cost = _cost(given)
        decimal = _decimal(given)
        if path == ODDS_PATH:
            events = self.season.odds(moment, decimal=decimal)
            return events, self._spend(cost if events else 0)
        at = min(_date(given), moment) // SNAPSHOT_SECONDS * SNAPSHOT_SECONDS
        content = {
            "timestamp": zulu(at),
            "previous_timestamp": zulu(at - SNAPSHOT_SECONDS),
            "next_timestamp": zulu(at + SNAPSHOT_SECONDS),
            "data": self.season.odds(at, decimal=decimal),
        }
        return content, self._spend(HISTORICAL_COST * cost if content["data"] else 0)

    def _check_key(self, given: Mapping[str, str]) -> None:
        if "apiKey" not in given:
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, "MISSING_KEY", "API key is missing")
        if given["apiKey"] != self._key:
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, "INVALID_KEY", "API key is not valid")

    def _spend(self, cost: int) -> dict[str, str]:
        with self._lock:
            if cost > self._credits:
                raise _RefusedError(HTTPStatus.UNAUTHORIZED, "OUT_OF_USAGE_CREDITS", "Usage quota has been reached")
            self._credits -= cost
            self._used += cost
            return {
                "x-requests-remaining": str(self._credits),
                "x-requests-used": str(self._used),
                "x-requests-last": str(cost),
            }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Print nothing: readers are killed while they read."""


class _Handler(BaseHTTPRequestHandler):
    provider: PlayedProvider
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer one request."""
        url = urlsplit(self.path)
        path = url.path.rstrip("/")
        given = {name: values[-1] for name, values in parse_qs(url.query).items()}
        fault, moment = self.provider.next_fault(), time.time()
        if fault in (ProviderFault.CUT, ProviderFault.SILENT):
            self.provider.note(PlayedRequest(moment, path, 0, fault=fault))
            if fault is ProviderFault.SILENT:
                self.provider.wait_silently()
            self.close_connection = True
            return
        try:
            if fault in _REPLIES:
                raise _RefusedError(*_REPLIES[fault])
            content, headers = self.provider.answer(path, given, moment)
            status, body = HTTPStatus.OK, json.dumps(content).encode()
        except _RefusedError as refusal:
            details = {"error_code": refusal.code} if refusal.code else {}
            status, headers = refusal.status, {"Retry-After": "1"} if refusal.status == 429 else {}
            body = json.dumps({"message": refusal.message, **details}).encode()
        if fault is ProviderFault.NOT_JSON:
            body = b"<!doctype html><title>Just a moment</title>"
        sent = body[: len(body) // 2] if fault is ProviderFault.HALF_BODY else body
        whole = status == HTTPStatus.OK and fault is None
        # Noted before it is sent: a reader may have acted on it before this thread goes on.
        digest = hashlib.sha256(body).hexdigest() if whole else ""
        self.provider.note(PlayedRequest(moment, path, status.value, digest, fault))
        with suppress(ConnectionError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(sent)
        self.close_connection = self.close_connection or len(sent) < len(body)

    def log_message(self, *_: object) -> None:
        """Write no log: a request line holds the key."""


def _cost(given: Mapping[str, str]) -> int:
    """Return what odds cost: markets times regions, a group of ten bookmakers being one region."""
    markets = [market for market in given.get("markets", "h2h").split(",") if market]
    if unknown := [market for market in markets if market != "h2h"]:
        raise _unprocessable("INVALID_MARKET", f"Invalid markets: {', '.join(unknown)}")
    regions = [region for region in given.get("regions", "").split(",") if region]
    bookmakers = [name for name in given.get("bookmakers", "").split(",") if name]
    if not regions and not bookmakers:
        raise _unprocessable("MISSING_REGION", "Missing parameter: regions or bookmakers")
    return len(markets) * (-(-len(bookmakers) // 10) if bookmakers else len(regions))


def _decimal(given: Mapping[str, str]) -> bool:
    notation = given.get("oddsFormat", "decimal")
    if notation not in ("decimal", "american"):
        raise _unprocessable("INVALID_ODDS_FORMAT", f"Invalid oddsFormat {notation}")
    return notation == "decimal"


def _days_from(given: Mapping[str, str]) -> int | None:
    days = given.get("daysFrom")
    if days is None:
        return None
    if not days.isascii() or not days.isdecimal() or not 1 <= int(days) <= MAX_DAYS_FROM:
        raise _unprocessable("INVALID_SCORES_DAYS_FROM", f"daysFrom must be 1 to {MAX_DAYS_FROM}")
    return int(days)


def _date(given: Mapping[str, str]) -> float:
    try:
        moment = datetime.fromisoformat(given.get("date", ""))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _unprocessable("INVALID_HISTORICAL_TIMESTAMP", "date must be like 2026-08-22T21:15:00Z")
    return moment.timestamp()


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a season until it is over."""
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m producer.service.played_provider", description=summary)
    parser.add_argument("season", type=Path, help="season.json of python -m engine.simulation.season")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the season takes (default: %(default)g)")
    parser.add_argument("--key", default=DEMO_KEY, help="the API key (default: %(default)s)")
    options = parser.parse_args(arguments)
    length_seconds = float(json.loads(options.season.read_bytes())["length_seconds"])
    season = PlayedSeason.from_file(options.season, time.time(), length_seconds / (60.0 * options.minutes))
    with PlayedProvider(season, options.port, key=options.key) as provider:
        sys.stdout.write(f"{provider.url}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            time.sleep(max(0.0, season.ends - time.time()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
