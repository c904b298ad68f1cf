"""The HTTP protocol of a connection, with limits on slow clients that uvicorn leaves out."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 32_768
_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which ends connections whose request head comes too slowly or is too long, and slow readers.

    uvicorn limits only the time between two requests. A client that connects and says nothing, or sends half a head,
    would keep its connection for ever, as would one that never reads a response.
    """

    def __init__(self, *args: Any, header_seconds: float, stall_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_seconds = header_seconds
        self._stall_seconds = stall_seconds
        self._stall_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head until it is complete."""
        in_head = self._head_timer is not None
        if not in_head and self.cycle is not None and self.cycle.response_complete:
            self._await_head()  # a further request over the same connection
            in_head = True
        rest_of_body = self.cycle is not None and self.cycle.response_complete and self.cycle.more_body
        super().data_received(data)
        if in_head and self._head_timer is not None and not rest_of_body:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_LONG)

    def on_headers_complete(self) -> None:
        """End the time of the head; refuse one that is too long although it came at once."""
        self._stop_timer()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse(_LONG)
        else:
            super().on_headers_complete()

    def pause_writing(self) -> None:
        """Start the time in which the reader must take what waits for it."""
        super().pause_writing()
        self._stall_timer = asyncio.get_running_loop().call_later(self._stall_seconds, self._cut_off)

    def resume_writing(self) -> None:
        """End that time."""
        self._stop_stall_timer()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also if its reader never takes the last response."""
        super().timeout_keep_alive_handler()
        self._stall_timer = asyncio.get_running_loop().call_later(self._stall_seconds, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._stop_timer()
        self._head_bytes = 0
        self._head_timer = asyncio.get_running_loop().call_later(self._header_seconds, self._refuse, _SLOW)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _cut_off(self) -> None:
        structlog.get_logger("gateway").warning("slow reader cut off", client=self.client, seconds=self._stall_seconds)
        self.transport.abort()

    def _refuse(self, response: bytes) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self.transport.write(response)
            self.transport.close()


def limited_protocol(header_seconds: float, stall_seconds: float) -> Any:
    """Return the protocol factory for `uvicorn.Config(http=...)`."""
    return partial(LimitedProtocol, header_seconds=header_seconds, stall_seconds=stall_seconds)
