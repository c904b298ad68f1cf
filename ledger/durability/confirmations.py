"""Confirmation of writes: by the append-only file of the server, by its replicas, or by both.

`WAITAOF` and `WAIT` cover what their own connection has written, and everything that the server did before. So they
are sent right after the write, on its connection.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from ledger.contracts import codec
from ledger.contracts.failures import LedgerError
from ledger.contracts.job_state import Durability
from ledger.server.base_server import BaseServer, checked_replies
from ledger.server.connection_pool import Command
from ledger.server.error_replies import error_meaning
from ledger.server.exchanges import Commands, Exchange
from ledger.settings import LedgerSettings

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis


class Missing(StrEnum):
    """What a confirmation lacks."""

    COMMAND = "command"  # the server does not know WAITAOF
    APPEND_ONLY_FILE = "append_only_file"  # the server has none
    DISK = "disk"  # the server's append-only file was not synced in time
    REPLICA = "replica"  # too few replicas are connected
    REPLICA_REPLY = "replica_reply"  # they are connected, and did not answer in time
    REPLICA_DISK = "replica_disk"  # they have it in memory; their append-only file is off, or was not synced in time


class NotDurableError(LedgerError):
    """The server cannot confirm a write as durable.

    Attributes
    ----------
    missing
        What is missing.
    accepted
        False if nothing was written; True if the write was made, and may be lost.
    """

    def __init__(self, message: str, missing: Missing, *, accepted: bool) -> None:
        super().__init__(message)
        self.missing = missing
        self.accepted = accepted


class Confirmation(NamedTuple):
    """What has to confirm a write.

    Attributes
    ----------
    local
        True if the server's own append-only file has to be synced.
    replicas
        Number of replicas that must have it: on disk with `local`, else in memory.
    timeout_seconds
        How long to wait.
    everysec
        True if the reply of WAITAOF is not enough: see `script_confirmed`.
    """

    local: bool
    replicas: int
    timeout_seconds: float
    everysec: bool

    @classmethod
    def of_submission(cls, durable: Durability, settings: LedgerSettings) -> Self | None:
        """Return what a submission with this value of `durable` waits for. Raises JobRefusedError for another value."""
        if durable is False:
            return None
        if durable is not True and durable != "replica":
            raise codec.job_refused(f'durable is False, True (disk) or "replica", not {durable!r}')
        return cls.of_level("disk" if durable is True else "replica", settings)

    @classmethod
    def of_level(cls, level: Literal["disk", "replica"], settings: LedgerSettings) -> Self:
        """Return what "disk" or "replica" means with these settings."""
        if level == "disk":
            return cls.of_storage(0, settings, local=True)
        return cls.of_storage(settings.durable_replicas, settings, local=settings.replica_storage == "disk")

    @classmethod
    def of_storage(cls, replicas: int, settings: LedgerSettings, *, local: bool) -> Self:
        """Return a confirmation by this number of replicas, and with `local` by disks."""
        everysec = local and settings.appendfsync != "always"
        return cls(local=local, replicas=replicas, timeout_seconds=settings.fsync_timeout_seconds, everysec=everysec)

    def commands(self) -> tuple[Command, ...]:
        """Return the commands that follow the write, with the section `replication` of INFO as the last."""
        milliseconds = round(self.timeout_seconds * 1000)
        if not self.local:
            return (("WAIT", self.replicas, milliseconds), INFO_REPLICATION)
        # The WAIT reports how many replicas have it in memory.
        waits: tuple[Command, ...] = (("WAITAOF", 1, self.replicas, milliseconds), ("WAIT", self.replicas, 1))
        if self.everysec:
            waits += (_pause(SYNC_SECONDS), INFO_SYNC, _pause(LOOK_SECONDS), INFO_SYNC)
        return (*waits, INFO_REPLICATION)

    @property
    def blocks_seconds(self) -> float:
        """How long the commands may block on the server."""
        return self.timeout_seconds + (SYNC_SECONDS + LOOK_SECONDS if self.everysec else 0.0)

    def missing(self, replies: Sequence[Any]) -> tuple[Missing, str] | None:
        """Return what is missing after `commands` were answered, and why; None if everything is confirmed."""
        replication = replies[-1]
        if not self.local:
            if replies[0] >= self.replicas:
                return None
            return self._missing_replicas(replies[0], replication)
        synced, replicas_synced = replies[0]
        if not synced:
            return Missing.DISK, self.not_synced
        if replicas_synced >= self.replicas:
            return None
        if replies[1] >= self.replicas:
            return Missing.REPLICA_DISK, (
                f"on the disk of {replicas_synced} of {self.replicas} replicas after {self.timeout_seconds:g} s, and "
                "in the memory of the others: set `appendonly yes` and `appendfsync everysec` or `always` on the "
                "replicas, or CORNERMAN_REPLICA_STORAGE=memory"
            )
        return self._missing_replicas(replies[1], replication)

    @property
    def not_synced(self) -> str:
        """Why the disk has not confirmed it, and what to do."""
        return (
            f"not on disk after {self.timeout_seconds:g} s: set `appendfsync everysec` or `always`, or find out why "
            "the disk is slow"
        )

    def _missing_replicas(self, having: int, replication: bytes) -> tuple[Missing, str]:
        online = connected_replicas(replication)
        if online < self.replicas:
            return Missing.REPLICA, f"on {having} of {self.replicas} replicas: {_too_few(online, self.replicas)}"
        return Missing.REPLICA_REPLY, (
            f"on {having} of {self.replicas} replicas after {self.timeout_seconds:g} s, of {online} that are "
            "connected: find out why they lag behind"
        )


INFO_REPLICATION: Command = ("INFO", "replication")
INFO_SYNC: Command = ("INFO", "server", "persistence")
SYNC_SECONDS = 1.25
"""By then a server with `appendfsync everysec` has begun a sync that covers a write, if no other is in progress."""
LOOK_SECONDS = 0.25
"""Longer than the interval at which it looks whether it has to begin one."""


def _pause(seconds: float) -> Command:
    """Return a command that lasts as long: no server has a million replicas."""
    return ("WAIT", 1_000_000, round(seconds * 1000))


def script_confirmed(
    server: BaseServer, script: str, arguments: Sequence[Any], confirmation: Confirmation
) -> Exchange[tuple[Any, tuple[Missing, str] | None]]:
    """Run a script and wait for its confirmation; return its reply, and what is missing.

    Valkey up to 9.1, and Redis 7.4 before its correction (redis#13793), answer WAITAOF with `appendfsync everysec`
    before the file is synced. So this waits until a sync that covers the write must have begun, and until two looks at
    the server, further apart than it takes to begin the next sync, find none in progress.
    """
    answer, *replies = yield from server.script_then(
        script, arguments, *confirmation.commands(), blocks_seconds=confirmation.blocks_seconds
    )
    missing = confirmation.missing(replies)
    if missing is not None or not confirmation.everysec:
        return answer, missing
    first, latest = replies[3], replies[5]
    latest_seconds = time.monotonic() + confirmation.timeout_seconds
    while not (_is_synced(first) and _is_synced(latest)):
        if _run_of(first) != _run_of(latest) or time.monotonic() > latest_seconds:
            return answer, (Missing.DISK, confirmation.not_synced)
        with server.translate_errors():
            _, following = checked_replies((yield Commands((_pause(LOOK_SECONDS), INFO_SYNC), LOOK_SECONDS)))
        first, latest = latest, following
    return answer, None if _run_of(first) == _run_of(latest) else (Missing.DISK, confirmation.not_synced)


def _is_synced(facts: bytes) -> bool:
    return b"\naof_pending_bio_fsync:0" in facts and b"\naof_last_write_status:ok" in facts


def _run_of(facts: bytes) -> bytes:
    found = re.search(rb"\nrun_id:(\w+)", facts)
    return found[1] if found else b""


def connected_replicas(replication: bytes) -> int:
    """Return the number of replicas that follow the server, from the section `replication` of its INFO."""
    return len(re.findall(rb"^slave\d+:.*state=online", replication, re.MULTILINE))


def missing_replicas(server: BaseServer, needed: int) -> Exchange[str]:
    """Return that too few replicas are connected and what to do; empty if enough are."""
    with server.translate_errors():
        [replication] = checked_replies((yield Commands((INFO_REPLICATION,))))
    online = connected_replicas(replication)
    return _too_few(online, needed) if online < needed else ""


def check_confirmation(server: BaseServer, confirmation: Confirmation) -> Exchange[None]:
    """Check, before anything is written, that the server can confirm it. Raises NotDurableError."""
    probe: Command = ("WAITAOF", 1, 0, 1) if confirmation.local else ("PING",)
    with server.translate_errors():
        reply, replication = yield Commands((probe, INFO_REPLICATION if confirmation.replicas else ("PING",)))
        where = f"the server at {server.address}"
        if isinstance(reply, redis.ResponseError):
            unknown = "unknown command" in str(reply)
            if error_meaning(reply) is not None and not unknown:
                raise reply
            raise NotDurableError(
                f"{where} cannot confirm a durable submit, nothing was written ({reply}): use Valkey or Redis >= 7.2 "
                "with `appendonly yes`, or submit without `durable`"
                + (", or set CORNERMAN_REPLICA_STORAGE=memory" if confirmation.replicas else ""),
                Missing.COMMAND if unknown else Missing.APPEND_ONLY_FILE,
                accepted=False,
            )
        if isinstance(replication, Exception):
            raise replication
    if confirmation.replicas and (online := connected_replicas(replication)) < confirmation.replicas:
        raise NotDurableError(
            f"{where} cannot confirm a submit by replicas, nothing was written: "
            f"{_too_few(online, confirmation.replicas)}",
            Missing.REPLICA,
            accepted=False,
        )


def _too_few(online: int, needed: int) -> str:
    count = "no replica is" if online == 0 else f"only {online} of {needed} replicas are"
    return f"{count} connected: connect replicas, or lower CORNERMAN_DURABLE_REPLICAS ({needed})"
