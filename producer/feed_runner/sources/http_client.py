"""One GET request to a provider, with every limit: the whole time, the size, the type; redirects are not followed.

The API key is a parameter of the URL, because the provider takes it nowhere else. So no error of httpx leaves this
module: each becomes a `RetrievalError` of our own words, which names at most the host.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import msgspec

from producer.feed.envelopes import MAX_FEED_BYTES
from producer.feed_runner.budget import Usage
from producer.feed_runner.failures import TRANSIENT, Reason, RetrievalError
from producer.feed_runner.settings import FeedSettings

if TYPE_CHECKING:
    import httpx

MAX_MESSAGE_CHARACTERS = 200
MAX_ERROR_BYTES = 10_000
MAX_RETRY_AFTER_SECONDS = 3600.0
_MAX_WAIT_IN_POLL_SECONDS = 5.0
_GZIP = 16 + zlib.MAX_WBITS


class Answer(NamedTuple):
    """The content of a response, the provider's date, and what it says of the budget."""

    content: bytes
    dated: datetime | None
    usage: Usage


class ProviderClient:
    """Requests to one provider. It belongs to one thread, and is closed there.

    Attributes
    ----------
    unsettled
        Attempts of the last request that the provider may have counted, without a response that says so.
    """

    def __init__(self, settings: FeedSettings, api_key: str) -> None:
        self._settings = settings
        self._key = api_key
        self._host = urlsplit(settings.feed_url).hostname or ""
        self.unsettled = 0
        self._loop = asyncio.Runner()
        self._running: asyncio.Task[Answer] | None = None
        self._client: httpx.AsyncClient | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._loop.run(self._client.aclose())
        self._loop.close()

    def cancel(self) -> None:
        """End a request that another thread is waiting for; it raises `asyncio.CancelledError` there."""
        if (task := self._running) is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)

    def get(self, path: str, parameters: Mapping[str, str]) -> Answer:
        """Return the answer to a request, after several attempts if need be.

        Raises
        ------
        RetrievalError
            There is no answer that can be used.
        """
        self.unsettled = 0
        return self._loop.run(self._attempts(path, parameters))

    async def _attempts(self, path: str, parameters: Mapping[str, str]) -> Answer:
        import stamina

        self._running = asyncio.current_task()
        try:
            async for attempt in stamina.retry_context(
                on=_try_again,
                attempts=self._settings.feed_attempts,
                timeout=None,
                wait_initial=self._settings.feed_retry_seconds,
                wait_jitter=self._settings.feed_retry_seconds,
                wait_max=_MAX_WAIT_IN_POLL_SECONDS,
            ):
                with attempt:
                    return await self._attempt(path, parameters)
        finally:
            self._running = None
        raise AssertionError("stamina makes at least one attempt")

    async def _attempt(self, path: str, parameters: Mapping[str, str]) -> Answer:
        import httpx

        limit = self._settings.feed_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                return await self._request(path, parameters)
        except httpx.ConnectTimeout:
            raise RetrievalError(
                Reason.TIMEOUT,
                f"{self._host} did not accept a connection within {self._settings.feed_connect_seconds:g} s "
                "(CORNERMAN_FEED_CONNECT_SECONDS)",
            ) from None
        except (TimeoutError, httpx.TimeoutException):
            self.unsettled += 1
            raise RetrievalError(
                Reason.TIMEOUT,
                f"{self._host} did not answer in full within {limit:g} s (CORNERMAN_FEED_TIMEOUT_SECONDS)",
            ) from None
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            self.unsettled += 1
            raise RetrievalError(
                Reason.HALF_BODY, f"{self._host} ended its response too early ({type(error).__name__})"
            ) from None
        except httpx.HTTPError as error:
            raise RetrievalError(
                Reason.CONNECTION,
                f"{self._host} cannot be reached ({type(error).__name__}): check the network and CORNERMAN_FEED_URL",
            ) from None

    async def _request(self, path: str, parameters: Mapping[str, str]) -> Answer:
        import httpx

        if self._client is None:
            timeout = httpx.Timeout(self._settings.feed_timeout_seconds, connect=self._settings.feed_connect_seconds)
            # A proxy of the environment must not see the key, which it does not with https.
            trusts = self._settings.feed_url.startswith("https:")
            self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=trusts)
        url = self._settings.feed_url.rstrip("/") + path
        headers = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "cornerman"}
        async with self._client.stream(
            "GET", url, params={**parameters, "apiKey": self._key}, headers=headers
        ) as reply:
            usage = Usage.from_headers(reply.headers)
            limit = MAX_FEED_BYTES if reply.status_code == 200 else MAX_ERROR_BYTES
            try:
                content = await _body(reply, limit)
            except RetrievalError as error:
                if reply.status_code == 200:
                    self.unsettled += usage.last is None
                    error.usage = usage
                    raise
                content = b""
            if reply.status_code != 200:
                raise self._refusal(reply, content, usage)
            kind = reply.headers.get("content-type", "").partition(";")[0].strip().casefold()
            if kind != "application/json":
                found = repr(kind[:60]) if kind else "no content type"
                raise RetrievalError(
                    Reason.CONTENT_TYPE,
                    f"{self._host} answered with {found} in place of application/json: is a proxy in between?",
                    usage=usage,
                )
            return Answer(content, _dated(reply.headers), usage)

    def _refusal(self, reply: httpx.Response, content: bytes, usage: Usage) -> RetrievalError:
        status = reply.status_code
        code, said = _error_document(content)
        quoted = f" ({self._clean(f'{code}: {said}' if code else said)})" if code or said else ""
        if code == "OUT_OF_USAGE_CREDITS":
            used_up = msgspec.structs.replace(usage, remaining=0)
            return RetrievalError(
                Reason.OUT_OF_CREDITS,
                f"the credits of this month are used up{quoted}: buy more, or wait until the provider counts from 0",
                usage=used_up,
            )
        if status == 401 or code in ("INVALID_KEY", "MISSING_KEY", "DEACTIVATED_KEY"):
            return RetrievalError(
                Reason.UNAUTHORIZED,
                f"{self._host} does not accept the API key{quoted}: correct CORNERMAN_FEED_API_KEY and restart",
                usage=usage,
            )
        if status == 429:
            wait = _retry_after(reply.headers)
            return RetrievalError(
                Reason.RATE_LIMITED,
                f"{self._host} gets too many requests{quoted}: poll less often, or end what else uses this key",
                retry_after_seconds=wait,
                usage=usage,
            )
        if status in (400, 422):
            return RetrievalError(
                Reason.INVALID_PARAMETER,
                f"{self._host} does not accept a parameter{quoted}: check CORNERMAN_FEED_SPORT, _REGIONS, _BOOKMAKERS",
                usage=usage,
            )
        if status == 404:
            return RetrievalError(
                Reason.NOT_FOUND,
                f"{self._host} does not know this path{quoted}: check CORNERMAN_FEED_URL and CORNERMAN_FEED_SPORT",
                usage=usage,
            )
        if 300 <= status < 400:
            target = urlsplit(reply.headers.get("location", "")).hostname or "elsewhere"
            return RetrievalError(
                Reason.REDIRECT,
                f"{self._host} redirects to {self._clean(target)}, which is not followed because the key would go "
                "there: correct CORNERMAN_FEED_URL",
                usage=usage,
            )
        if status >= 500:
            return RetrievalError(Reason.SERVER_ERROR, f"{self._host} answered with status {status}", usage=usage)
        return RetrievalError(
            Reason.UNEXPECTED_STATUS, f"{self._host} answered with status {status}{quoted}", usage=usage
        )

    def _clean(self, text: str) -> str:
        """Return a foreign text for a message: short, printable and without the key."""
        shown = text.replace(self._key, "***")[:MAX_MESSAGE_CHARACTERS]
        return "".join(character if character.isprintable() else " " for character in shown)


