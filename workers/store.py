"""Where bundles are kept: a folder of this machine, or any file system that fsspec reaches, by its URL.

A place is a bundle's digest, or a path such as `parts/<digest>/replica-0-5`. What lies there is written once and is a
bundle (`engine.bundle`): its files get their names when they are whole, its manifest last, so that an interrupted
upload is never seen, and every byte is held against its hash when it is opened. Bundles that lie elsewhere are copied
to the folder of this machine first, and memory-mapped from there.

With a key, what is written is signed: `signature` beside the manifest is its HMAC-SHA256, and what is unsigned, or
signed with another key, is refused.

Only children use a store: the file systems of some services run threads, which no fork survives.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.bundle import MANIFEST, SIGNATURE, WRITING_PREFIX, Bundle, open_bundle, write_bundle
from engine.errors import BundleCorruptError, BundleNotFoundError, EngineError
from engine.member import Array
from engine.pieces import Pieces
from workers.parking import StoreUnavailableError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from workers.settings import WorkerSettings


class Store:
    """Bundles in `folder`, or at `url` with copies in `folder`; `key` signs them."""

    def __init__(self, folder: Path, url: str = "", key: str = "") -> None:
        self.folder = folder
        self._url = url
        self._key = key.encode()

    @classmethod
    def of(cls, settings: WorkerSettings) -> Store:
        """Return the store that a pool uses."""
        return cls(settings.models_folder, settings.store, settings.signing_key)

    def write(
        self,
        arrays: Mapping[str, Array | Pieces],
        manifest: Mapping[str, Any],
        where: str = "",
        name: str | None = None,
    ) -> Bundle:
        """Write a bundle to `<where>/<name>`, its digest by default. Raises StoreUnavailableError."""
        with self.writing(where):
            sign = self._signature if self._key else None
            bundle = write_bundle(self.folder / where, arrays, manifest, name, sign)
        return self.publish(bundle)

    @contextmanager
    def writing(self, where: str = "") -> Iterator[None]:
        """Write below `folder`: a disk that is full or away is a StoreUnavailableError, everything else is let pass."""
        try:
            yield
        except EngineError:  # some are OSErrors too
            raise
        except OSError as error:
            raise self._unavailable(where, error) from error

    def publish(self, bundle: Bundle) -> Bundle:
        """Sign a bundle that lies below `folder`, and bring it to the store. Raises StoreUnavailableError."""
        place = bundle.folder.relative_to(self.folder).as_posix()
        with self._reaching(place):
            if self._key:
                self._sign(bundle)
            if self._remote is not None:
                self._upload(self._remote, place, bundle.folder)
        return bundle

    def fetch(self, place: str) -> Path:
        """Return the folder on this machine where a bundle lies, copied there if need be; `open_bundle` verifies it.

        Raises BundleNotFoundError, BundleCorruptError where it is not signed as it must be, StoreUnavailableError.
        """
        folder = self.folder / place
        if not folder.is_dir():
            if self._remote is None:
                raise BundleNotFoundError(
                    f"bundle {place} is not in {self.folder}: copy it there, or let all pools share a store "
                    "(CORNERMAN_STORE)"
                )
            with self._reaching(place):
                self._download(self._remote, place, folder)
        if self._key:
            self._check_signature(folder)
        return folder

    def open(self, place: str) -> Bundle:
        """Fetch a bundle and open it. Raises as `fetch` and `open_bundle` do."""
        return open_bundle(self.fetch(place))

    def names(self, where: str) -> set[str]:
        """Return the names of the whole bundles that lie at `where`. Raises StoreUnavailableError."""
        with self._reaching(where):
            if not self._remote:
                return {path.parent.name for path in (self.folder / where).glob(f"[!.]*/{MANIFEST}")}
            found = (path.split("/") for path in self._files(self._remote, where, depth=2))
            return {name for name, *rest in found if rest == [MANIFEST]}

    def ages(self, where: str) -> dict[str, float]:
        """Return how old the whole bundles at `where` are, in seconds, by name. Raises StoreUnavailableError."""
        names = self.names(where)
        with self._reaching(where):
            if self._remote is None:
                return {name: time.time() - (self.folder / where / name / MANIFEST).stat().st_mtime for name in names}
            now = datetime.now(UTC)
            written = {name: self._remote.modified(self._at(where, name, MANIFEST)) for name in names}
            return {name: (now - _aware(moment)).total_seconds() for name, moment in written.items()}

    def touch(self, place: str) -> None:
        """Make a bundle young again, for `ages`. Raises StoreUnavailableError."""
        with self._reaching(place):
            if self._remote is not None:
                _put(self._remote, self.folder / place / MANIFEST, self._at(place, MANIFEST))
            (self.folder / place / MANIFEST).touch()

    def remove(self, place: str) -> None:
        """Remove a bundle, or all that lies below a path; its manifest first. Raises StoreUnavailableError."""
        with self._reaching(place):
            if self._remote and (files := self._files(self._remote, place)):
                if MANIFEST in files:
                    self._remote.rm_file(self._at(place, MANIFEST))
                self._remote.rm(self._at(place), recursive=True)
            folder = self.folder / place
            if folder.exists():
                # At once for whoever looks, though its files go one by one; who has it open keeps it.
                gone = folder.with_name(f"{WRITING_PREFIX}removed-{os.getpid()}-{folder.name}")
                folder.rename(gone)
                shutil.rmtree(gone)

    def _sign(self, bundle: Bundle) -> None:
        """Sign a bundle that others may be reading."""
        made = bundle.folder.parent / f"{WRITING_PREFIX}signature-{secrets.token_hex(8)}"
        made.write_text(self._signature(bundle.digest))
        made.replace(bundle.folder / SIGNATURE)

    def sweep(self, older_than_seconds: float) -> None:
        """Remove what writers that were killed left below `folder`. What is younger may be at work still."""
        before = time.time() - older_than_seconds
        for path in list(self.folder.rglob(f"{WRITING_PREFIX}*")):
            with suppress(FileNotFoundError):  # another pool of this machine was faster
                if path.stat().st_mtime < before:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _files(self, remote: AbstractFileSystem, place: str, depth: int | None = None) -> list[str]:
        """The paths of all whole files below a place; none where there is no such place.

        Not by `exists`, `find` and `glob` of fsspec: they take a store that does not answer for an empty one.
        """
        paths: list[str] = []
        root: str | None = None  # the place as the file system calls it: it comes first
        for folder, _, names in remote.walk(self._at(place), maxdepth=depth, on_error=_unless_missing):
            root = folder if root is None else root
            inner = str(folder).removeprefix(root).strip("/")
            paths += [f"{inner}/{name}".lstrip("/") for name in names if not name.startswith(WRITING_PREFIX)]
        return paths

    def _upload(self, remote: AbstractFileSystem, place: str, folder: Path) -> None:
        """Bring all files to the store, or the signature alone where the bundle is there; the manifest comes last."""
        files = [folder / SIGNATURE] if self._key else []
        if MANIFEST not in self._files(remote, place, depth=1):
            inner = (path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, SIGNATURE))
            files += [*sorted(inner), folder / MANIFEST]
        for path in files:
            _put(remote, path, self._at(place, path.relative_to(folder).as_posix()))

    def _download(self, remote: AbstractFileSystem, place: str, folder: Path) -> None:
        files = self._files(remote, place)
        if MANIFEST not in files:
            raise BundleNotFoundError(
                f"bundle {place} is not in the store {self._shown}: nobody wrote it, or it was removed"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=WRITING_PREFIX, dir=folder.parent) as parent:
            copy = Path(parent, folder.name)
            for path in files:
                target = copy / path
                target.parent.mkdir(parents=True, exist_ok=True)
                remote.get_file(self._at(place, path), str(target))
            open_bundle(copy)  # what was cut short on the way must not stay
            try:
                copy.rename(folder)
            except OSError:  # another child was faster
                if not folder.is_dir():
                    raise

    @cached_property
    def _remote(self) -> AbstractFileSystem | None:
        if not self._url:
            return None
        import fsspec  # only where bundles lie elsewhere

        with self._reaching(""):
            # Others write there too: a remembered listing would hide what they have done.
            filesystem: AbstractFileSystem = fsspec.url_to_fs(
                self._url, skip_instance_cache=True, use_listings_cache=False
            )[0]
            return filesystem

    @cached_property
    def _root(self) -> str:
        import fsspec

        return str(fsspec.url_to_fs(self._url)[1]).rstrip("/")

    def _at(self, *parts: str) -> str:
        return "/".join((self._root, *(part for part in parts if part)))

    def _signature(self, digest: str) -> str:
        return hmac.new(self._key, digest.encode(), "sha256").hexdigest()

    def _check_signature(self, folder: Path) -> None:
        try:
            signature = (folder / SIGNATURE).read_text()
        except OSError:
            raise BundleCorruptError(
                f"{folder} is not signed, and CORNERMAN_SIGNING_KEY is set: train it again, or vouch for it: "
                f"python -m workers.signing {folder.name}"
            ) from None
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        if not hmac.compare_digest(signature.strip(), self._signature(digest)):
            raise BundleCorruptError(f"{folder} was changed, or was signed with another key than CORNERMAN_SIGNING_KEY")

    @property
    def _shown(self) -> str:
        """The URL, without user and password."""
        parts = urlsplit(self._url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    @contextmanager
    def _reaching(self, place: str) -> Iterator[None]:
        try:
            yield
        except (EngineError, MemoryError, StoreUnavailableError):
            raise
        except Exception as error:  # every file system has errors of its own
            self.__dict__.pop("_remote", None)  # some never connect again
            raise self._unavailable(place, error) from error

    def _unavailable(self, place: str, error: Exception) -> StoreUnavailableError:
        what = f"the store {self._shown or self.folder} cannot be used for {place or 'anything'}"
        return StoreUnavailableError(f"{what}: {type(error).__name__}: {error}")


def _put(remote: AbstractFileSystem, path: Path, target: str) -> None:
    """Upload a file, which is there whole or not at all."""
    parent = target.rpartition("/")[0]
    writing = f"{parent}/{WRITING_PREFIX}{secrets.token_hex(8)}"
    with suppress(Exception):  # another worker may make it at the same time; where it is missing, the upload fails
        remote.makedirs(parent, exist_ok=True)
    try:
        remote.put_file(str(path), writing)
        remote.mv(writing, target)
    except Exception:
        with suppress(Exception):
            remote.rm_file(writing)
        raise


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _aware(moment: datetime) -> datetime:
    """A time of a file system; those without a zone are UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
