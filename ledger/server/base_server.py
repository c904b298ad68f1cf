"""What a blocking and an asyncio server have in common: names, scripts, exchanges, and the meaning of errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ledger.compression.stored_values import NEWEST_FORMAT
from ledger.contracts.failures import LedgerUnavailableError, PermissionDeniedError
from ledger.server.address import FILE_OPTIONS, INVALID_URL_MESSAGE
from ledger.server.connection_pool import Command
from ledger.server.error_replies import error_meaning
from ledger.server.exchanges import Commands, Exchange
from ledger.server.lua_scripts import Script, Scripts
from ledger.server.requirements import check_commands, check_libraries, needed_commands
from ledger.server.script_keys import in_cluster, key_root, keys_of
from ledger.server.server_memory import ServerMemory
from ledger.server.topology.addresses import read_address
from ledger.server.topology.pools import open_pool
from ledger.settings import LedgerSettings

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

_MAX_LOADS = 3
"""How often a call loads its script: between loading and calling, another server may become the primary."""

_REPLIES_KEPT = 12
"""How long a script's reply is kept for a repeated call, in multiples of the reply timeout."""


class BaseServer:
    """A Redis or Valkey server without its connections: requests are made as exchanges.

    Attributes
    ----------
    settings
        Settings of the ledger.
    client
        redis-py client that returns bytes (no `decode_responses`) and speaks RESP 2.
    scripts
        The Lua scripts by name.
    fence
        Carried by every script: '' or a key and the fence that it must have, as in `ledger.feeds.feed_leases`. The
        server refuses the script with `LeadershipLostError` if another process has taken this one's place.
    stored_format
        In which format the ledger's payloads and reports are written, as far as this process knows: replies of scripts
        say so, and a script refuses a newer format than the ledger's.
    """

    def __init__(self, client: Any, settings: LedgerSettings) -> None:
        self.settings = settings
        self.fence = ""
        self.stored_format = NEWEST_FORMAT
        self.client: Any = client  # redis-py's signatures mix in those of its asynchronous client
        self.scripts: dict[str, Script] = Scripts()
        self._root = key_root(settings)
        self._in_cluster = in_cluster(settings.redis_url)
        self._header = (
            self._root,
            _milliseconds(settings.retention_seconds),
            _milliseconds(settings.tombstone_seconds),
            settings.max_outcomes,
            settings.max_doorbells,
            settings.max_attempts,
            _milliseconds(settings.lease_seconds),
            self.database,
            _milliseconds(_REPLIES_KEPT * settings.reply_timeout_seconds + settings.fsync_timeout_seconds),
        )

    @property
    def address(self) -> str:
        """Address of the server, without user or password."""
        where = self.client.connection_pool.connection_kwargs
        if resolver := where.get("resolver"):
            return str(resolver.name)
        return str(where.get("path") or f"{where.get('host', 'localhost')}:{where.get('port', 6379)}")

    @property
    def database(self) -> int:
        """Number of the database."""
        return int(self.client.connection_pool.connection_kwargs.get("db") or 0)

    def note_format(self, stored_format: int) -> None:
        """Note the format of the ledger's values that a script replied; this version writes none that is newer."""
        self.stored_format = min(int(stored_format), NEWEST_FORMAT)

    def key(self, *parts: str) -> str:
        """Return the name of a key in this ledger's namespace."""
        return ":".join((self._root, *parts))

    def restricted_key(self, name: str) -> str:
        """Return the name of a key outside of the namespace's, where only operators and gateways may read and write."""
        return f"{self._root}/{name}"

    def script_call(self, name: str, *args: Any) -> Command:
        """Return the command that calls a script; its token lets the server recognise a repeated call."""
        keys = keys_of(name, self._root)(args)
        token = os.urandom(8).hex()
        return ("EVALSHA", self.scripts[name].sha, len(keys), *keys, *self._header, token, self.fence, *args)

    def script(self, name: str, *args: Any) -> Exchange[Any]:
        """Run a Lua script and return its reply."""
        return (yield from self.script_then(name, args))[0]

    def script_then(
        self, name: str, args: Sequence[Any], *commands: Command, blocks_seconds: float = 0.0
    ) -> Exchange[list[Any]]:
        """Run a Lua script, and commands after it on the same connection; return all replies."""
        request = Commands((self.script_call(name, *args), *commands), blocks_seconds)
        with self.translate_errors():
            replies = yield request
            for _ in range(_MAX_LOADS):
                if not lacks_script(replies[0]):
                    break
                # The server was restarted, or another one has become the primary: load the script.
                yield Commands((("SCRIPT", "LOAD", self.scripts[name].script),))
                replies = yield request
            return checked_replies(replies)

    def command(self, *command: Any, blocks_seconds: float = 0.0) -> Exchange[Any]:
        """Run one command and return its reply as redis-py parses it.

        `blocks_seconds` is how long the command itself may block on the server.
        """
        with self.translate_errors():
            [reply] = checked_replies((yield Commands((command,), blocks_seconds)))
            return self._parse(command, reply)

    def multi(self, *commands: tuple[Any, ...]) -> Exchange[list[Any]]:
        """Run commands in one MULTI/EXEC transaction and return their replies."""
        with self.translate_errors():
            *_, replies = checked_replies((yield Commands((("MULTI",), *commands, ("EXEC",)))))
            return [self._parse(*pair) for pair in zip(commands, checked_replies(replies), strict=True)]

    def greet(self) -> Exchange[ServerMemory | None]:
        """Check that the server answers, accepts this user and has what a ledger needs.

        Return its memory if the user may read it.
        """
        info = ("INFO", "memory")
        names = needed_commands(in_cluster=self._in_cluster)
        try:
            with self.translate_errors():
                pong, hello, known, memory = yield Commands((("PING",), ("HELLO",), ("COMMAND", "INFO", *names), info))
                check_commands(self.address, hello, known, in_cluster=self._in_cluster)
                checked_replies([pong])
            with suppress(PermissionDeniedError):  # a user who runs no scripts
                check_libraries(self.address, (yield from self.script("probe")))
        except redis.ResponseError as error:  # it may be a proxy whose text quotes its input
            password = self.client.connection_pool.connection_kwargs.get("password")
            reply = "it quotes the password" if password and password in str(error) else str(error)
            raise LedgerUnavailableError(f"the server of CORNERMAN_REDIS_URL refuses: {reply}") from None
        return ServerMemory.from_info(self._parse(info, memory)) if isinstance(memory, bytes) else None

    def _parse(self, command: tuple[Any, ...], reply: Any) -> Any:
        read = self.client.response_callbacks.get(command[0])
        return reply if read is None else read(reply)

    def translate_errors(self) -> AbstractContextManager[None]:
        """Raise redis-py's errors of a block as LedgerUnavailableError or another LedgerError.

        An error that the ledger itself caused by a wrong request stays as redis-py raises it.
        """
        return _ErrorTranslation(self)


