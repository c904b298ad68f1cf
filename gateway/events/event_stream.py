"""Server-sent events: their encoding, and a response that sends them to one reader.

The format is that of the HTML standard (section 9.2, server-sent events).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from litestar.response.base import ASGIResponse

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": heartbeat\n\n"
RETRY_MS = 2000
"""How long a browser waits before it connects again."""
_HEAD = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]


def encode_event(event: str, data: Any, event_id: str | None = None) -> bytes:
    """Encode an event whose data is JSON: one line, as JSON has no raw line breaks."""
    identity = b"" if event_id is None else b"id: " + event_id.encode() + b"\n"
    return identity + b"event: " + event.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


class EventStream(ASGIResponse):
    """A response that sends chunks of events until they end or the reader leaves.

    A reader that takes no bytes is cut off by the connection (`gateway.server.protocol`).

    Parameters
    ----------
    chunks
        Encoded events, one or several a chunk.
    """

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(media_type="text/event-stream")
        self._chunks = chunks

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the events."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
        watch = asyncio.create_task(_cancel_when_gone(receive, asyncio.current_task()))
        try:
            await send(_part(f"retry: {RETRY_MS}\n\n".encode()))
            async for chunk in self._chunks:
                await send(_part(chunk))
            await send({"type": "http.response.body", "body": b""})
        except asyncio.CancelledError:
            if not watch.done():  # the server ends, and not the reader
                raise
        finally:
            watch.cancel()
            await self._chunks.aclose()


def _part(chunk: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": chunk, "more_body": True}


async def _cancel_when_gone(receive: Any, reading: asyncio.Task[Any] | None) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if reading is not None:
        reading.cancel()