def _try_again(error: Exception) -> bool | float:
    if not isinstance(error, RetrievalError):
        return False
    wait = error.retry_after_seconds
    if error.reason is Reason.RATE_LIMITED and wait is not None and wait <= _MAX_WAIT_IN_POLL_SECONDS:
        return wait
    return error.reason in TRANSIENT


async def _body(reply: httpx.Response, limit: int) -> bytes:
    """Return the body, which is never larger than the limit, however well it is compressed."""
    coding = reply.headers.get("content-encoding", "identity").strip().casefold()
    if coding not in ("identity", "gzip"):
        raise RetrievalError(Reason.CONTENT_TYPE, f"the response is encoded as {coding[:20]!r}, not as gzip")
    unpack = zlib.decompressobj(_GZIP) if coding == "gzip" else None
    found = bytearray()
    async for chunk in reply.aiter_raw():
        try:
            found += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(found))
        except zlib.error:
            raise RetrievalError(Reason.HALF_BODY, "the response is not valid gzip") from None
        if len(found) > limit:
            raise RetrievalError(
                Reason.TOO_LARGE, f"the response has more than {limit:,} bytes: ask for fewer bookmakers or regions"
            )
    if unpack is not None and not unpack.eof:
        raise RetrievalError(Reason.HALF_BODY, "the response ended within its compressed body")
    return bytes(found)


def _error_document(content: bytes) -> tuple[str, str]:
    """Return `error_code` and `message` of a refusal, empty if it has none."""
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    code, message = document.get("error_code"), document.get("message")
    return (code if isinstance(code, str) else "", message if isinstance(message, str) else "")


def _dated(headers: Mapping[str, str]) -> datetime | None:
    """Return when the provider made the response: its date, less the time that it lay in a cache."""
    try:
        moment = parsedate_to_datetime(headers["date"]).astimezone(UTC)
        age = float(headers.get("age", "0"))
        return moment - timedelta(seconds=age) if 0 <= age < 86_400 else moment
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`, a number or a date, at most an hour."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = (
            float(text)
            if text[:1].isdigit()
            else (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(0.0, seconds), MAX_RETRY_AFTER_SECONDS)
