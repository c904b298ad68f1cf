"""The one place that talks to Redis or Valkey: scripts, single commands, and what their errors mean.

Whatever keeps the server from answering becomes `LedgerUnavailable`, and a refusal by its ACL `PermissionDenied`; both
name the address, never the password.
An error in our own use of the server is left as redis-py raises it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from ledger import scripts
from ledger.connections import Command, Connections
from ledger.failures import LedgerError, LedgerUnavailable, PermissionDenied
from ledger.settings import LedgerSettings

if TYPE_CHECKING:
    import redis
else:
    from ledger import redis_on_demand as redis

_ADVICE = {
    "NOAUTH": "it asks for a password: put one into CORNERMAN_REDIS_URL (redis://user:password@host:port/0)",
    "WRONGPASS": "it does not accept this user and password: check CORNERMAN_REDIS_URL",
    "NOPERM": "this user may not do that: see deploy/users.acl for what each role needs",
    "LOADING": "it is still loading its data: try again in a moment",
    "OOM": "it is out of memory: raise its maxmemory or shorten CORNERMAN_RETENTION_SECONDS",
    "READONLY": "it is a replica: point CORNERMAN_REDIS_URL at the primary",
    "MASTERDOWN": "it is a replica without its primary: point CORNERMAN_REDIS_URL at the primary",
    "MISCONF": "it cannot write its data to disk: see its log",
}


class ServerFull(LedgerUnavailable):
    """The server takes nothing new, because its `maxmemory` is reached."""


_KINDS: dict[str, type[LedgerError]] = {_ADVICE["OOM"]: ServerFull, _ADVICE["NOPERM"]: PermissionDenied}


class Server:
    """A connection and the settings; what the ledger's parts build on.

    `client` must return bytes (no `decode_responses`) and speak RESP 2, as one from `connect` does.
    """

    def __init__(self, client: redis.Redis, settings: LedgerSettings) -> None:
        self.settings = settings
        self._redis: Any = client  # redis-py's signatures mix in those of its asynchronous client
        self._connections = Connections(client)
        self._scripts = scripts.register(client)
        self._header = (
            settings.namespace,
            _milliseconds(settings.retention_seconds),
            _milliseconds(settings.tombstone_seconds),
            settings.outcomes_cap,
            settings.doorbell_cap,
            settings.max_attempts,
            _milliseconds(settings.lease_seconds),
            self._database,
        )

    @classmethod
    def connect(cls, settings: LedgerSettings) -> Self:
        """Open a ledger. Raises LedgerUnavailable where the server does not answer or does not let this user in."""
        if settings.redis_url is None:
            raise LedgerUnavailable("no server is named: set CORNERMAN_REDIS_URL, for example redis://127.0.0.1:6379/0")
        try:
            client = redis.Redis.from_url(
                settings.redis_url,
                protocol=2,
                socket_timeout=settings.reply_timeout_seconds,
                socket_connect_timeout=settings.reply_timeout_seconds,
                retry=redis.retry.Retry(redis.backoff.ExponentialBackoff(cap=0.2, base=0.05), retries=2),
            )
            # A connection, not yet opened, of which redis-py checks the options that came with the URL.
            client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
            ledger = cls(client, settings)
            ledger._call("PING")
        except redis.ResponseError as error:
            raise LedgerUnavailable(f"the server that CORNERMAN_REDIS_URL names refuses: {error}") from error
        except (ValueError, TypeError, redis.RedisError):  # their text may quote a piece of the password
            raise LedgerUnavailable(
                "CORNERMAN_REDIS_URL cannot be read: write redis://user:password@host:port/0, rediss:// or unix://, "
                "with special characters of the password percent-encoded, and after a `?` only options of redis-py"
            ) from None
        return ledger

    def close(self) -> None:
        """Give the connections back."""
        self._connections.close()
        self._redis.close()

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
        with self._reaching():
            [reply] = self._connections.ask(self._script(name, *args))
            if isinstance(reply, redis.exceptions.NoScriptError):  # a server that was restarted has to be sent it
                return self._scripts[name](args=(*self._header, *args))
            if isinstance(reply, Exception):
                raise reply
            return reply

    def _script(self, name: str, *args: Any) -> Command:
        return ("EVALSHA", self._scripts[name].sha, 0, *self._header, *args)

    def _call(self, *command: Any) -> Any:
        with self._reaching():
            return self._redis.execute_command(*command)

    def _call_all(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands as one transaction."""
        with self._reaching(), self._redis.pipeline(transaction=True) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(pipeline.execute())

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            reason = explain(error)
            if reason is None:
                raise
            kind = _KINDS.get(reason, LedgerUnavailable)
            raise kind(f"the server at {self.address} cannot be used: {reason}") from error


def explain(error: redis.RedisError) -> str | None:
    """Say why the server is of no use and what to do; None where the fault is in our own request."""
    text = str(error)
    for code, advice in _ADVICE.items():
        if text.startswith(code):
            return advice
    refused = isinstance(error, redis.exceptions.NoPermissionError)
    if refused or "ACL failure" in text or "can't run this command" in text:  # the last two: within a script
        return _ADVICE["NOPERM"]
    if isinstance(error, redis.exceptions.OutOfMemoryError) or "-OOM command not allowed" in text:  # the latter: 6.2
        return _ADVICE["OOM"]
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return _ADVICE["READONLY"]
    if isinstance(error, redis.BusyLoadingError):
        return _ADVICE["LOADING"]
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthenticationWrongNumberOfArgsError):
        return _ADVICE["NOAUTH" if "required" in text else "WRONGPASS"]
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return f"{text or type(error).__name__} (is it running, and is CORNERMAN_REDIS_URL right?)"
    return None


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def moment(milliseconds: bytes | float) -> datetime:
    """Read a time of the server."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)
