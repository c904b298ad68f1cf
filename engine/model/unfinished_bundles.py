"""What writers of bundles leave behind when they are killed; needs none of the libraries that open a bundle."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

WRITING_PREFIX = ".writing-"
"""The names of files and folders that are being written begin with this."""


def incomplete_bundles(parent: Path) -> list[Path]:
    """List the folders of writers that were killed or are still writing, oldest first."""
    return sorted(parent.glob(f"{WRITING_PREFIX}*"), key=lambda path: path.stat().st_mtime)


def remove_unfinished(folder: Path, older_than_seconds: float) -> None:
    """Remove unfinished files of killed writers below a folder; younger ones may still be in use."""
    before = time.time() - older_than_seconds
    for path in list(folder.rglob(f"{WRITING_PREFIX}*")):
        with suppress(FileNotFoundError):  # another process of this machine was faster
            if path.stat().st_mtime < before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
