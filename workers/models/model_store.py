"""The store of bundles: a folder of this machine, or any file system that fsspec reaches by URL.

A place is a bundle's digest, or a path such as `parts/<digest>/replica-0-5`. Each place is written once and holds a
bundle (`engine.model.bundle`). A file gets its name when it is complete, the manifest last, so an interrupted upload is
never visible, and every byte is verified when the bundle is opened. Bundles of a remote store are first copied to the
folder of this machine and memory-mapped from there.

A store that is opened for a ledger records which bundles this ledger uses; only the ledger itself removes those
(`workers.models.bundle_owners`). `write`, `publish`, `touch`, `open` and `bundle_names` may run concurrently with each
other and with one `remove` of a garbage collection; a call that comes too late for a bundle under removal raises
StoreUnavailableError, and succeeds later.

With a key, bundles are signed: the file `signature` next to the manifest is its HMAC-SHA256, and a bundle without a
signature, or with that of another key, is refused.

Only children use a store: the file systems of some services start threads, which do not survive a fork.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.arrays import Array
from engine.errors import BundleCorruptError, BundleNotFoundError, EngineError
from engine.model.bundle import MANIFEST, SIGNATURE, Bundle, open_bundle, write_bundle
from engine.model.unfinished_bundles import WRITING_PREFIX
from engine.resources.chunked_arrays import ChunkedArray
from ledger.remote_folder import FsspecFolder
from workers.errors import StoreUnavailableError
from workers.models.bundle_owners import Owners

if TYPE_CHECKING:
    from workers.settings import WorkerSettings


PREPARED, PARTS = "prepared", "parts"
"""Places in the store: prepared training data in `prepared/<digest>`, and the results of the parts of that training in
`parts/<digest>/<name>`."""


class Store:
    """A store of bundles.

    Parameters
    ----------
    folder : Path
        The bundles, or the local copies of a remote store.
    url : str
        The remote store; empty for none.
    key : str
        Signs and checks bundles; empty for no signatures.
    ledger : str
        Identity of the ledger that uses the bundles; without it no owners are recorded.
    """

    def __init__(self, folder: Path, url: str = "", key: str = "", ledger: str = "") -> None:
        self.folder = folder
        self._url = url
        self._key = key.encode()
        self._ledger = ledger

    @classmethod
    def from_settings(cls, settings: WorkerSettings, ledger: str = "") -> Store:
        """Return the store of a pool."""
        return cls(settings.models_folder, settings.store, settings.signing_key, ledger)

    def write(
        self,
        arrays: Mapping[str, Array | ChunkedArray],
        manifest: Mapping[str, Any],
        parent: str = "",
        name: str | None = None,
    ) -> Bundle:
        """Write a bundle to `<parent>/<name>`, by default its digest, and publish it. Raises StoreUnavailableError."""
        with self.writing(parent):
            sign = self._signature if self._key else None
            bundle = write_bundle(self.folder / parent, arrays, manifest, name, sign)
        return self.publish(bundle)

    @contextmanager
    def writing(self, parent: str = "") -> Iterator[None]:
        """Convert an OSError of writing below `folder`, such as a full disk, to StoreUnavailableError."""
        try:
            yield
        except EngineError:  # some of these are OSErrors too
            raise
        except OSError as error:
            raise self._unavailable(parent, error) from error

    def publish(self, bundle: Bundle) -> Bundle:
        """Sign a bundle below `folder`, and upload it to a remote store. Raises StoreUnavailableError."""
        place = bundle.folder.relative_to(self.folder).as_posix()
        with self._reaching(place):
            if self._ledger and not place.startswith(f"{PARTS}/"):  # parts are kept as long as their prepared data
                self.owners.claim(place)
                if not (bundle.folder / MANIFEST).is_file():
                    raise StoreUnavailableError(f"bundle {place} was removed while it was being written")
            if self._key:
                self._sign(bundle)
            if self._remote is not None:
                self._upload(self._remote, place, bundle)
        return bundle

    def fetch(self, place: str) -> Path:
        """Return the folder of a bundle on this machine; download it if necessary. `open_bundle` verifies it.

        Raises
        ------
        BundleNotFoundError
        BundleCorruptError
            The signature is missing or wrong.
        StoreUnavailableError
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
        """Fetch and open a bundle. Raises as `fetch` and `open_bundle` do."""
        try:
            return open_bundle(self.fetch(place))
        except BundleCorruptError:
            if not self.discard_copy(place):
                raise
        return open_bundle(self.fetch(place))

    def discard_copy(self, place: str) -> bool:
        """Remove the damaged copy on this machine if the remote store has the bundle; return True if it has.

        Raises StoreUnavailableError.
        """
        with self._reaching(place):
            if self._remote is None or MANIFEST not in self._remote.files(place, depth=1):
                return False
            self._discard(self.folder / place)
            return True

    def bundle_names(self, parent: str) -> set[str]:
        """Return the names of the complete bundles directly below `parent`. Raises StoreUnavailableError."""
        with self._reaching(parent):
            if self._remote is None:
                return {path.parent.name for path in (self.folder / parent).glob(f"[!.]*/{MANIFEST}")}
            found = (path.split("/") for path in self._remote.files(parent, depth=2))
            return {name for name, *rest in found if rest == [MANIFEST]}

    def age_seconds(self, place: str) -> float | None:
        """Return the time since a bundle was written or last used; None if neither is known.

        Raises StoreUnavailableError.
        """
        with self._reaching(place):
            written, used = self._all.age_seconds(f"{place}/{MANIFEST}"), self.owners.age_seconds(place)
        return min((age for age in (written, used) if age is not None), default=None)

    def touch(self, place: str) -> None:
        """Record a use of a bundle now. Raises StoreUnavailableError, also while the bundle is being removed."""
        if self._ledger:
            with self._reaching(place):
                self.owners.claim(place)

    def remove(self, place: str) -> None:
        """Remove a bundle, the manifest first, or everything below a path. Raises StoreUnavailableError."""
        with self._reaching(place):
            if self._remote is not None:
                self._remote.remove_file(f"{place}/{MANIFEST}")
                self._remote.remove_all(place)
            # The rename hides the folder in one step; a process that has its files open keeps them.
            self._discard(self.folder / place)

    @staticmethod
    def _discard(folder: Path) -> None:
        gone = folder.with_name(f"{WRITING_PREFIX}removed-{secrets.token_hex(8)}")
        with suppress(FileNotFoundError):  # there is no copy here, or another child was faster
            folder.rename(gone)
            shutil.rmtree(gone)

    @cached_property
    def owners(self) -> Owners:
        """The owners of the bundles, seen from the ledger of this store."""
        return Owners(self._all, self._ledger, self._reaching)

    def _sign(self, bundle: Bundle) -> None:
        """Write the signature in one step, since others may be reading the bundle."""
        made = bundle.folder.parent / f"{WRITING_PREFIX}signature-{secrets.token_hex(8)}"
        made.write_text(self._signature(bundle.digest))
        made.replace(bundle.folder / SIGNATURE)

    def _upload(self, remote: FsspecFolder, place: str, bundle: Bundle) -> None:
        """Upload all files, the manifest last; only the signature if the store already has the complete bundle."""
        folder, there = bundle.folder, remote.files(place)
        files = [folder / SIGNATURE] if self._key else []
        if MANIFEST not in there or not self._whole(remote, place, there, bundle):
            inner = {path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, SIGNATURE)}
            files += [*sorted(inner), folder / MANIFEST]
            known = {path.relative_to(folder).as_posix() for path in files}
            for name in there:
                if name not in (*known, SIGNATURE):
                    remote.remove_file(f"{place}/{name}")
        for path in files:
            remote.put(path, f"{place}/{path.relative_to(folder).as_posix()}")

    def _whole(self, remote: FsspecFolder, place: str, files: list[str], bundle: Bundle) -> bool:
        """Download the files of a bundle, and return True if they are complete and correct."""
        with self._copied(remote, place, files) as copy:
            try:
                return open_bundle(copy).digest == bundle.digest
            except BundleCorruptError:
                return False

    @contextmanager
    def _copied(self, remote: FsspecFolder, place: str, files: list[str]) -> Iterator[Path]:
        """Download files to a folder of this machine, which is removed after the block unless it was renamed."""
        parent = (self.folder / place).parent
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=WRITING_PREFIX, dir=parent) as folder:
            copy = Path(folder, Path(place).name)
            for path in files:
                remote.get(f"{place}/{path}", copy / path)
            yield copy

    def _download(self, remote: FsspecFolder, place: str, folder: Path) -> None:
        files = remote.files(place)
        if MANIFEST not in files:
            raise BundleNotFoundError(
                f"bundle {place} is not in the store {self._public_url}: it was never written, or it was removed"
            )
        with self._copied(remote, place, files) as copy:
            open_bundle(copy)  # an incomplete download must not be kept
            try:
                copy.rename(folder)
            except OSError:  # another child was faster
                if not folder.is_dir():
                    raise

    @cached_property
    def _remote(self) -> FsspecFolder | None:
        if not self._url:
            return None
        with self._reaching(""):
            return FsspecFolder.from_url(self._url)

    @property
    def _all(self) -> FsspecFolder:
        """The folder of the bundles, local or remote."""
        return self._remote or FsspecFolder.from_folder(self.folder)

    def _signature(self, digest: str) -> str:
        return hmac.new(self._key, digest.encode(), "sha256").hexdigest()

    def _check_signature(self, folder: Path) -> None:
        try:
            signature = (folder / SIGNATURE).read_text()
        except OSError:
            raise BundleCorruptError(
                f"{folder} is not signed, and CORNERMAN_SIGNING_KEY is set: train it again, or sign it if you trust it "
                f"with python -m workers.models.sign {folder.name}"
            ) from None
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        if not hmac.compare_digest(signature.strip(), self._signature(digest)):
            raise BundleCorruptError(f"{folder} was changed, or signed with another key than CORNERMAN_SIGNING_KEY")

    @property
    def _public_url(self) -> str:
        """The URL without user and password."""
        parts = urlsplit(self._url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    @contextmanager
    def _reaching(self, place: str) -> Iterator[None]:
        try:
            yield
        except (EngineError, MemoryError, StoreUnavailableError):
            raise
        except Exception as error:  # every file system has its own errors
            self.__dict__.pop("_remote", None)  # some file systems never reconnect
            self.__dict__.pop("owners", None)
            raise self._unavailable(place, error) from error

    def _unavailable(self, place: str, error: Exception) -> StoreUnavailableError:
        what = f"the store {self._public_url or self.folder} cannot be used for {place or 'any bundle'}"
        return StoreUnavailableError(f"{what}: {type(error).__name__}: {error}")
