"""Model bundles: a folder of flat arrays (.npy) and `manifest.json`, named by its content. No pickle.

`manifest.json` lists the size and the SHA-256 of every other file, with a description of the model, in one canonical
form without timestamps. The SHA-256 of the manifest is the bundle's digest and the folder's name, so the same training
gives the same digest, and the digest vouches for every byte. No file is parsed before its hash has been checked.

    <parent>/<digest>/manifest.json
                      random_forest/replicas/nodes.npy
                      xgboost/replicas/nodes.npy
    <parent>/.writing-<random>/       an incomplete bundle of a writer that was killed; may be deleted
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.arrays import Array
from engine.errors import BundleCorruptError, BundleNotFoundError, ValidationError
from engine.model.unfinished_bundles import WRITING_PREFIX
from engine.resources.chunked_arrays import ChunkedArray, NamedArrays

SCHEMA = 2
MANIFEST = "manifest.json"
SIGNATURE = "signature"  # added by the model store; neither listed in the manifest nor part of the digest
_NAME = re.compile(r"\w[\w-]*(/\w[\w-]*)*", re.ASCII)  # a relative path inside the folder on every system
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files have been verified.

    Attributes
    ----------
    folder : Path
        The folder of the bundle.
    digest : str
        SHA-256 of the manifest, 64 hexadecimal digits.
    manifest : dict
        The description of the model, as its writer gave it.
    sizes : dict of str to int
        Bytes of each file, by its name relative to the folder.
    """

    folder: Path
    digest: str
    manifest: dict[str, Any]
    sizes: dict[str, int]

    @property
    def array_names(self) -> list[str]:
        """Names of all arrays, sorted."""
        return sorted(name.removesuffix(".npy") for name in self.sizes)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files except the manifest."""
        return sum(self.sizes.values())

    @property
    def arrays(self) -> NamedArrays:
        """All arrays by name; each is opened on access."""
        return _BundleArrays(self)

    def array(self, name: str) -> Array:
        """Open one array, memory-mapped read-only, so that processes share it.

        Raises
        ------
        KeyError
            If the bundle has no such array.
        """
        file = f"{name}.npy"
        if file not in self.sizes:
            raise KeyError(f"bundle {self.digest} has no file {file}")
        # A plain view: numpy's memmap class makes every operation on it slower.
        return np.asarray(np.load(self.folder / file, mmap_mode="r", allow_pickle=False))


class _BundleArrays(Mapping[str, Array]):
    """The arrays of a bundle as a mapping that opens an array on access and holds none."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def __getitem__(self, name: str) -> Array:
        return self._bundle.array(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._bundle.array_names)

    def __len__(self) -> int:
        return len(self._bundle.sizes)


def write_bundle(
    parent: Path,
    arrays: Mapping[str, Array | ChunkedArray],
    manifest: Mapping[str, Any],
    name: str | None = None,
    sign: Callable[[str], str] | None = None,
) -> Bundle:
    """Write `<parent>/<digest>` and open it. A valid bundle that is already there is left as it is.

    A corrupt bundle that is already there is renamed to `<digest>.corrupt-<random>` and replaced. The folder appears
    under its name in one step, after all its bytes have reached the disk.

    Parameters
    ----------
    parent
        Folder for the bundle; it is created if needed.
    arrays
        Arrays by name, such as `random_forest/replicas/nodes`.
    manifest
        Description of the model, JSON values only.
    name
        Name of the folder (default: the digest).
    sign
        Returns the signature of a digest; without it the bundle is not signed.

    Raises
    ------
    ValidationError
        For a name that is not allowed, an array of objects, or a manifest that is not JSON.
    """
    _check_content(arrays)
    parent.mkdir(parents=True, exist_ok=True)
    writing = parent / f"{WRITING_PREFIX}{secrets.token_hex(8)}"
    writing.mkdir()
    try:
        for array_name, array in arrays.items():
            with _prepare(writing / f"{array_name}.npy").open("xb") as file:
                _write_array(file, array)
        text = _canonical({"schema": SCHEMA, "files": _describe(writing), "about": dict(manifest)})
        (writing / MANIFEST).write_bytes(text)
        digest = hashlib.sha256(text).hexdigest()
        if sign is not None:
            (writing / SIGNATURE).write_text(sign(digest))
        final = parent / (name or digest)
        _publish(writing, final)
    finally:
        shutil.rmtree(writing, ignore_errors=True)  # renamed already after a success
    return open_bundle(final)


