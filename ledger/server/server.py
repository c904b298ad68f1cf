"""The only module that talks to Redis or Valkey: scripts, single commands, and the meaning of their errors.

An unreachable server becomes `LedgerUnavailableError`, a refusal by its ACL `PermissionDeniedError`; both name the
address, never the password. An error in our own use of the server stays as redis-py raises it.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from ledger.contracts.failures import LedgerUnavailableError
from ledger.server import lua_scripts
from ledger.server.address import INVALID_URL_MESSAGE, validated_url
from ledger.server.connection_pool import Command, ConnectionPool
from ledger.server.error_replies import error_meaning
from ledger.server.server_memory import EvictionWarning, ServerMemory
from ledger.settings import LedgerSettings

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

_REPLIES_KEPT = 12
"""How long a script's reply is kept for a repeated call, in multiples of the reply timeout."""


class Server:
    """A connection to one Redis or Valkey server, shared by all parts of a ledger.

    Up to `connection_pool.MAX_THREADS` threads may share it.

    Attributes
    ----------
    settings
        Settings of the ledger.
    client
        redis-py client that returns bytes (no `decode_responses`) and speaks RESP 2, as one from `connect` does.
    connections
        Connections for commands and scripts.
    subscribers
        Connections that are used for subscriptions only (`ledger.server.subscriptions`).
    scripts
        The Lua scripts by name, bound to `client`.
    """

    def __init__(self, client: redis.Redis, settings: LedgerSettings) -> None:
        self.settings = settings
        self.client: Any = client  # redis-py's signatures mix in those of its asynchronous client
        self.connections = ConnectionPool(client, settings.reply_timeout_seconds)
        self.subscribers = ConnectionPool(client, settings.reply_timeout_seconds)
        self.scripts = lua_scripts.register_scripts(client)
        self._header = (
            settings.namespace,
            _milliseconds(settings.retention_seconds),
            _milliseconds(settings.tombstone_seconds),
            settings.max_outcomes,
            settings.max_doorbells,
            settings.max_attempts,
            _milliseconds(settings.lease_seconds),
            self.database,
            _milliseconds(_REPLIES_KEPT * settings.reply_timeout_seconds + settings.fsync_timeout_seconds),
        )

    @classmethod
    def connect(cls, settings: LedgerSettings) -> Self:
        """Connect to the server of `settings.redis_url`.

        Warns with EvictionWarning if the server may evict keys of the ledger. Raises LedgerUnavailableError if the
        server does not answer or refuses the user.
        """
        if settings.redis_url is None:
            raise LedgerUnavailableError(
                "no server is configured: set CORNERMAN_REDIS_URL, for example redis://127.0.0.1:6379/0"
            )
        try:
            url = validated_url(settings.redis_url)
        except ValueError as error:
            raise LedgerUnavailableError(str(error)) from None
        try:
            client = redis.Redis.from_url(
                url,
                protocol=2,
                socket_timeout=settings.reply_timeout_seconds,
                socket_connect_timeout=settings.reply_timeout_seconds,
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),  # the connection pool retries, with one clock
            )
            # An unopened connection: redis-py checks the options of the URL.
            client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
            server = cls(client, settings)
        except (ValueError, TypeError, redis.RedisError):  # their text may quote a part of the password
            raise LedgerUnavailableError(INVALID_URL_MESSAGE) from None
        server._greet()
        return server

    def close(self) -> None:
        """Close all connections."""
        self.subscribers.close()
        self.connections.close()
        self.client.close()

    def _greet(self) -> None:
        """Check that the server answers, accepts this user and does not evict keys."""
        info = ("INFO", "memory")
        try:
            with self.translate_errors():
                pong, memory = self.connections.execute(("PING",), info)
                _checked([pong])
        except redis.ResponseError as error:  # it may be a proxy whose text quotes its input
            password = self.client.connection_pool.connection_kwargs.get("password")
            reply = "it quotes the password" if password and password in str(error) else str(error)
            raise LedgerUnavailableError(f"the server of CORNERMAN_REDIS_URL refuses: {reply}") from None
        if isinstance(memory, bytes):  # a user may lack the right to read it
            room = ServerMemory.from_info(self._parse(info, memory))
            if room.may_evict:
                warnings.warn(f"the server at {self.address} {room}", EvictionWarning, stacklevel=4)

    @property
    def address(self) -> str:
        """Address of the server, without user or password."""
        where = self.client.connection_pool.connection_kwargs
        return str(where.get("path") or f"{where.get('host', 'localhost')}:{where.get('port', 6379)}")

    @property
    def database(self) -> int:
        """Number of the database."""
        return int(self.client.connection_pool.connection_kwargs.get("db") or 0)

    def key(self, *parts: str) -> str:
        """Return the name of a key in this ledger's namespace."""
        return ":".join((self.settings.namespace, *parts))

    def time(self) -> float:
        """Return the server's clock, in seconds since 1970."""
        seconds, microseconds = self.execute("TIME")
        return int(seconds) + int(microseconds) / 1e6

    def memory(self) -> ServerMemory:
        """Return the memory use and limit of the server."""
        return ServerMemory.from_info(self.execute("INFO", "memory"))

    def run_script(self, name: str, *args: Any) -> Any:
        """Run a Lua script and return its reply."""
        return self.run_script_then(name, args)[0]

    def run_script_then(
        self, name: str, args: Sequence[Any], *commands: Command, blocks_seconds: float = 0.0
    ) -> list[Any]:
        """Run a Lua script, and commands after it on the same connection; return all replies."""
        script = self.script_call(name, *args)
        with self.translate_errors():
            replies = self.connections.execute(script, *commands, blocks_seconds=blocks_seconds)
            if isinstance(replies[0], redis.exceptions.NoScriptError):  # the server was restarted: load the script
                self.connections.execute(("SCRIPT", "LOAD", self.scripts[name].script))
                replies = self.connections.execute(script, *commands, blocks_seconds=blocks_seconds)
            return _checked(replies)

    def script_call(self, name: str, *args: Any) -> Command:
        """Return the command that calls a script; its token lets the server recognise a repeated call."""
        return ("EVALSHA", self.scripts[name].sha, 0, *self._header, secrets.token_hex(8), *args)

    def execute(self, *command: Any, blocks_seconds: float = 0.0) -> Any:
        """Run one command and return its reply as redis-py parses it.

        `blocks_seconds` is how long the command itself may block on the server.
        """
        with self.translate_errors():
            [reply] = _checked(self.connections.execute(command, blocks_seconds=blocks_seconds))
            return self._parse(command, reply)

    def transaction(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands in one MULTI/EXEC transaction and return their replies."""
        with self.translate_errors():
            *_, replies = _checked(self.connections.execute(("MULTI",), *commands, ("EXEC",)))
            return [self._parse(*pair) for pair in zip(commands, _checked(replies), strict=True)]

    def _parse(self, command: tuple[Any, ...], reply: Any) -> Any:
        read = self.client.response_callbacks.get(command[0])
        return reply if read is None else read(reply)

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise redis-py's errors of a block as LedgerUnavailableError or another LedgerError.

        An error that the ledger itself caused by a wrong request stays as redis-py raises it.
        """
        try:
            yield
        except redis.RedisError as error:
            refusal = error_meaning(error)
            if refusal is None:
                raise
            raise refusal.exception_type(f"the server at {self.address} cannot be used: {refusal.advice}") from error


def connection_advice(error: redis.RedisError) -> str | None:
    """Return why the server cannot be used and what to do; None if our own request is at fault."""
    refusal = error_meaning(error)
    return None if refusal is None else refusal.advice


def _checked(replies: list[Any]) -> list[Any]:
    """Return replies without errors. Raises the first error among them."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def to_datetime(milliseconds: bytes | float) -> datetime:
    """Convert a time of the server, in milliseconds, to a datetime."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)
