"""Confirmation of writes: by the append-only file of the server, by its replicas, or by both.

`WAITAOF` and `WAIT` cover what their own connection has written, and everything that the server did before. So they
are sent right after the write, on its connection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from ledger.contracts import codec
from ledger.contracts.failures import LedgerError
from ledger.contracts.job_state import Durability
from ledger.server.base_server import BaseServer
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
    """

    local: bool
    replicas: int
    timeout_seconds: float

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
            return cls(local=True, replicas=0, timeout_seconds=settings.fsync_timeout_seconds)
        on_disk = settings.replica_storage == "disk"
        return cls(local=on_disk, replicas=settings.durable_replicas, timeout_seconds=settings.fsync_timeout_seconds)

    def commands(self) -> tuple[Command, ...]:
        """Return the commands that follow the write; after a WAITAOF a short WAIT reports who has it in memory."""
        milliseconds = round(self.timeout_seconds * 1000)
        if not self.local:
            return (("WAIT", self.replicas, milliseconds),)
        wait: Command = ("WAITAOF", 1, self.replicas, milliseconds)
        return (wait, ("WAIT", self.replicas, 1)) if self.replicas else (wait,)

    @property
    def blocks_seconds(self) -> float:
        """How long the commands may block on the server."""
        return self.timeout_seconds

    def missing(self, replies: Sequence[Any], replication: bytes) -> tuple[Missing, str] | None:
        """Return what is missing after `commands` were answered, and why; None if everything is confirmed.

        `replication` is the section `replication` of INFO.
        """
        if not self.local:
            if replies[0] >= self.replicas:
                return None
            return self._missing_replicas(replies[0], replication)
        synced, replicas_synced = replies[0]
        if not synced:
            return Missing.DISK, (
                f"not on disk after {self.timeout_seconds:g} s: set `appendfsync everysec` or `always`, or find out "
                "why the disk is slow"
            )
        if replicas_synced >= self.replicas:
            return None
        if replies[1] >= self.replicas:
            return Missing.REPLICA_DISK, (
                f"on the disk of {replicas_synced} of {self.replicas} replicas after {self.timeout_seconds:g} s, and "
                "in the memory of the others: set `appendonly yes` and `appendfsync everysec` or `always` on the "
                "replicas, or CORNERMAN_REPLICA_STORAGE=memory"
            )
        return self._missing_replicas(replies[1], replication)

    def _missing_replicas(self, having: int, replication: bytes) -> tuple[Missing, str]:
        online = connected_replicas(replication)
        if online < self.replicas:
            return Missing.REPLICA, f"on {having} of {self.replicas} replicas: {_too_few(online, self.replicas)}"
        return Missing.REPLICA_REPLY, (
            f"on {having} of {self.replicas} replicas after {self.timeout_seconds:g} s, of {online} that are "
            "connected: find out why they lag behind"
        )


INFO_REPLICATION: Command = ("INFO", "replication")


def connected_replicas(replication: bytes) -> int:
    """Return the number of replicas that follow the server, from the section `replication` of its INFO."""
    return len(re.findall(rb"^slave\d+:.*state=online", replication, re.MULTILINE))


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
