"""What the server's error replies mean: a sentence with what to do, and the type of the error that says it.

Every code that Redis 6.2 to 8 and Valkey know is in the table, but for those that answer commands which are not sent
here. A script of Redis 6.2 wraps the code of the command that failed: `ERR Error running script ...: -OOM command not
allowed ...`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ledger.contracts.failures import LedgerError, LedgerUnavailable, PermissionDenied

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis


class ServerFull(LedgerUnavailable):
    """The server takes nothing new, because its `maxmemory` is reached."""


class Refusal(NamedTuple):
    """What an error reply means. `elsewhere`: a new connection may lead to a server that does not reply so."""

    advice: str
    kind: type[LedgerError] = LedgerUnavailable
    elsewhere: bool = False


_CLUSTER = Refusal("it is a node of a cluster: a ledger needs a server of its own, without cluster mode")

_BY_CODE = {
    "NOAUTH": Refusal("it asks for a password: put one into CORNERMAN_REDIS_URL (redis://user:password@host:port/0)"),
    "WRONGPASS": Refusal("it does not accept this user and password: check CORNERMAN_REDIS_URL"),
    "DENIED": Refusal("it is in protected mode, without a password for others than its own machine: give it users"),
    "NOPERM": Refusal("this user may not do that: see deploy/users.acl for what each role needs", PermissionDenied),
    "LOADING": Refusal("it is still loading its data: try again in a moment", elsewhere=True),
    "READONLY": Refusal("it is a replica: point CORNERMAN_REDIS_URL at the primary", elsewhere=True),
    "MASTERDOWN": Refusal(
        "it is a replica without its primary: point CORNERMAN_REDIS_URL at the primary", elsewhere=True
    ),
    "UNBLOCKED": Refusal("it has become a replica, or ended this wait: try again", elsewhere=True),
    "REDIRECT": Refusal("another server takes its place: point CORNERMAN_REDIS_URL at the primary", elsewhere=True),
    "NOREPLICAS": Refusal("it takes no writes while it has fewer replicas than its min-replicas-to-write"),
    "OOM": Refusal("it is out of memory: raise its maxmemory or shorten CORNERMAN_RETENTION_SECONDS", ServerFull),
    "MISCONF": Refusal("it cannot write its data to disk: see its log"),
    "BUSY": Refusal("a script has kept it busy for long: wait, or end that one with SCRIPT KILL"),
    "NOSCRIPT": Refusal("it forgot a script that was just sent: try again"),
    "NOPROTO": Refusal("it does not speak RESP 2: Redis >= 6.2 or Valkey is needed"),
    **dict.fromkeys(("MOVED", "ASK", "TRYAGAIN", "CROSSSLOT", "CLUSTERDOWN"), _CLUSTER),
    **{
        code: Refusal(f"{code}, a key holds something else: who else uses this CORNERMAN_NAMESPACE?", LedgerError)
        for code in ("WRONGTYPE", "INVALIDOBJ", "NOGROUP", "BUSYGROUP", "BUSYKEY")
    },
}

# Replies under the general code ERR, by what they say.
_BY_TEXT = (
    (r"ACL failure|The user executing the script can't", _BY_CODE["NOPERM"]),  # in a script, of Redis 6.2 the latter
    (r"max number of clients", Refusal("it has as many clients as it may: raise its maxclients, or close some")),
    (r"non local key in a cluster|not allowed in cluster mode|do not hash to the same slot", _CLUSTER),
    (r"DB index is out of range|invalid DB index", Refusal("it has no database of the number in CORNERMAN_REDIS_URL")),
    (r"unknown command", Refusal("it does not know a command of the ledger: Redis >= 6.2 or Valkey is needed")),
    (r"killed by user with SCRIPT KILL", Refusal("someone ended the script with SCRIPT KILL: try again")),
)

# redis-py takes the code off the text where it has a class for it; before its version 8 it is kept nowhere else.
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


def refusal_of(error: object) -> Refusal | None:
    """Return what an error means; None if the fault is in our own request, or it is no error of the server."""
    if not isinstance(error, redis.RedisError):
        return None
    text = str(error)
    for code in (_BY_CLASS.get(type(error).__name__), getattr(error, "status_code", None), *_CODE.findall(text)):
        if code in _BY_CODE:
            return _BY_CODE[code]
    for pattern, refusal in _BY_TEXT:
        if re.search(pattern, text):
            return refusal
    if isinstance(error, redis.AuthenticationError):  # ERR: by servers that are older than the codes, or without users
        return _BY_CODE["NOAUTH" if "required" in text else "WRONGPASS"]
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return Refusal(f"{text or type(error).__name__} (is it running, and is CORNERMAN_REDIS_URL right?)")
    return None


def is_elsewhere(reply: object) -> bool:
    """Whether a reply is an error after which another server may answer the same."""
    refusal = refusal_of(reply) if isinstance(reply, Exception) else None
    return refusal is not None and refusal.elsewhere
