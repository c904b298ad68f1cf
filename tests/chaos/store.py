"""The run's own store of bundles: an FTP server that can be killed, stopped, slowed down and have its disk filled.

What it serves and the folder of the training pool's machine lie on one small disk, which only root can have mounted.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.chaos.server import stopped

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.02
USER, PASSWORD = "chaos", "secret"
DISK_MB = 192
_MB = 2**20


class StoreServer:
    """A context manager around a server of the files in `folder`, at `url`."""

    def __init__(self, folder: Path) -> None:
        self._port = _free_port()
        self._folder = folder
        self._one_at_a_time = threading.Lock()
        self.url = f"ftp://{USER}:{PASSWORD}@127.0.0.1:{self._port}/"

    def __enter__(self) -> Self:
        """Start the server."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        self._kill()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Kill it by SIGKILL, and start it again at the end."""
        with self._one_at_a_time:
            self._kill()
            yield
            self._start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it by SIGSTOP, and let it go on at the end."""
        with self._one_at_a_time, stopped(self._process):
            yield

    def _start(self) -> None:
        options = ["-i", "127.0.0.1", "-p", str(self._port), "-d", str(self._folder), "-w", "-u", USER, "-P", PASSWORD]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pyftpdlib", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until_seconds = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until_seconds:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1.0):
                return
            time.sleep(LOOK_SECONDS)
        raise TimeoutError("the store's server does not start")

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Disk:
    """A small file system of its own in `folder`, a context manager; just a folder where it may not be mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = False

    def __enter__(self) -> Self:
        """Mount it."""
        self.folder.mkdir(parents=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(self.folder)]
        with suppress(FileNotFoundError):
            self.mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away, with all that is on it."""
        if self.mounted:
            unmount = ["umount", "--lazy", str(self.folder)]
            subprocess.run(unmount, check=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no byte free on it until the end."""
        filler = self.folder / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                for size in (_MB, 4096):
                    _fill(file.fileno(), size)
            yield
        finally:
            filler.unlink(missing_ok=True)


def _free_port() -> int:
    """Return a port below those that the system gives to callers, who would take it while the server is down."""
    for port in range(random.randint(20_000, 30_000), 32_000):
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


def _fill(descriptor: int, size: int) -> None:
    try:
        while True:
            os.write(descriptor, bytes(size))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