def open_bundle(folder: Path) -> Bundle:
    """Verify every byte of a bundle, then open it.

    If the folder's name is a digest, the manifest must have this digest.

    Raises
    ------
    BundleNotFoundError
        If there is no such folder.
    BundleCorruptError
        If a file was changed, is missing or is not listed; the message names the file.
    """
    if not folder.is_dir():
        raise BundleNotFoundError(f"there is no model bundle at {folder}: train one, or copy it there")
    try:
        text = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleCorruptError(f"{folder}: {MANIFEST} cannot be read ({error.strerror}); copy it again") from error
    digest = hashlib.sha256(text).hexdigest()
    if _DIGEST.fullmatch(folder.name) and digest != folder.name:
        raise BundleCorruptError(f"{folder}: {MANIFEST} does not have the hash {folder.name}; copy the bundle again")
    files, about = _parse(folder, text)
    found = _describe(folder)
    for name in sorted(files.keys() | found.keys()):
        if files.get(name) != found.get(name):
            state = "is missing" if name not in found else "was changed" if name in files else "is not listed"
            raise BundleCorruptError(f"{folder}: {name} {state}; copy the bundle again")
    return Bundle(folder, digest, about, {name: entry["size"] for name, entry in files.items()})


def _write_array(file: BinaryIO, array: Array | ChunkedArray) -> None:
    if not isinstance(array, ChunkedArray):
        np.lib.format.write_array(file, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
        return
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for piece in array:
        file.write(np.ascontiguousarray(piece, dtype=array.dtype).data)


def _check_content(arrays: Mapping[str, Array | ChunkedArray]) -> None:
    for name, array in arrays.items():
        if not _NAME.fullmatch(name):
            raise ValidationError(
                f"{name!r} cannot name an array of a bundle: use words of letters, digits, _ and -, / between them"
            )
        if array.dtype.hasobject:
            raise ValidationError(f"array {name!r} has dtype {array.dtype}: only arrays without objects can be stored")


def _canonical(manifest: dict[str, Any]) -> bytes:
    """Encode a manifest in its canonical form: sorted keys, indented, without NaN."""
    try:
        text = json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"the manifest must hold finite JSON values only: {error}") from error
    return f"{text}\n".encode()


def _parse(folder: Path, text: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the files and the description in a manifest. Raises BundleCorruptError for another schema."""
    try:
        manifest = json.loads(text)
        schema, files, about = manifest["schema"], manifest["files"], manifest["about"]
        if not (isinstance(files, dict) and isinstance(about, dict)):
            raise TypeError("files and about must be objects")
    except (ValueError, KeyError, TypeError) as error:
        raise BundleCorruptError(f"{folder}: {MANIFEST} is not a manifest: {error!r}") from error
    if schema != SCHEMA:
        raise BundleCorruptError(
            f"{folder}: {MANIFEST} has schema {schema!r}, this version reads {SCHEMA}: train the model again"
        )
    return files, about


def _describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of every file below the folder except manifest and signature; links have neither."""
    entries: dict[str, dict[str, Any]] = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if relative in (MANIFEST, SIGNATURE):
                continue
            if path.is_symlink():
                entries[relative] = {}
                continue
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                entries[relative] = {"sha256": digest, "size": file.tell()}
    return entries


def _prepare(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _publish(writing: Path, final: Path) -> None:
    """Sync every byte to the disk, then rename the folder, so that it appears complete or not at all."""
    for root, _, names in os.walk(writing):
        for path in [*(Path(root, name) for name in names), Path(root)]:
            _sync(path)
    try:
        writing.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        try:
            open_bundle(final)
        except BundleCorruptError:
            final.rename(final.with_name(f"{final.name}.corrupt-{secrets.token_hex(4)}"))
            writing.rename(final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
