"""The temporary files of a pool: one folder, with a folder for each child in it.

Python's `tempfile` is pointed at them, so that files of libraries are there, too: Celery's process pool makes a folder
when it forks its first child. A pool or child that is killed removes nothing itself. The files of a child are removed
by the supervisor, those of a pool by the next pool of the machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

from ledger.scratch_folders import ScratchFolder

_AFTER_MULTIPROCESSING = -200  # which removes its folder, inside this one, at -100


class PoolScratch:
    """The temporary files of one pool; without a folder until it is opened."""

    def __init__(self) -> None:
        self._folder: ScratchFolder | None = None

    def open(self) -> None:
        """Make the folder, in the main process and before a child is forked. Raises OSError."""
        self._folder = ScratchFolder("pool")
        tempfile.tempdir = str(self._folder.path)
        Finalize(None, self._folder.remove, exitpriority=_AFTER_MULTIPROCESSING)  # not run by forked children

    def open_child(self) -> None:
        """Make the folder of the calling child. Raises OSError."""
        if self._folder is not None:
            self.remove_child(os.getpid())  # of a dead child whose process id was the same
            path = self._child(self._folder, os.getpid())
            path.mkdir(mode=0o700)
            tempfile.tempdir = str(path)

    def remove_child(self, pid: int) -> None:
        """Remove the folder of a dead child."""
        if self._folder is not None:
            shutil.rmtree(self._child(self._folder, pid), ignore_errors=True)

    @staticmethod
    def _child(folder: ScratchFolder, pid: int) -> Path:
        return folder.path / f"child-{pid}"
