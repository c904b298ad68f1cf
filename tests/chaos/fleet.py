"""Pools as real processes under a supervisor that starts them again, as every operator's does.

A pool that exits is started again at once. What it leaves behind is not swept away, so that the ledger has to cope with
children that outlive their pool. `psutil` sends the signals, because it never hits a stranger with a reused number.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import psutil

from tests.chaos import probe

ROOT = Path(__file__).parents[2]
LOOK_SECONDS = 0.05
STOP_SECONDS = 30.0


class Pool:
    """One pool, through all of its incarnations. Its log grows in one file."""

    def __init__(
        self, name: str, folder: Path, variables: Mapping[str, str], concurrency: int, queue: str = "predict"
    ) -> None:
        self.clock = folder / f"{name}.clock"
        self.log = folder / f"{name}.log"
        self.exits: Counter[int] = Counter()
        self._command = [sys.executable, "-m", probe.__name__, "--pool", queue, "--concurrency", str(concurrency)]
        self._variables = {**variables, "CORNERMAN_NODE": name, probe.CLOCK: str(self.clock)}
        self._groups: list[int] = []

    def start(self) -> None:
        """Start the process, in a group of its own."""
        stream: IO[bytes]
        with self.log.open("ab") as stream:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        self._groups.append(self._process.pid)

    def tend(self) -> None:
        """Start the process again if it has ended."""
        code = self._process.poll()
        if code is not None:
            self.exits[code] += 1
            self.start()

    def signal_main(self, signum: int) -> None:
        """Send a signal to the main process."""
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self._process.pid).send_signal(signum)

    def children(self) -> list[psutil.Process]:
        """Return the children; none where the main process has just ended."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children()
        return []

    def processes(self) -> list[psutil.Process]:
        """Return the main process and its children."""
        with suppress(psutil.NoSuchProcess):
            return [psutil.Process(self._process.pid), *self.children()]
        return []

    def stop(self) -> int | None:
        """Ask the process to end, by a warm shutdown; return its exit code, None where it does not end."""
        self.signal_main(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for process in self.processes():
                process.send_signal(probe.TELL)
            return None

    def sweep(self) -> int:
        """Kill whatever is left of any incarnation; return in how many groups there was something."""
        left = 0
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
                left += 1
        self._process.wait(STOP_SECONDS)
        return left


class Fleet:
    """A context manager around some pools and their supervisor."""

    def __init__(self, pools: list[Pool]) -> None:
        self.pools = pools
        self._over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        """Start all pools, and look after them from now on."""
        for pool in self.pools:
            pool.start()
        self._supervisor.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        self._stop_supervising()
        for pool in self.pools:
            pool.sweep()

    def retire(self) -> list[str]:
        """End all pools by a warm shutdown; return what is odd about their ends."""
        self._stop_supervising()
        codes = [pool.stop() for pool in self.pools]
        good = (0, -signal.SIGTERM)  # the latter where it was told before it had begun
        odd = [
            f"{pool.log.stem} ended with {code}"
            for pool, code in zip(self.pools, codes, strict=True)
            if code not in good
        ]
        return odd + [f"{pool.log.stem} left processes behind" for pool in self.pools if pool.sweep()]

    def unexplained(self) -> list[str]:
        """Return the lines of the logs that say that a claim was given back, and not why."""
        return [
            f"{pool.log.stem} gave a claim back and did not say why: {line}"
            for pool in self.pools
            for line in pool.log.read_text(errors="replace").splitlines()
            if re.search('"outcome": "(released|parked)"', line) and '"reason": "' not in line
        ]

    def any_child(self, rng: random.Random) -> psutil.Process | None:
        """Return a child of some pool, None where there is none at the moment."""
        children = [child for pool in self.pools for child in pool.children()]
        return rng.choice(children) if children else None

    def _supervise(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for pool in self.pools:
                pool.tend()

    def _stop_supervising(self) -> None:
        self._over.set()
        self._supervisor.join()
