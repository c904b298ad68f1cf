"""Asking the nodes of a cluster which of them serves a ledger."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, NamedTuple

import redis
from redis.crc import key_slot

from ledger.server.connection_pool import pause_before_retry
from ledger.server.error_replies import error_meaning
from ledger.server.topology.addresses import Node, ServerAddress
from ledger.server.topology.resolver import PrimaryUnknownError, Resolver, WrongServerError

MAX_WAIT_SECONDS = 1.0
"""How long one node is waited for at most. A silent one is asked last the next time."""

ASKED = 2
"""How many nodes must answer, if there are as many: one that was cut off from the others names the old primary."""


class _Answer(NamedTuple):
    """What a node says of the slot: the epoch of its primary, where that is, whether it is down; and all nodes."""

    epoch: int
    primary: Node
    is_down: bool
    nodes: tuple[Node, ...]


class ClusterResolver(Resolver):
    """Asks nodes of a cluster for the primary of a ledger's slot.

    The nodes of the URL are where it begins; after that it asks all that it has heard of. A node says where clients
    reach the others by CLUSTER SLOTS, and how recent its knowledge is by CLUSTER NODES. `options` are those of the
    connections of redis-py; the nodes are asked as the ledger's user.
    """

    mode = "cluster"

    def __init__(self, address: ServerAddress, namespace: str, options: dict[str, Any], reply_seconds: float) -> None:
        super().__init__()
        self.slot = key_slot(namespace.encode())
        self.name = f"{namespace} in the cluster of {', '.join(map(str, address.nodes))}"
        wait_seconds = min(MAX_WAIT_SECONDS, reply_seconds / 4)
        self._options: dict[str, Any] = {
            **{name: value for name, value in options.items() if name not in ("host", "port", "retry", "resolver")},
            "connection_class": redis.SSLConnection if address.url.startswith("rediss") else redis.Connection,
            "socket_timeout": wait_seconds,
            "socket_connect_timeout": wait_seconds,
            "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        }
        self._clients: dict[Node, Any] = {}
        self._seeds = address.nodes
        self._nodes = address.nodes

    def find(self, timeout_seconds: float) -> Node:
        """Ask nodes until two have answered, and believe the one that knows of the latest change."""
        latest_seconds = time.monotonic() + timeout_seconds
        nodes = self._nodes
        answers: list[_Answer] = []
        silent: dict[Node, str] = {}
        refusals: list[str] = []
        for node in nodes:
            try:
                answers.append(self._ask(node))
            except redis.RedisError as error:
                if pause_before_retry(error, 0, waits=False) is None:
                    refusals.append(f"{node}: {_advice(error)}")
                else:
                    silent[node] = _advice(error)
            if len(answers) == ASKED or time.monotonic() > latest_seconds:
                break
        if answers:
            return self._choose(answers, silent)
        self._nodes = tuple(sorted(nodes, key=silent.__contains__))
        if refusals:
            raise WrongServerError("; ".join(refusals))
        raise PrimaryUnknownError("; ".join(f"{node}: {advice}" for node, advice in silent.items()))

    def _ask(self, node: Node) -> _Answer:
        client = self._clients.get(node)
        if client is None:
            pool = redis.ConnectionPool(host=node.host, port=node.port, **self._options)
            client = self._clients[node] = redis.Redis(connection_pool=pool)
        questions: Any = client.pipeline(transaction=False)
        ranges, lines = questions.execute_command("CLUSTER", "SLOTS").execute_command("CLUSTER", "NODES").execute()
        nodes = []
        found = None
        for first, last, *servers in ranges:
            nodes += [_endpoint(server, node) for server in servers]
            if int(first) <= self.slot <= int(last):
                found = servers[0]
        if found is None:
            raise PrimaryUnknownError(f"it knows no node with slot {self.slot}, in which this ledger is")
        [words] = [line.split(" ") for line in bytes(lines).decode().splitlines() if line.startswith(found[2].decode())]
        return _Answer(int(words[6]), _endpoint(found, node), "fail" in words[2].split(","), tuple(nodes))

    def _choose(self, answers: list[_Answer], silent: Collection[Node]) -> Node:
        """Return the primary by the latest answer, and remember whom to ask: the primary itself after the others."""
        latest = max(answers, key=lambda answer: answer.epoch)
        nodes = dict.fromkeys((*latest.nodes, *self._seeds))
        self._nodes = tuple(sorted(nodes, key=lambda node: (node in silent, node == latest.primary)))
        for node in self._clients.keys() - nodes:
            self._clients.pop(node).close()
        if latest.is_down:
            raise PrimaryUnknownError(
                f"the primary {latest.primary} of this ledger is down, and no replica has taken its place yet"
            )
        return latest.primary


def _endpoint(server: list[Any], asked: Node) -> Node:
    """Return where a server of CLUSTER SLOTS is reached; one without a name is reached by the name that was asked."""
    host = (server[0] or b"").decode()
    return Node(asked.host if host in ("", "?") else host, int(server[1]))


def _advice(error: redis.RedisError) -> str:
    """Return what an error means, without its text, which may quote the password."""
    text = str(error)
    if "cluster support disabled" in text:
        return "it is in no cluster: write redis://host:port into CORNERMAN_REDIS_URL"
    if "unknown command" in text:
        return "it is a sentinel, or of another make: write the nodes of a cluster into CORNERMAN_REDIS_URL"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return "this user may not ask: it needs `+cluster|slots +cluster|nodes`, see deploy/users-cluster.acl"
    meaning = error_meaning(error)
    return f"it refuses with {type(error).__name__}" if meaning is None else meaning.advice
