"""A way to a server that can be shut for its callers, for its replicas and sentinels, or for all of them."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from typing import Self

POLL_SECONDS = 0.02


class PartitionProxy:
    """Passes everything on between `port` and a server, except to those that `cut_off` names.

    As in a network that drops packets, connections stay open and nothing arrives; what was sent arrives after `heal`.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._cut: frozenset[str] = frozenset()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def cut_off(self, *kinds: str) -> None:
        """Pass on nothing of the connections of these kinds: "callers", "peers" (replicas and sentinels)."""
        self._cut = frozenset(kinds)

    def heal(self) -> None:
        """Pass on everything again."""
        self._cut = frozenset()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        kind = "callers"
        asked = b""
        with suppress(OSError), caller, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            while True:
                ready, _, _ = select.select([caller, server], [], [], None if not self._cut else POLL_SECONDS)
                for source in ready:
                    if len(asked) < 1024 and source is caller:
                        asked += caller.recv(1024, socket.MSG_PEEK)
                        if b"sentinel-" in asked or b"replconf" in asked.lower():
                            kind = "peers"
                    if kind in self._cut:
                        threading.Event().wait(POLL_SECONDS)
                        continue
                    data = source.recv(2**16)
                    if not data:
                        return
                    (server if source is caller else caller).sendall(data)
