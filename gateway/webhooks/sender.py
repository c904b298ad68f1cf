"""One attempt: a POST that follows no redirect, ends in time, and reads little of the answer."""

from __future__ import annotations

import asyncio
import ssl
from typing import Self

import httpcore

from gateway.webhooks.checked_network import AddressRefusedError, CheckedNetwork
from gateway.webhooks.retries import Response
from ledger.contracts.failures import JobRefusedError
from ledger.webhooks.targets import check_url

MAX_CONNECTIONS = 500
MAX_IDLE_CONNECTIONS = 50
IDLE_SECONDS = 30.0
MAX_BODY_BYTES = 16_384
"""How much of an answer is read, so that its connection can be used again; a longer one is cut."""
MAX_ERROR_CHARACTERS = 300
_USER_AGENT = "cornerman-webhooks/1"


class Sender:
    """Posts messages; a context manager on the loop that uses it."""

    def __init__(self, allowed: frozenset[str], timeout_seconds: float) -> None:
        self._allowed = allowed
        self._timeout_seconds = timeout_seconds
        self._network = CheckedNetwork(allowed)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=self._network,
        )

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self._pool.aclose()
        self._network.close()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Response:
        """Post a body and return what came of it; this raises nothing."""
        try:
            check_url(url, self._allowed)
            async with asyncio.timeout(self._timeout_seconds):
                return await self._exchange(url, headers, body)
        except JobRefusedError as error:
            return Response(error=_cut(error.failure.message))
        except AddressRefusedError as error:
            return Response(error=_cut(str(error)))
        except (TimeoutError, httpcore.TimeoutException):
            return Response(error=f"no complete answer within {self._timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001 - whatever a receiver provokes is a failed attempt
            return Response(error=_cut(f"{type(error).__name__}: {error}"))

    async def _exchange(self, url: str, headers: dict[str, str], body: bytes) -> Response:
        common = {"content-type": "application/json", "user-agent": _USER_AGENT, "accept": "*/*"}
        fields = [(name, value) for part in (common, headers) for name, value in part.items()]
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_seconds)
        async with self._pool.stream(
            "POST", url, headers=fields, content=body, extensions={"timeout": limits}
        ) as answer:
            text = await _beginning(answer)
        retry_after = next((value for name, value in answer.headers if name.lower() == b"retry-after"), None)
        return Response(
            status=answer.status,
            error="" if 200 <= answer.status < 300 else _error_of(answer.status, text),
            retry_after=None if retry_after is None else retry_after.decode("latin-1"),
        )


async def _beginning(answer: httpcore.Response) -> bytes:
    """Read an answer up to the limit. Its status counts, whatever happens to the rest."""
    read = bytearray()
    try:
        async for chunk in answer.aiter_stream():
            read += chunk
            if len(read) >= MAX_BODY_BYTES:
                break
    except (httpcore.NetworkError, httpcore.ProtocolError):
        pass
    return bytes(read[:MAX_BODY_BYTES])


def _error_of(status: int, body: bytes) -> str:
    text = " ".join(body.decode("utf-8", "replace").split())
    moved = ", a redirect: change the URL of the webhook" if 300 <= status < 400 else ""
    return _cut(f"HTTP {status}{moved}" + (f": {text}" if text else ""))


def _cut(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:MAX_ERROR_CHARACTERS]
