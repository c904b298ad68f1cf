from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.bundle import MANIFEST, SIGNATURE, Bundle
from engine.errors import BundleCorruptError, BundleNotFoundError
from workers.parking import StoreUnavailableError
from workers.store import Store

KEY = "a key that is long enough"
ARRAYS = {"numbers": np.arange(10), "folder/more": np.ones((3, 2))}


def shared(tmp_path: Path, name: str, key: str = "") -> Store:
    """The store as one of several machines has it."""
    return Store(tmp_path / name, f"file://{tmp_path / 'shared'}", key)


def write(store: Store, where: str = "", name: str | None = None) -> Bundle:
    return store.write(ARRAYS, {"seed": 1}, where, name)


def test_what_one_machine_writes_another_opens(tmp_path: Path) -> None:
    digest = write(shared(tmp_path, "one")).digest
    bundle = shared(tmp_path, "two").open(digest)
    assert bundle.digest == digest
    assert np.array_equal(bundle.array("folder/more"), ARRAYS["folder/more"])
    assert bundle.folder == tmp_path / "two" / digest


def test_a_second_look_needs_no_store(tmp_path: Path) -> None:
    digest = write(shared(tmp_path, "one")).digest
    other = shared(tmp_path, "two")
    other.fetch(digest)
    (tmp_path / "shared").rename(tmp_path / "gone")
    assert other.open(digest).digest == digest


def test_an_upload_without_its_manifest_is_not_there(tmp_path: Path) -> None:
    bundle = write(shared(tmp_path, "one"), "parts", "first")
    (tmp_path / "shared" / "parts" / "first" / MANIFEST).unlink()
    other = shared(tmp_path, "two")
    assert other.names("parts") == set()
    with pytest.raises(BundleNotFoundError, match="parts/first"):
        other.fetch("parts/first")
    shared(tmp_path, "one").publish(bundle)
    assert other.names("parts") == {"first"}


def test_what_was_changed_on_the_way_is_refused_and_not_kept(tmp_path: Path) -> None:
    digest = write(shared(tmp_path, "one")).digest
    (tmp_path / "shared" / digest / "numbers.npy").write_bytes(b"others")
    other = shared(tmp_path, "two")
    with pytest.raises(BundleCorruptError, match=r"numbers\.npy was changed"):
        other.fetch(digest)
    assert list((tmp_path / "two").iterdir()) == []


def test_names_are_those_of_whole_bundles(tmp_path: Path) -> None:
    for store in (shared(tmp_path, "one"), Store(tmp_path / "alone")):
        for name in ("a", "b"):
            write(store, "parts/x", name)
        (store.folder / "parts" / "x" / ".writing-c").mkdir()
        (store.folder / "parts" / "x" / ".writing-c" / MANIFEST).touch()
        assert store.names("parts/x") == {"a", "b"}
        assert store.names("parts/y") == set()


def test_what_is_removed_is_gone_everywhere(tmp_path: Path) -> None:
    store = shared(tmp_path, "one")
    bundle = write(store, "parts", "a")
    store.remove("parts/a")
    assert not bundle.folder.exists()
    assert store.names("parts") == set()
    store.remove("parts/a")


def test_a_signed_bundle_opens_with_its_key_alone(tmp_path: Path) -> None:
    digest = write(shared(tmp_path, "one", KEY)).digest
    assert shared(tmp_path, "two", KEY).open(digest).digest == digest
    with pytest.raises(BundleCorruptError, match="another key"):
        shared(tmp_path, "three", KEY + "!").fetch(digest)
    assert shared(tmp_path, "four").open(digest).digest == digest  # who asks for no signature needs none


def test_an_unsigned_bundle_is_refused_where_there_is_a_key(tmp_path: Path) -> None:
    digest = write(Store(tmp_path)).digest
    with pytest.raises(BundleCorruptError, match="not signed"):
        Store(tmp_path, key=KEY).fetch(digest)


def test_a_signature_does_not_vouch_for_another_bundle(tmp_path: Path) -> None:
    store = Store(tmp_path, key=KEY)
    first, second = write(store), store.write(ARRAYS, {"seed": 2})
    (second.folder / SIGNATURE).write_text((first.folder / SIGNATURE).read_text())
    with pytest.raises(BundleCorruptError, match="was changed"):
        store.fetch(second.digest)


def test_a_store_that_cannot_be_reached_is_told_by_its_place_without_password(tmp_path: Path) -> None:
    store = Store(tmp_path, "ftp://user:secret@127.0.0.1:1/models")
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1/models") as told:
        store.fetch("0" * 64)
    assert "secret" not in str(told.value)


def test_a_store_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("a file in the place of the folder")
    with pytest.raises(StoreUnavailableError, match="cannot be used"):
        write(shared(tmp_path, "one"))
