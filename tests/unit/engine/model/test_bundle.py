from __future__ import annotations

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BundleCorruptError, BundleNotFoundError, ValidationError
from engine.model import bundle as module
from engine.model.bundle import Bundle, open_bundle, write_bundle
from engine.model.unfinished_bundles import incomplete_bundles

_ARRAYS = {
    "random_forest/threshold": np.arange(6, dtype=np.float32).reshape(2, 3),
    "snapshot/names": np.array(["Ann", "Zoë"]),
    "snapshot/day": np.array(["2024-01-06"], dtype="datetime64[D]"),
    "empty": np.empty((0, 4)),
    "scalar": np.array(1.5),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
}
_ABOUT = {"columns": ["red_age"], "metrics": {"log_loss": 0.61}, "who": "Zoë"}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path, _ARRAYS, _ABOUT)


def test_what_was_written_comes_back(bundle: Bundle) -> None:
    again = open_bundle(bundle.folder)
    assert again == bundle
    assert again.manifest == _ABOUT
    assert again.array_names == sorted(_ARRAYS)
    with pytest.raises(KeyError, match="elsewhere"):
        again.array("elsewhere")
    for name, array in _ARRAYS.items():
        np.testing.assert_array_equal(again.array(name), array)
        assert again.array(name).dtype == array.dtype
        assert not again.array(name).flags.writeable


def test_the_folder_is_named_by_the_hash_of_its_manifest(bundle: Bundle) -> None:
    text = (bundle.folder / "manifest.json").read_bytes()
    assert bundle.folder.name == bundle.digest == hashlib.sha256(text).hexdigest()
    assert bundle.size_bytes == sum(
        path.stat().st_size for path in bundle.folder.rglob("*.*") if path.name != "manifest.json"
    )


def test_the_same_content_is_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    before = (bundle.folder / "manifest.json").stat().st_mtime_ns
    again = write_bundle(tmp_path, dict(reversed(_ARRAYS.items())), dict(reversed(_ABOUT.items())))
    assert again == bundle
    assert (bundle.folder / "manifest.json").stat().st_mtime_ns == before
    assert write_bundle(tmp_path, _ARRAYS, _ABOUT | {"seed": 1}).digest != bundle.digest
    assert incomplete_bundles(tmp_path) == []


def test_a_corrupt_bundle_is_moved_aside_and_written_again(bundle: Bundle, tmp_path: Path) -> None:
    damaged = bundle.folder / "random_forest" / "threshold.npy"
    damaged.write_bytes(b"\x01tree")
    assert write_bundle(tmp_path, _ARRAYS, _ABOUT) == bundle
    [aside] = tmp_path.glob(f"{bundle.digest}.corrupt-*")
    assert (aside / "random_forest" / "threshold.npy").read_bytes() == b"\x01tree"


def test_a_bundle_may_be_moved_under_another_name(bundle: Bundle, tmp_path: Path) -> None:
    assert open_bundle(shutil.copytree(bundle.folder, tmp_path / "champion")).digest == bundle.digest


def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="nowhere"):
        open_bundle(tmp_path / "nowhere")


def test_damage_names_the_file(bundle: Bundle) -> None:
    file = bundle.folder / "random_forest" / "threshold.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(BundleCorruptError, match=r"random_forest/threshold\.npy was changed"):
        open_bundle(bundle.folder)
    file.unlink()
    with pytest.raises(BundleCorruptError, match=r"random_forest/threshold\.npy is missing"):
        open_bundle(bundle.folder)
    file.write_bytes(whole)
    (bundle.folder / "extra.npy").write_bytes(whole)
    with pytest.raises(BundleCorruptError, match=r"extra\.npy is not listed"):
        open_bundle(bundle.folder)


def test_a_link_is_not_a_file_of_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    file = bundle.folder / "scalar.npy"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleCorruptError, match=r"scalar\.npy was changed"):
        open_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "not a manifest"),
        (b"\xff{}", "not a manifest"),
        (b"[]", "not a manifest"),
        (b'{"schema": 2, "files": {}}', "not a manifest"),
        (b'{"schema": 2, "files": [], "about": {}}', "not a manifest"),
        (b'{"schema": 1, "files": {}, "about": {}}', "schema 1, this version reads 2: train the model again"),
        (b'{"schema": 2, "files": {"../x.npy": {"sha256": "", "size": 1}}, "about": {}}', "x.npy is missing"),
    ],
)
def test_a_manifest_of_another_kind_is_corrupt(tmp_path: Path, text: bytes, complaint: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "manifest.json").write_bytes(text)
    with pytest.raises(BundleCorruptError, match=complaint):
        open_bundle(tmp_path / "model")


def test_a_folder_without_a_manifest_is_corrupt(bundle: Bundle) -> None:
    (bundle.folder / "manifest.json").unlink()
    with pytest.raises(BundleCorruptError, match=r"manifest\.json cannot be read"):
        open_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("arrays", "about", "complaint"),
    [
        ({"../x": np.zeros(1)}, {}, "cannot name an array"),
        ({"/x": np.zeros(1)}, {}, "cannot name an array"),
        ({"a//x": np.zeros(1)}, {}, "cannot name an array"),
        ({"x.npy": np.zeros(1)}, {}, "cannot name an array"),
        ({"x": np.array([object()])}, {}, "without objects"),
        ({}, {"metric": float("nan")}, "finite JSON"),
        ({}, {"metric": np.float32(1)}, "finite JSON"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(
    tmp_path: Path, arrays: dict[str, Any], about: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        write_bundle(tmp_path, arrays, about)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_only_what_is_recognisable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_publish", killed)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a killed process does not tidy up
    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path, _ARRAYS, _ABOUT)
    assert incomplete_bundles(tmp_path) == list(tmp_path.iterdir())
    assert len(incomplete_bundles(tmp_path)) == 1


def test_the_manifest_is_readable(bundle: Bundle) -> None:
    manifest = json.loads((bundle.folder / "manifest.json").read_text("utf-8"))
    assert manifest["about"] == _ABOUT
    written = (bundle.folder / "scalar.npy").read_bytes()
    assert manifest["files"]["scalar.npy"] == {"sha256": hashlib.sha256(written).hexdigest(), "size": len(written)}


def test_every_byte_is_on_the_disk_before_the_folder_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    unsynced_at_rename: list[list[Path]] = []
    rename = Path.rename

    def watched(self: Path, target: Path) -> Path:
        unsynced_at_rename.append([path for path in [self, *self.rglob("*")] if path.stat().st_ino not in synced])
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    monkeypatch.setattr(Path, "rename", watched)
    write_bundle(tmp_path, _ARRAYS, _ABOUT)
    assert unsynced_at_rename == [[]]
    assert tmp_path.stat().st_ino in synced


def test_writers_of_the_same_content_do_not_disturb_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: write_bundle(tmp_path, _ARRAYS, _ABOUT), range(8)))
    assert {bundle.digest for bundle in written} == {path.name for path in tmp_path.iterdir()}
