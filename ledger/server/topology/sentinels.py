"""Asking sentinels where the primary is.

redis-py's `Sentinel.discover_master` believes the first sentinel that answers. One that was cut off from the others
names the old primary until it hears of the new one. So here a majority of the listed sentinels is asked, and the latest
configuration counts (`config-epoch`), as among the sentinels themselves.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import redis

from ledger.server.topology.addresses import Node, ServerAddress
from ledger.server.topology.resolver import PrimaryUnknownError, Resolver, WrongServerError

MAX_WAIT_SECONDS = 1.0
"""How long one sentinel is waited for at most. A silent one is asked last the next time."""


class _Answer(NamedTuple):
    """What a sentinel says: the epoch of its configuration, the primary, and whether that answers the sentinel."""

    epoch: int
    primary: Node
    is_up: bool


class SentinelResolver(Resolver):
    """Asks the sentinels of a URL for the primary of its service.

    `tls_options` are redis-py's options of TLS; `reply_seconds` is how long a caller waits for a reply.
    """

    mode = "standalone"

    def __init__(self, address: ServerAddress, tls_options: dict[str, Any], reply_seconds: float) -> None:
        super().__init__()
        self.name = f"{address.service} of the sentinels {', '.join(map(str, address.nodes))}"
        self._service = address.service
        wait_seconds = min(MAX_WAIT_SECONDS, reply_seconds / (2 * len(address.nodes)))
        self._clients: list[tuple[Node, Any]] = [
            (
                node,
                redis.Redis(
                    host=node.host,
                    port=node.port,
                    username=address.sentinel_username,
                    password=address.sentinel_password,
                    protocol=2,
                    socket_timeout=wait_seconds,
                    socket_connect_timeout=wait_seconds,
                    retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
                    ssl=address.sentinel_tls,
                    **(tls_options if address.sentinel_tls else {}),
                ),
            )
            for node in address.nodes
        ]

    def find(self, timeout_seconds: float) -> Node:
        """Ask a majority of the sentinels, or all that answer if these are fewer."""
        latest_seconds = time.monotonic() + timeout_seconds
        clients = self._clients
        answers: list[_Answer] = []
        silent: dict[Node, str] = {}
        refusals: list[str] = []
        for node, client in clients:
            try:
                answers.append(self._ask(client))
            except (redis.ResponseError, redis.AuthenticationError) as error:
                refusals.append(f"{node} {_refusal(error, self._service)}")
            except (redis.ConnectionError, redis.TimeoutError) as error:
                silent[node] = str(error) or type(error).__name__
            is_agreed = len({(answer.epoch, answer.primary) for answer in answers}) == 1
            if (is_agreed and 2 * len(answers) > len(clients)) or time.monotonic() > latest_seconds:
                break
        if silent:
            self._clients = sorted(clients, key=lambda entry: entry[0] in silent)
        if answers:
            return _chosen(answers)
        if refusals:
            raise WrongServerError("; ".join(refusals))
        raise PrimaryUnknownError(
            "no sentinel answers: " + "; ".join(f"{node} ({reason})" for node, reason in silent.items())
        )

    def _ask(self, client: Any) -> _Answer:
        state = client.sentinel_master(self._service, return_responses=True)
        is_up = state["is_master"] and not state["is_sdown"] and not state["is_odown"]
        return _Answer(state["config-epoch"], Node(state["ip"], state["port"]), is_up)


def _chosen(answers: list[_Answer]) -> Node:
    latest = max(answer.epoch for answer in answers)
    current = [answer for answer in answers if answer.epoch == latest]
    for answer in current:
        if answer.is_up:
            return answer.primary
    raise PrimaryUnknownError(
        f"the sentinels say that the primary {current[0].primary} is down, and have made no other server the primary "
        "yet: try again shortly"
    )


def _refusal(error: redis.RedisError, service: str) -> str:
    """Return what a sentinel's error reply means, without its text, which may quote the password."""
    text = str(error)
    if isinstance(error, redis.AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
        return (
            "does not accept this user: check sentinel_username and sentinel_password in CORNERMAN_REDIS_URL, and that "
            "it is the port of a sentinel, usually 26379"
        )
    if isinstance(error, redis.exceptions.NoPermissionError):
        return "does not let this user ask: its rules must allow `+sentinel|master`"
    if "No such master" in text:
        return f"knows no service {service}: write the name of its `sentinel monitor` line into CORNERMAN_REDIS_URL"
    if "unknown command" in text:
        return "is no sentinel: write the sentinels into CORNERMAN_REDIS_URL, whose port is usually 26379"
    return f"refuses with {type(error).__name__}"
