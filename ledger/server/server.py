"""The one place that talks to Redis or Valkey: scripts, single commands, and what their errors mean.

Whatever keeps the server from answering becomes `LedgerUnavailable`, and a refusal by its ACL `PermissionDenied`; both
name the address, never the password.
An error in our own use of the server is left as redis-py raises it.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from ledger.contracts.failures import LedgerUnavailable
from ledger.server import lua_scripts
from ledger.server.address import UNREADABLE, readable
from ledger.server.connection_pool import Command, Connections
from ledger.server.error_replies import refusal_of
from ledger.server.server_memory import EvictionWarning, Room
from ledger.settings import LedgerSettings

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

_REPLIES_KEPT = 12
"""So many times the patience with one reply, beyond that with the disk: a call is repeated for less."""


class Server:
    """A connection and the settings; what the ledger's parts build on.

    Up to `connections.MOST_THREADS` threads may share it. `client` must return bytes (no `decode_responses`) and speak
    RESP 2, as one from `connect` does.
    """

    def __init__(self, client: redis.Redis, settings: LedgerSettings) -> None:
        self.settings = settings
        self._redis: Any = client  # redis-py's signatures mix in those of its asynchronous client
        self._connections = Connections(client, settings.reply_timeout_seconds)
        self._scripts = lua_scripts.register(client)
        self._header = (
            settings.namespace,
            _milliseconds(settings.retention_seconds),
            _milliseconds(settings.tombstone_seconds),
            settings.outcomes_cap,
            settings.doorbell_cap,
            settings.max_attempts,
            _milliseconds(settings.lease_seconds),
            self._database,
            _milliseconds(_REPLIES_KEPT * settings.reply_timeout_seconds + settings.fsync_timeout_seconds),
        )

    @classmethod
    def connect(cls, settings: LedgerSettings) -> Self:
        """Open a ledger. Warns (EvictionWarning) of a server that may evict what the ledger keeps.

        Raises LedgerUnavailable where the server does not answer or does not let this user in.
        """
        if settings.redis_url is None:
            raise LedgerUnavailable("no server is named: set CORNERMAN_REDIS_URL, for example redis://127.0.0.1:6379/0")
        try:
            url = readable(settings.redis_url)
        except ValueError as error:
            raise LedgerUnavailable(str(error)) from None
        try:
            client = redis.Redis.from_url(
                url,
                protocol=2,
                socket_timeout=settings.reply_timeout_seconds,
                socket_connect_timeout=settings.reply_timeout_seconds,
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),  # `Connections` tries again, and has one clock
            )
            # A connection, not yet opened, of which redis-py checks the options that came with the URL.
            client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
            ledger = cls(client, settings)
        except (ValueError, TypeError, redis.RedisError):  # their text may quote a piece of the password
            raise LedgerUnavailable(UNREADABLE) from None
        ledger._greet()
        return ledger

    def close(self) -> None:
        """Give the connections back."""
        self._connections.close()
        self._redis.close()

    def _greet(self) -> None:
        """Find out whether the server is there, lets this user in, and keeps what it is given."""
        info = ("INFO", "memory")
        try:
            with self._reaching():
                pong, memory = self._connections.ask(("PING",), info)
                _checked([pong])
        except redis.ResponseError as error:  # what is odd may be a proxy, and its text quote what it was sent
            password = self._redis.connection_pool.connection_kwargs.get("password")
            said = "it quotes the password" if password and password in str(error) else str(error)
            raise LedgerUnavailable(f"the server that CORNERMAN_REDIS_URL names refuses: {said}") from None
        if isinstance(memory, bytes):  # a user may not be let to read it
            room = Room.read(self._read(info, memory))
            if room.evicts:
                warnings.warn(f"the server at {self.address} {room}", EvictionWarning, stacklevel=3)

    @property
    def address(self) -> str:
        """Where the server is, without user or password."""
        where = self._redis.connection_pool.connection_kwargs
        return str(where.get("path") or f"{where.get('host', 'localhost')}:{where.get('port', 6379)}")

    @property
    def _database(self) -> int:
        return int(self._redis.connection_pool.connection_kwargs.get("db") or 0)

    def _key(self, *parts: str) -> str:
        return ":".join((self.settings.namespace, *parts))

    def _run(self, name: str, *args: Any) -> Any:
        return self._run_and(name, args)[0]

    def _run_and(self, name: str, args: Sequence[Any], *then: Command, blocks_seconds: float = 0.0) -> list[Any]:
        """Run a script, and commands after it on the same connection; return all replies."""
        script = self._script(name, *args)
        with self._reaching():
            replies = self._connections.ask(script, *then, blocks_seconds=blocks_seconds)
            if isinstance(replies[0], redis.exceptions.NoScriptError):  # a server that was restarted has to be sent it
                self._connections.ask(("SCRIPT", "LOAD", self._scripts[name].script))
                replies = self._connections.ask(script, *then, blocks_seconds=blocks_seconds)
            return _checked(replies)

    def _script(self, name: str, *args: Any) -> Command:
        """Return a call of a script; its token tells that it is the same call when it is repeated."""
        return ("EVALSHA", self._scripts[name].sha, 0, *self._header, secrets.token_hex(8), *args)

    def _call(self, *command: Any, blocks_seconds: float = 0.0) -> Any:
        """Run one command, and return its reply as redis-py reads it."""
        with self._reaching():
            [reply] = _checked(self._connections.ask(command, blocks_seconds=blocks_seconds))
            return self._read(command, reply)

    def _call_all(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands as one transaction."""
        with self._reaching():
            *_, replies = _checked(self._connections.ask(("MULTI",), *commands, ("EXEC",)))
            return [self._read(*pair) for pair in zip(commands, _checked(replies), strict=True)]

    def _read(self, command: tuple[Any, ...], reply: Any) -> Any:
        read = self._redis.response_callbacks.get(command[0])
        return reply if read is None else read(reply)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            raise refusal.kind(f"the server at {self.address} cannot be used: {refusal.advice}") from error


def explain(error: redis.RedisError) -> str | None:
    """Say why the server is of no use and what to do; None where the fault is in our own request."""
    refusal = refusal_of(error)
    return None if refusal is None else refusal.advice


def _checked(replies: list[Any]) -> list[Any]:
    """Return replies of which none is an error. Raises the first that is one."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def moment(milliseconds: bytes | float) -> datetime:
    """Read a time of the server."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)
