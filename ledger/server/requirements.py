"""What a server must have for a ledger: a server of another make, or an old one, is refused when it is connected.

Otherwise it would be found out by the first job that needs what is missing, perhaps after others were accepted.
"""

from __future__ import annotations

from typing import Any

from ledger.contracts.failures import LedgerUnavailableError

COMMANDS = (
    "brpop del evalsha exec exists get hdel hget hgetall hincrby hlen hmget hset hsetnx hstrlen incr info llen lpush "
    "lrange ltrim mget multi pexpire pttl publish pubsub sadd scan script set smembers srem subscribe time unlink "
    "unsubscribe xadd xdel xlen xrange xread xrevrange xtrim zadd zcard zrange zrangebylex zrangebyscore zrank zrem "
    "zremrangebyrank zremrangebyscore zrevrange zrevrangebyscore zscore"
)
"""What the ledger and its scripts send. WAITAOF is checked by each call that needs it."""

IN_CLUSTER = "cluster spublish ssubscribe sunsubscribe"
"""What the ledger sends in a cluster besides."""

NEEDED = "Redis >= 6.2 or Valkey is needed"
NEEDED_IN_CLUSTER = "Redis >= 7.0 or Valkey is needed"

_ADVICE_BY_MODE = {
    "sentinel": "it is a sentinel: write redis+sentinel://host:26379,host,host/service/0 into CORNERMAN_REDIS_URL",
    "cluster": "it is a node of a cluster: write redis+cluster://host:7000,host:7001 into CORNERMAN_REDIS_URL, or use "
    "a server without cluster mode",
    "standalone": "it is no node of a cluster: write redis://host:6379/0 into CORNERMAN_REDIS_URL",
}


def facts_of(hello: Any) -> dict[str, str]:
    """Return mode, role, name and version of a server, as far as its reply to HELLO in RESP 2 has them."""
    pairs = zip(hello[::2], hello[1::2], strict=False) if isinstance(hello, list) else ()
    return {bytes(name).decode(): bytes(value).decode() for name, value in pairs if isinstance(value, bytes)}


def mode_advice(mode: str, wanted: str) -> str | None:
    """Return what to write for a server in another mode than the URL says; None if the mode is right, or not known."""
    return None if mode == wanted else _ADVICE_BY_MODE.get(mode)


def check_commands(address: str, hello: Any, known: Any, *, in_cluster: bool) -> None:
    """Refuse a server by its replies to HELLO and to COMMAND INFO for `needed_commands`.

    A server that refuses one of them to this user is not judged by it. Raises LedgerUnavailableError, naming what is
    missing and what to use or to write.
    """
    advice = mode_advice(facts_of(hello).get("mode", ""), "cluster" if in_cluster else "standalone")
    if advice is not None:
        raise LedgerUnavailableError(f"the server at {address} cannot be used: {advice}")
    missing = ["HELLO"] if isinstance(hello, Exception) and "unknown command" in str(hello) else []
    names = needed_commands(in_cluster=in_cluster)
    if isinstance(known, list) and len(known) == len(names):
        missing += [name.upper() for name, found in zip(names, known, strict=True) if not found]
    if missing:
        facts = facts_of(hello)
        who = f" ({facts['server']} {facts.get('version', '')})" if facts.get("server") else ""
        raise LedgerUnavailableError(
            f"the server at {address}{who} cannot be used: it has no {', '.join(missing)}; "
            f"{NEEDED_IN_CLUSTER if in_cluster else NEEDED}"
        )


def needed_commands(*, in_cluster: bool) -> list[str]:
    """Return the names of the commands that a ledger sends."""
    return [*COMMANDS.split(), *(IN_CLUSTER.split() if in_cluster else ())]


def check_libraries(address: str, missing: bytes) -> None:
    """Refuse a server whose scripts lack libraries, by the reply of probe.lua. Raises LedgerUnavailableError."""
    if missing:
        raise LedgerUnavailableError(
            f"the server at {address} cannot be used: its scripts have no library {missing.decode()}; {NEEDED}"
        )
