"""TLS before a server that has none."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import SHUT_WR, create_connection, create_server, socket


@contextmanager
def tls_before(address: str, authority: Path) -> Iterator[int]:
    """Put TLS before a server that has none, and yield the port: what stunnel does, in a thread for each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, authority.with_name("key.pem"))
    host, _, port = address.partition(":")

    def carry(source: socket, target: socket) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(SHUT_WR)
        except OSError:
            source.close()  # one end has gone: let the other know
            target.close()

    def serve(raw: socket) -> None:
        try:
            caller = context.wrap_socket(raw, server_side=True)
        except OSError:
            raw.close()  # no TLS, or a caller who does not trust us
            return
        server = create_connection((host, int(port)))
        threading.Thread(target=carry, args=(server, caller), daemon=True).start()
        carry(caller, server)

    def accept(listener: socket) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=serve, args=(raw,), daemon=True).start()

    with closing(create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1])
