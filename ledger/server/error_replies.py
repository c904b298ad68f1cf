"""Meaning of the server's error replies: advice for the operator, and the exception type to raise.

The table has every code of Redis 6.2 to 8 and Valkey, except those that answer commands which the ledger never sends. A
script of Redis 6.2 wraps the code of the command that failed: `ERR Error running script ...: -OOM command not allowed
...`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ledger.contracts.failures import LeadershipLostError, LedgerError, LedgerUnavailableError, PermissionDeniedError

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis


class ServerFullError(LedgerUnavailableError):
    """The server accepts no writes, because its `maxmemory` is reached."""


class ErrorMeaning(NamedTuple):
    """Meaning of an error reply, and whether a new connection may lead to another server that answers."""

    advice: str
    exception_type: type[LedgerError] = LedgerUnavailableError
    other_server_may_answer: bool = False


_CLUSTER = "it is a node of a cluster, which redis+cluster:// in CORNERMAN_REDIS_URL names"
_MOVED = ErrorMeaning(
    f"{_CLUSTER}; there it means that the ledger is moved to another node now: try again", other_server_may_answer=True
)

_BY_CODE = {
    "NOAUTH": ErrorMeaning("it asks for a password: put user:password@ before the hosts in CORNERMAN_REDIS_URL"),
    "WRONGPASS": ErrorMeaning("it does not accept this user and password: check CORNERMAN_REDIS_URL"),
    "DENIED": ErrorMeaning(
        "it is in protected mode, without a password for others than its own machine: configure users"
    ),
    "NOPERM": ErrorMeaning(
        "this user may not do that: see deploy/users.acl for what each role needs", PermissionDeniedError
    ),
    "LOADING": ErrorMeaning("it is still loading its data: try again shortly", other_server_may_answer=True),
    "READONLY": ErrorMeaning(
        "it is a replica: point CORNERMAN_REDIS_URL at the primary, or at its sentinels", other_server_may_answer=True
    ),
    "MASTERDOWN": ErrorMeaning(
        "it is a replica without its primary: point CORNERMAN_REDIS_URL at the primary", other_server_may_answer=True
    ),
    "UNBLOCKED": ErrorMeaning("it has become a replica, or ended this wait: try again", other_server_may_answer=True),
    "REDIRECT": ErrorMeaning(
        "another server replaces it: point CORNERMAN_REDIS_URL at the primary", other_server_may_answer=True
    ),
    "NOREPLICAS": ErrorMeaning(
        "it accepts no writes while it has fewer replicas than its min-replicas-to-write", other_server_may_answer=True
    ),
    "OOM": ErrorMeaning(
        "it is out of memory: raise its maxmemory or shorten CORNERMAN_RETENTION_SECONDS", ServerFullError
    ),
    "MISCONF": ErrorMeaning("it cannot write its data to disk: see its log"),
    "BUSY": ErrorMeaning("a long-running script keeps it busy: wait, or end the script with SCRIPT KILL"),
    "NOSCRIPT": ErrorMeaning("it lost a script that was just loaded: try again"),
    "NOPROTO": ErrorMeaning("it does not speak RESP 2: Redis >= 6.2 or Valkey is needed"),
    # Our own: see the prelude of the scripts.
    "FENCED": ErrorMeaning("another process has taken this one's place, so it may write no more", LeadershipLostError),
    **dict.fromkeys(("MOVED", "ASK", "TRYAGAIN"), _MOVED),
    "CLUSTERDOWN": ErrorMeaning("a part of its cluster is down: try again shortly", other_server_may_answer=True),
    "CROSSSLOT": ErrorMeaning(_CLUSTER),
    **{
        code: ErrorMeaning(
            f"{code}, a key has another type: does another program use this CORNERMAN_NAMESPACE?", LedgerError
        )
        for code in ("WRONGTYPE", "INVALIDOBJ", "NOGROUP", "BUSYGROUP", "BUSYKEY")
    },
}

# Replies under the general code ERR, by their text.
_BY_TEXT = (
    # Both within a script; the second is Redis 6.2's.
    (r"ACL failure|The user executing the script can't", _BY_CODE["NOPERM"]),
    (r"max number of clients", ErrorMeaning("its maximum of clients is reached: raise its maxclients, or close some")),
    (r"non local key in a cluster|not allowed in cluster mode|do not hash to the same slot", ErrorMeaning(_CLUSTER)),
    (
        r"DB index is out of range|invalid DB index",
        ErrorMeaning("it does not have the database of CORNERMAN_REDIS_URL"),
    ),
    (r"cannot be used with replica instances", _BY_CODE["READONLY"]),
    (
        r"undeclared key",
        ErrorMeaning(
            "its scripts may not use keys that a call does not declare: allow it (Dragonfly: start it with "
            "--default_lua_flags=allow-undeclared-keys), or use Redis >= 6.2 or Valkey"
        ),
    ),
    (r"unknown command", ErrorMeaning("it does not know a command of the ledger: Redis >= 6.2 or Valkey is needed")),
    (r"killed by user with SCRIPT KILL", ErrorMeaning("the script was ended with SCRIPT KILL: try again")),
)

# redis-py removes the code from the text if it has a class for it; before version 8 it is kept nowhere else.
_BY_CLASS = {
    "NoPermissionError": "NOPERM",
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "MasterDownError": "MASTERDOWN",
    "OutOfMemoryError": "OOM",
    "NoScriptError": "NOSCRIPT",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "TryAgainError": "TRYAGAIN",
    "ClusterDownError": "CLUSTERDOWN",
    "ClusterCrossSlotError": "CROSSSLOT",
}
_CODE = re.compile(r"(?:^|: -|because of: )([A-Z]+)(?: |$)")


def error_meaning(error: object) -> ErrorMeaning | None:
    """Return the meaning of an error; None if the request itself is at fault, or the error is not the server's."""
    if not isinstance(error, redis.RedisError):
        return None
    text = str(error)
    for code in (_BY_CLASS.get(type(error).__name__), getattr(error, "status_code", None), *_CODE.findall(text)):
        if code in _BY_CODE:
            return _BY_CODE[code]
    for pattern, refusal in _BY_TEXT:
        if re.search(pattern, text):
            return refusal
    if isinstance(error, redis.AuthenticationError):  # ERR: from servers older than the codes, or without users
        return _BY_CODE["NOAUTH" if "required" in text else "WRONGPASS"]
    if advice := getattr(error, "advice", None):  # of our own errors (`ledger.server.topology.resolver`)
        return ErrorMeaning(advice)
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return ErrorMeaning(f"{text or type(error).__name__} (is it running, and is CORNERMAN_REDIS_URL right?)")
    return None


def other_server_may_answer(reply: object) -> bool:
    """Return True if another server behind the same address may answer the same call."""
    refusal = error_meaning(reply) if isinstance(reply, Exception) else None
    return refusal is not None and refusal.other_server_may_answer
