"""Writing of a fight log's folder by versions: a reader, and a process killed at any moment, leave one of them whole.

See `engine.data.fight_log_versions` for the layout. A new version is written next to the others and flushed to the
disk; then the link `current` is replaced, which is one step. A folder whose tables are plain files becomes one with
versions first: its first version has the same content, so each file can be replaced by a link in turn.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from engine.data.fight_log_tables import TABLE_SUFFIXES
from engine.data.fight_log_versions import CURRENT, VERSIONS
from engine.errors import ValidationError

KEPT_VERSIONS = 5
"""Versions that stay, with the one in force: a reader has followed the link to one of them."""
TABLES = ("fights", "stat_lines", "fighters")
WAIT_SECONDS = 60.0
"""How long an import waits for another one: schedules and people may begin two at once, and most take seconds."""

_LOCK = ".lock"
_NEW = ".new-"
_LOOK_SECONDS = 0.05


@contextmanager
def locked(folder: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the folder for one writer; it is made if absent. Raises ValidationError if another writer keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        end = time.monotonic() + wait_seconds
        while not _try_lock(lock):
            if time.monotonic() >= end:
                raise ValidationError(f"another import is writing {folder}: wait for its end, then repeat")
            time.sleep(_LOOK_SECONDS)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def suffix_of(folder: Path) -> str:
    """Return the suffix of the tables in a folder: that of its fights, `.csv.gz` without any."""
    found = [suffix for suffix in TABLE_SUFFIXES if (folder / f"fights{suffix}").exists()]
    return found[0] if found else ".csv.gz"


def replace_version(folder: Path, write: Callable[[Path], None], extras: tuple[str, ...] = ()) -> None:
    """Put a new version in place. The caller holds the folder (`locked`).

    Parameters
    ----------
    folder
        The folder of the log.
    write
        Writes the three tables, in the format of `suffix_of(folder)`, and the files of `extras` into a folder.
    extras
        Names of further files, which are linked like the tables.
    """
    versions = folder / VERSIONS
    versions.mkdir(exist_ok=True)
    for left in versions.glob(f"{_NEW}*"):
        shutil.rmtree(left)  # of a process that was killed
    names = [f"{table}{suffix_of(folder)}" for table in TABLES]
    _adopt(folder, names, extras)
    _put(folder, write)
    for name in (*names, *extras):
        _link(folder / name, Path(CURRENT) / name)
    _remove_old(folder)


def _adopt(folder: Path, names: list[str], extras: tuple[str, ...]) -> None:
    """Make a first version of plain files, and replace each by a link to the same content."""
    plain = [name for name in (*names, *extras) if (folder / name).is_file() and not (folder / name).is_symlink()]
    if not plain:
        return
    if not (folder / CURRENT).is_symlink():
        _put(folder, lambda new: [shutil.copy2(folder / name, new / name) for name in plain])
    for name in plain:
        if (folder / name).read_bytes() != (folder / CURRENT / name).read_bytes():
            raise ValidationError(
                f"{folder / name} was replaced by hand, and the log reads {CURRENT}/{name}: remove it, and import the "
                "new tables from another folder"
            )
        _link(folder / name, Path(CURRENT) / name)


def _put(folder: Path, write: Callable[[Path], object]) -> None:
    versions = folder / VERSIONS
    numbers = [int(path.name) for path in versions.iterdir() if path.name.isdecimal()]
    new = versions / f"{_NEW}{os.getpid()}"
    new.mkdir()
    write(new)
    for path in new.iterdir():
        _flush(path)
    _flush(new)
    name = f"{max(numbers, default=0) + 1:06d}"
    new.rename(versions / name)
    _flush(versions)
    _link(folder / CURRENT, Path(VERSIONS) / name)


def _link(path: Path, target: Path) -> None:
    """Make `path` a symbolic link to `target`, in one step."""
    if path.is_symlink() and path.readlink() == target:
        return
    new = path.with_name(f".{path.name}{_NEW}{os.getpid()}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)
    _flush(path.parent)


def _remove_old(folder: Path) -> None:
    in_force = (folder / CURRENT).readlink().name
    versions = sorted(path for path in (folder / VERSIONS).iterdir() if path.name.isdecimal())
    for path in versions[:-KEPT_VERSIONS]:
        if path.name != in_force:
            shutil.rmtree(path)


def _flush(path: Path) -> None:
    """Write a file, or the names of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot do that for folders
            os.fsync(handle)
    finally:
        os.close(handle)
