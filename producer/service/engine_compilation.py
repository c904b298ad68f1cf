"""Compilation of the engine's loops in a process of its own, while something else goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def engine_compilation() -> Iterator[subprocess.Popen[bytes]]:
    """Start to compile what a training and a card need, and stop it at the end of the block if it still runs.

    If it fails, the pools compile their loops themselves, on the first call of each.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.machine_code"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that its own processes can be stopped with it
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