class _ErrorTranslation:
    """A block of `BaseServer.translate_errors`; entering a generator takes twice as long."""

    __slots__ = ("_server",)

    def __init__(self, server: BaseServer) -> None:
        self._server = server

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or not isinstance(error, redis.RedisError) or (refusal := error_meaning(error)) is None:
            return
        raise refusal.exception_type(
            f"the server at {self._server.address} cannot be used: {refusal.advice}"
        ) from error


def open_client(settings: LedgerSettings, *, asynchronous: bool = False) -> Any:
    """Return a redis-py client for the server of `settings.redis_url`, without connecting it.

    Raises LedgerUnavailableError if no server is named, or if the URL cannot be read; the message quotes no part of it.
    """
    if settings.redis_url is None:
        raise LedgerUnavailableError(
            "no server is configured: set CORNERMAN_REDIS_URL, for example redis://127.0.0.1:6379/0"
        )
    try:
        address = read_address(settings.redis_url)
    except ValueError as error:
        raise LedgerUnavailableError(str(error)) from None
    retries = import_module("redis.asyncio.retry" if asynchronous else "redis.retry")
    try:
        pool = open_pool(
            address,
            settings.namespace,
            settings.reply_timeout_seconds,
            asynchronous=asynchronous,
            # The calls are retried by the ledger's own connections, with one clock.
            retry=retries.Retry(redis.backoff.NoBackoff(), 0),
            **_driver_options(),
        )
        pool.connection_class(**pool.connection_kwargs)  # an unopened connection: redis-py checks the options
    except (ValueError, TypeError, redis.RedisError):  # their text may quote a part of the password
        raise LedgerUnavailableError(INVALID_URL_MESSAGE) from None
    for name in FILE_OPTIONS:  # OpenSSL's error names neither the option nor the file
        if (path := pool.connection_kwargs.get(name)) and not os.access(path, os.R_OK):
            raise LedgerUnavailableError(
                f"CORNERMAN_REDIS_URL: its option {name} names no file that this user can read"
            )
    return import_module("redis.asyncio" if asynchronous else "redis").Redis.from_pool(pool)


def _driver_options() -> dict[str, Any]:
    """Return which library redis-py reports to servers; otherwise each connection reads its version from files."""
    if not hasattr(redis, "DriverInfo"):  # an earlier redis-py
        return {}
    return {"driver_info": redis.DriverInfo(lib_version=redis.__version__)}


def lacks_script(reply: Any) -> bool:
    """Return True if a reply says that the server does not have the script yet, or not any more."""
    return isinstance(reply, Exception) and isinstance(reply, redis.exceptions.NoScriptError)


def checked_replies(replies: list[Any]) -> list[Any]:
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


def to_milliseconds(moment: datetime) -> int:
    """Convert a datetime to a time of the server, rounded down to a whole millisecond."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
