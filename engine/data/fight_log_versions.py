"""Versions of a fight log's folder: a reader sees one of them, whole, also while a new one is put in place.

A log that imports keep up to date has its tables in `versions/NAME/`; `current` is a symbolic link to the version in
force, and the tables in the folder itself are links to those of `current`. To replace the link is one step for all
tables. A reader that opens several files follows `current` once, before the first. A folder without `current` holds
its tables itself.
"""

from __future__ import annotations

from pathlib import Path

CURRENT = "current"
VERSIONS = "versions"


def current_version(folder: Path) -> Path:
    """Return the folder of the version in force; `folder` itself if it has no versions."""
    link = folder / CURRENT
    return link.resolve() if link.is_symlink() else folder
