"""Where bundles are kept: a folder of this machine, or any file system that fsspec reaches, by its URL.

A place is a bundle's digest, or a path such as `parts/<digest>/replica-0-5`. What lies there is written once and is a
bundle (`engine.model.bundle`): its files get their names when they are whole, its manifest last, so that an interrupted
upload is never seen, and every byte is held against its hash when it is opened. Bundles that lie elsewhere are copied
to the folder of this machine first, and memory-mapped from there.

A store that is opened for a ledger notes which bundles this uses, and nobody else removes those
(`workers.models.bundle_owners`). `write`, `publish`, `touch`, `open` and `names` may run beside each other and beside
one `remove` of a collection; what comes too late for a bundle that is being removed is a StoreUnavailableError, and
succeeds in a while.

With a key, what is written is signed: `signature` beside the manifest is its HMAC-SHA256, and what is unsigned, or
signed with another key, is refused.

Only children use a store: the file systems of some services run threads, which no fork survives.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.arrays import Array
from engine.errors import BundleCorruptError, BundleNotFoundError, EngineError
from engine.model.bundle import MANIFEST, SIGNATURE, WRITING_PREFIX, Bundle, open_bundle, write_bundle
from engine.resources.chunked_arrays import Pieces
from workers.errors import StoreUnavailableError
from workers.models.bundle_owners import Owners
from workers.models.remote_folder import Remote

if TYPE_CHECKING:
    from workers.settings import WorkerSettings


PREPARED, PARTS = "prepared", "parts"
"""Where in the store: what a training was prepared to in `prepared/<digest>`, and what was made of it in
`parts/<digest>/<name>`."""


class Store:
    """Bundles in `folder`, or at `url` with copies in `folder`; `key` signs them.

    `ledger` is the identity of the ledger that uses what is written; without it nothing is noted about owners.
    """

    def __init__(self, folder: Path, url: str = "", key: str = "", ledger: str = "") -> None:
        self.folder = folder
        self._url = url
        self._key = key.encode()
        self._ledger = ledger

    @classmethod
    def of(cls, settings: WorkerSettings, ledger: str = "") -> Store:
        """Return the store that a pool uses."""
        return cls(settings.models_folder, settings.store, settings.signing_key, ledger)

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
            if self._ledger and not place.startswith(f"{PARTS}/"):  # parts stay as long as what they were prepared from
                self.owners.claim(place)
                if not (bundle.folder / MANIFEST).is_file():
                    raise StoreUnavailableError(f"bundle {place} was removed as it was written")
            if self._key:
                self._sign(bundle)
            if self._remote is not None:
                self._upload(self._remote, place, bundle)
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
        try:
            return open_bundle(self.fetch(place))
        except BundleCorruptError:
            if not self.discard_copy(place):
                raise
        return open_bundle(self.fetch(place))

    def discard_copy(self, place: str) -> bool:
        """Remove the copy on this machine, which was found damaged, if the store has the bundle; return whether it has.

        Raises StoreUnavailableError.
        """
        with self._reaching(place):
            if self._remote is None or MANIFEST not in self._remote.files(place, depth=1):
                return False
            self._discard(self.folder / place)
            return True

    def names(self, where: str) -> set[str]:
        """Return the names of the whole bundles that lie at `where`. Raises StoreUnavailableError."""
        with self._reaching(where):
            if self._remote is None:
                return {path.parent.name for path in (self.folder / where).glob(f"[!.]*/{MANIFEST}")}
            found = (path.split("/") for path in self._remote.files(where, depth=2))
            return {name for name, *rest in found if rest == [MANIFEST]}

    def age_seconds(self, place: str) -> float | None:
        """Return how old a bundle is, by its last use if that is noted; None if there is neither.

        Raises StoreUnavailableError.
        """
        with self._reaching(place):
            written, used = self._all.age_seconds(f"{place}/{MANIFEST}"), self.owners.age_seconds(place)
        return min((age for age in (written, used) if age is not None), default=None)

    def touch(self, place: str) -> None:
        """Make a bundle young again. Raises StoreUnavailableError, also while it is being removed."""
        if self._ledger:
            with self._reaching(place):
                self.owners.claim(place)

    def remove(self, place: str) -> None:
        """Remove a bundle, or all that lies below a path; its manifest first. Raises StoreUnavailableError."""
        with self._reaching(place):
            if self._remote is not None:
                self._remote.remove_file(f"{place}/{MANIFEST}")
                self._remote.remove_all(place)
            # At once for whoever looks, though its files go one by one; who has it open keeps it.
            self._discard(self.folder / place)

    @staticmethod
    def _discard(folder: Path) -> None:
        gone = folder.with_name(f"{WRITING_PREFIX}removed-{secrets.token_hex(8)}")
        with suppress(FileNotFoundError):  # it is not here, or another child was faster
            folder.rename(gone)
            shutil.rmtree(gone)

    @cached_property
    def owners(self) -> Owners:
        """Who uses what, in the name of this store's ledger."""
        return Owners(self._all, self._ledger, self._reaching)

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

    def _upload(self, remote: Remote, place: str, bundle: Bundle) -> None:
        """Bring all files to the store, the manifest last; the signature alone if the bundle is there whole."""
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

    def _whole(self, remote: Remote, place: str, files: list[str], bundle: Bundle) -> bool:
        """Whether what lies in the store is a bundle, byte for byte: only who downloads it can say."""
        with self._copied(remote, place, files) as copy:
            try:
                return open_bundle(copy).digest == bundle.digest
            except BundleCorruptError:
                return False

    @contextmanager
    def _copied(self, remote: Remote, place: str, files: list[str]) -> Iterator[Path]:
        """Download files to a folder of this machine, which is removed after the block if it is still there."""
        parent = (self.folder / place).parent
        parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=WRITING_PREFIX, dir=parent) as folder:
            copy = Path(folder, Path(place).name)
            for path in files:
                remote.get(f"{place}/{path}", copy / path)
            yield copy

    def _download(self, remote: Remote, place: str, folder: Path) -> None:
        files = remote.files(place)
        if MANIFEST not in files:
            raise BundleNotFoundError(
                f"bundle {place} is not in the store {self._shown}: nobody wrote it, or it was removed"
            )
        with self._copied(remote, place, files) as copy:
            open_bundle(copy)  # what was cut short on the way must not stay
            try:
                copy.rename(folder)
            except OSError:  # another child was faster
                if not folder.is_dir():
                    raise

    @cached_property
    def _remote(self) -> Remote | None:
        if not self._url:
            return None
        with self._reaching(""):
            return Remote.at(self._url)

    @property
    def _all(self) -> Remote:
        """The store, wherever it lies."""
        return self._remote or Remote.of_folder(self.folder)

    def _signature(self, digest: str) -> str:
        return hmac.new(self._key, digest.encode(), "sha256").hexdigest()

    def _check_signature(self, folder: Path) -> None:
        try:
            signature = (folder / SIGNATURE).read_text()
        except OSError:
            raise BundleCorruptError(
                f"{folder} is not signed, and CORNERMAN_SIGNING_KEY is set: train it again, or vouch for it: "
                f"python -m workers.models.sign {folder.name}"
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
            self.__dict__.pop("owners", None)
            raise self._unavailable(place, error) from error

    def _unavailable(self, place: str, error: Exception) -> StoreUnavailableError:
        what = f"the store {self._shown or self.folder} cannot be used for {place or 'anything'}"
        return StoreUnavailableError(f"{what}: {type(error).__name__}: {error}")
