"""Files that one process of a test run makes and the others read."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "TESTS_SHARED_FOLDER"
"""The environment variable with the run's folder for them, which `tests/conftest.py` makes and removes."""
RUN_PROCESS = "TESTS_RUN_PROCESS"
"""The environment variable with the id of the run's main process."""


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder of this name, after the first process that asks for it has filled it by `make`."""
    folder = Path(os.environ[FOLDER]) / name
    done = folder / ".done"
    with folder.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@contextmanager
def one_before_the_others(name: str) -> Iterator[None]:
    """Let one process of the run do something before the others, which then do it side by side."""
    done = Path(os.environ[FOLDER]) / f"{name}.done"
    with done.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            fcntl.flock(lock, fcntl.LOCK_UN)
        yield
        done.touch()
