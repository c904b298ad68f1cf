"""Folders of temporary files, which are removed although the process that made them was killed.

Each is locked for as long as a process has it open. The kernel releases the lock of a killed process, so no process
uses a folder without a lock, and the next one that makes a scratch folder removes it. A process id in its name would
not say that: in containers process ids repeat. systemd-tmpfiles leaves a locked folder alone, however old its files
are.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

PREFIX = "cornerman-scratch-"


class ScratchFolder:
    """A folder among the temporary files of this machine, and a context manager that removes it at its end.

    Processes that are forked from the one that made it hold the lock, too; programs that it starts do not.

    Parameters
    ----------
    name
        What the folder is for; part of its name.
    """

    def __init__(self, name: str) -> None:
        """Make the folder, and remove those that killed processes have left. Raises OSError."""
        remove_abandoned()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-"))
            with suppress(FileNotFoundError):  # another process took it for abandoned before it was locked
                self._lock = os.open(self.path, os.O_RDONLY)
                with suppress(OSError):  # a file system without locks, where no folder counts as abandoned
                    fcntl.flock(self._lock, fcntl.LOCK_EX)
                if self.path.exists():
                    return
                os.close(self._lock)

    def remove(self) -> None:
        """Remove the folder with its files."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Self:
        """Return this folder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        self.remove()


def remove_abandoned() -> None:
    """Remove the scratch folders of this user that no process has open."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is in use, another user's, or removed already
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
