"""A folder of a file system that fsspec reaches, with atomic uploads and small marker files.

Errors are those of the file system; a missing file raises FileNotFoundError.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

WRITING_PREFIX = ".writing-"
"""Begins the name of a file that is not complete."""


class FsspecFolder:
    """The folder at `root`; all places are paths below it."""

    def __init__(self, filesystem: AbstractFileSystem, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    @classmethod
    def from_url(cls, url: str) -> FsspecFolder:
        """Return the folder at a URL."""
        import fsspec  # only where it is needed

        # Others write there too: a cached listing would hide their changes.
        filesystem, root = fsspec.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
        return cls(filesystem, str(root))

    @classmethod
    def from_folder(cls, folder: Path) -> FsspecFolder:
        """Return a folder of this machine; not through a URL, in which fsspec does not decode `%20`."""
        import fsspec  # only where it is needed

        return cls(fsspec.filesystem("file", skip_instance_cache=True), str(folder.absolute()))

    def files(self, place: str, depth: int | None = None) -> list[str]:
        """Return the paths of all complete files below a place; none if the place does not exist.

        This avoids `exists`, `find` and `glob` of fsspec, which treat an unreachable store as an empty one.
        """
        paths: list[str] = []
        root: str | None = None  # the file system's own name of the place, which it lists first
        for folder, _, names in self._filesystem.walk(self._at(place), maxdepth=depth, on_error=_unless_missing):
            root = folder if root is None else root
            inner = str(folder).removeprefix(root).strip("/")
            paths += [f"{inner}/{name}".lstrip("/") for name in names if not name.startswith(WRITING_PREFIX)]
        return paths

    def age_seconds(self, place: str) -> float | None:
        """Return the time since a file was written; None if it does not exist."""
        try:
            return (datetime.now(UTC) - self._written(place)).total_seconds()
        except FileNotFoundError:
            self._check_gone(place)
            return None

    def put(self, path: Path, place: str) -> None:
        """Upload a file; it becomes visible when it is complete."""
        self._appear(place, lambda writing: self._filesystem.put_file(str(path), writing))

    def write(self, content: bytes, place: str) -> None:
        """Write a file; it becomes visible when it is complete, and replaces another of that name."""
        self._appear(place, lambda writing: self._filesystem.pipe_file(writing, content))

    def read(self, place: str) -> bytes | None:
        """Return the content of a file; None if it does not exist."""
        try:
            content: bytes = self._filesystem.cat_file(self._at(place))
        except FileNotFoundError:
            self._check_gone(place)
            return None
        return content

    def read_range(self, place: str, start: int, end: int) -> bytes:
        """Return a part of a file, fewer bytes if it ends before."""
        content: bytes = self._filesystem.cat_file(self._at(place), start=start, end=end)
        return content

    def open(self, place: str, *, whole: bool = False) -> IO[Any]:
        """Open a file to be read in any order, each read with a request of its own; or `whole`, from begin to end."""
        cache = "readahead" if whole else "none"
        opened: IO[Any] = self._filesystem.open(self._at(place), "rb", cache_type=cache)
        return opened

    def _appear(self, place: str, write: Callable[[str], None]) -> None:
        target = self._at(place)
        parent = self._parent(target)
        writing = f"{parent}/{WRITING_PREFIX}{secrets.token_hex(8)}"
        try:
            write(writing)
            self._filesystem.mv(writing, target)
        except Exception:
            with suppress(Exception):
                self._filesystem.rm_file(writing)
            raise

    def get(self, place: str, path: Path) -> None:
        """Download a file, and create the folders above it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._filesystem.get_file(self._at(place), str(path))

    def write_marker(self, place: str, text: str) -> None:
        """Write a small file. Only its existence counts: its text may be incomplete."""
        target = self._at(place)
        self._parent(target)
        self._filesystem.pipe_file(target, text.encode())

    def read_marker(self, place: str) -> str | None:
        """Return the text of a small file; None if it does not exist."""
        content = self.read(place)
        return None if content is None else content.decode(errors="replace")

    def remove_file(self, place: str) -> None:
        """Remove a file if it exists."""
        if not self._missing(place):
            self._filesystem.rm_file(self._at(place))

    def remove_all(self, place: str) -> None:
        """Remove everything below a place."""
        if self.files(place):
            self._filesystem.rm(self._at(place), recursive=True)

    def _written(self, place: str) -> datetime:
        try:
            return _aware(self._filesystem.modified(self._at(place)))
        except NotImplementedError:  # FTP, whose listings have the time
            facts = self._filesystem.info(self._at(place))
            return datetime.strptime(facts["modify"][:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)

    def _missing(self, place: str) -> bool:
        parent, _, name = place.rpartition("/")
        return name not in self.files(parent, depth=1)

    def _check_gone(self, place: str) -> None:
        """Re-raise the current error if the file exists: some file systems report every error as a missing file."""
        if not self._missing(place):
            raise

    def _parent(self, target: str) -> str:
        """Return the folder above a file, and create it."""
        parent = target.rpartition("/")[0]
        with suppress(Exception):  # another worker may create it at the same time; if it is missing, writing fails
            self._filesystem.makedirs(parent, exist_ok=True)
        return parent

    def _at(self, place: str) -> str:
        return f"{self._root}/{place}" if place else self._root


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _aware(moment: datetime) -> datetime:
    """Return a time of a file system with its zone; without one it is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
