"""HTTP requests over a number of connections that are kept open, sent as fast as the replies come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import uvloop

CONNECTIONS = 32


class Load(NamedTuple):
    """Replies to a number of requests: their bodies in the order of the requests, and the time that all took."""

    bodies: list[bytes]
    seconds: float

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.bodies) / self.seconds


def request_bytes(url: str, method: str, path: str, body: bytes = b"") -> bytes:
    """Return a request as it is sent."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
    if method == "POST":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def run_load(url: str, requests: Sequence[bytes], connections: int = CONNECTIONS) -> Load:
    """Send requests and return the replies. Raises RuntimeError on a reply that is not 2xx."""
    return uvloop.run(_run(url, requests, connections))


async def _run(url: str, requests: Sequence[bytes], connections: int) -> Load:
    bodies: list[bytes] = [b""] * len(requests)
    queue = iter(enumerate(requests))
    started = time.perf_counter()
    await asyncio.gather(*(_send(url, queue, bodies) for _ in range(connections)))
    return Load(bodies, time.perf_counter() - started)


async def _send(url: str, queue: Iterator[tuple[int, bytes]], bodies: list[bytes]) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**20)
    for index, request in queue:
        writer.write(request)
        bodies[index] = await _reply(reader)
    writer.close()


async def _reply(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"http/1.1 2"):
        raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:500].decode()}")
    return body
