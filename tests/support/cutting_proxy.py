"""A way to the server that loses a reply: what was asked for is done, and who asked does not hear of it."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress


class CuttingProxy:
    """Passes everything on, but cuts the connection instead of the first reply to a request that holds `marker`."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.marker: bytes | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        asked = b""
        with suppress(OSError), caller, socket.create_connection(self._server) as server:
            while True:
                for ready in select.select([caller, server], [], [])[0]:
                    data = ready.recv(2**20)
                    if not data:
                        return
                    if ready is caller:
                        asked = data
                        server.sendall(data)
                    elif self.marker is not None and self.marker in asked:
                        self.marker = None
                        self.cuts += 1
                        return
                    else:
                        caller.sendall(data)
