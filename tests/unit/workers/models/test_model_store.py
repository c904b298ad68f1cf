from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from engine.errors import BundleCorruptError, BundleNotFoundError, TrainingTimeoutError
from engine.model.bundle import MANIFEST, SIGNATURE, Bundle, open_bundle
from engine.model.unfinished_bundles import remove_unfinished
from tests.chaos.store import StoreServer
from workers.errors import StoreUnavailableError
from workers.models.model_cache import ModelCache
from workers.models.model_store import Store

KEY = "a key that is long enough"
ARRAYS = {"numbers": np.arange(10), "folder/more": np.ones((3, 2))}


def shared(tmp_path: Path, name: str, key: str = "", ledger: str = "") -> Store:
    """The store as one of several machines has it."""
    return Store(tmp_path / name, f"file://{tmp_path / 'shared'}", key, ledger)


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
    assert other.bundle_names("parts") == set()
    with pytest.raises(BundleNotFoundError, match="parts/first"):
        other.fetch("parts/first")
    shared(tmp_path, "one").publish(bundle)
    assert other.bundle_names("parts") == {"first"}


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
        assert store.bundle_names("parts/x") == {"a", "b"}
        assert store.bundle_names("parts/y") == set()


@pytest.mark.parametrize("remote", [False, True])
def test_what_is_touched_is_young_again(tmp_path: Path, remote: bool) -> None:
    store = shared(tmp_path, "one", ledger="mine") if remote else Store(tmp_path / "alone", ledger="mine")
    write(store, "prepared", "a")
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0))
    assert (store.age_seconds("prepared/a") or 0) > 86_400
    store.touch("prepared/a")
    assert (store.age_seconds("prepared/a") or 86_400) < 86_400
    assert store.open("prepared/a").array("numbers").sum() == 45


@pytest.mark.parametrize("remote", [False, True])
def test_a_touch_brings_nothing_back(tmp_path: Path, remote: bool) -> None:
    store = shared(tmp_path, "one", ledger="mine") if remote else Store(tmp_path / "alone", ledger="mine")
    write(store, "prepared", "a")
    store.remove("prepared/a")
    store.touch("prepared/a")
    assert store.bundle_names("prepared") == set()
    assert store.age_seconds("prepared/b") is None


@pytest.mark.parametrize("change", ["damage", "more", "less", "manifest"])
def test_what_is_damaged_in_the_store_is_mended_by_who_writes_it_again(tmp_path: Path, change: str) -> None:
    digest = write(shared(tmp_path, "one", KEY)).digest
    kept = tmp_path / "shared" / digest
    match change:
        case "damage":
            content = bytearray((kept / "numbers.npy").read_bytes())
            content[-1] ^= 1
            (kept / "numbers.npy").write_bytes(content)
        case "more":
            (kept / "stranger.npy").write_bytes(b"others")
        case "less":
            (kept / "folder" / "more.npy").unlink()
        case "manifest":
            (kept / MANIFEST).write_bytes(b"{}")
    with pytest.raises(BundleCorruptError):
        shared(tmp_path, "two", KEY).open(digest)
    write(shared(tmp_path, "one", KEY))
    assert shared(tmp_path, "two", KEY).open(digest).digest == digest


def test_a_copy_that_was_damaged_on_this_machine_is_fetched_again(tmp_path: Path) -> None:
    digest = write(shared(tmp_path, "one")).digest
    store = shared(tmp_path, "two")
    for use in (store.open, ModelCache(store.fetch, {}.get, open_bundle, discard_copy=store.discard_copy).get):
        store.open(digest)
        (tmp_path / "two" / digest / "numbers.npy").write_bytes(b"others")
        use(digest)
        assert store.open(digest).array("numbers").sum() == 45
    alone = Store(tmp_path / "one")
    (tmp_path / "one" / digest / "numbers.npy").write_bytes(b"others")
    with pytest.raises(BundleCorruptError):
        alone.open(digest)


def test_a_whole_bundle_is_not_uploaded_again(tmp_path: Path) -> None:
    digest = write(shared(tmp_path, "one")).digest
    file = tmp_path / "shared" / digest / "numbers.npy"
    before = file.stat().st_ino
    write(shared(tmp_path, "two"))
    assert file.stat().st_ino == before
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [digest]


@pytest.mark.parametrize("where", ["", "prepared"])
def test_what_is_just_being_removed_is_neither_written_nor_touched(tmp_path: Path, where: str) -> None:
    mine, other = (shared(tmp_path, name, ledger=name) for name in ("mine", "other"))
    bundle = write(mine, where)
    place = bundle.folder.relative_to(mine.folder).as_posix()
    with mine.owners.removing({place: mine.owners.token(place)}, "collector", adopt=False) as free:
        assert free
        for user in (mine, other):
            with pytest.raises(StoreUnavailableError, match="is being removed"):
                write(user, where)
            with pytest.raises(StoreUnavailableError, match="is being removed"):
                user.touch(place)
    assert write(other, where).digest == bundle.digest


def test_who_has_used_a_bundle_since_keeps_it(tmp_path: Path) -> None:
    mine, other = (shared(tmp_path, name, ledger=name) for name in ("mine", "other"))
    digest = write(mine).digest
    for user in (mine, other):
        before = mine.owners.token(digest)
        user.touch(digest)
        with mine.owners.removing({digest: before}, "collector", adopt=True) as free:
            assert not free


def test_a_remover_that_died_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    store = shared(tmp_path, "one", ledger="mine")
    digest = write(store).digest
    (tmp_path / "shared" / "removing").mkdir(exist_ok=True)
    note = tmp_path / "shared" / "removing" / f"{digest}.collector"
    note.touch()
    with pytest.raises(StoreUnavailableError, match="is being removed"):
        store.touch(digest)
    os.utime(note, (0, 0))
    store.touch(digest)
    note.touch()
    store.owners.withdraw_removals("collector")
    store.touch(digest)


def test_what_was_there_before_owners_were_noted_is_nobodys_alone(tmp_path: Path) -> None:
    bundle = write(shared(tmp_path, "one"))
    os.utime(tmp_path / "shared" / bundle.digest / MANIFEST, (0, 0))
    store = shared(tmp_path, "one", ledger="mine")
    store.touch(bundle.digest)
    claims = store.owners.claims()
    assert store.owners.exclusively_owned(claims, {bundle.digest}, adopt=False) == set()
    assert store.owners.exclusively_owned(claims, {bundle.digest}, adopt=True) == {bundle.digest}


def test_owners_are_noted_in_the_folder_whatever_it_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "Modèles #1 [100%]?"
    store = Store(folder, ledger="mine")
    digest = write(store).digest
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "owners" / "mine" / digest).is_file()
    assert store.owners.claims() == {"mine": {digest}}
    other = Store(folder, ledger="another")
    os.utime(folder / digest / MANIFEST, (0, 0))
    (folder / "owners" / "mine" / digest).unlink()
    other.touch(digest)
    assert other.owners.exclusively_owned(other.owners.claims(), {digest}, adopt=False) == set()
    with other.owners.removing({digest: other.owners.token(digest)}, "collector", adopt=True) as free:
        assert free


def test_what_is_removed_is_gone_everywhere(tmp_path: Path) -> None:
    store = shared(tmp_path, "one")
    bundle = write(store, "parts", "a")
    store.remove("parts/a")
    assert not bundle.folder.exists()
    assert store.bundle_names("parts") == set()
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
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1/models") as raised:
        store.fetch("0" * 64)
    assert "secret" not in str(raised.value)


def test_a_store_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("a file in the place of the folder")
    with pytest.raises(StoreUnavailableError, match="cannot be used"):
        write(shared(tmp_path, "one"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StoreServer]:
    with StoreServer(tmp_path / "served") as server:
        yield server


@pytest.mark.slow
def test_owners_are_noted_at_a_server_too(tmp_path: Path, server: StoreServer) -> None:
    mine, other = (Store(tmp_path / name, server.url, ledger=name) for name in ("mine", "other"))
    assert mine.age_seconds("prepared/a") is None
    digest = write(mine).digest
    place = f"prepared/{write(mine, 'prepared').digest}"
    assert 0 <= (mine.age_seconds(digest) or 0) < 60
    assert mine.owners.exclusively_owned(mine.owners.claims(), {digest, place}, adopt=False) == {digest, place}
    other.touch(place)
    assert mine.owners.exclusively_owned(mine.owners.claims(), {digest, place}, adopt=False) == {digest}
    with mine.owners.removing({digest: mine.owners.token(digest)}, "collector", adopt=False) as free:
        assert free
        with pytest.raises(StoreUnavailableError, match="is being removed"):
            other.touch(digest)
        mine.remove(digest)
        mine.owners.drop_claims(digest)
    other.touch(digest)
    assert other.bundle_names("") == set()
    (tmp_path / "served" / place / "numbers.npy").write_bytes(b"others")
    write(mine, "prepared")
    assert other.open(place).array("numbers").sum() == 45
    with server.down():
        for note in (mine.owners.claims, lambda: mine.touch(place), lambda: mine.owners.withdraw_removals("collector")):
            with pytest.raises(StoreUnavailableError, match="cannot be used"):
                note()


@contextmanager
def small_files() -> Iterator[None]:
    """No file of this process can grow beyond 100 bytes: the error is not that of a full disk, its moment is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_server_that_was_away_is_used_again(tmp_path: Path, server: StoreServer) -> None:
    store = Store(tmp_path / "one", server.url)
    first, second = write(store), store.write(ARRAYS, {"seed": 2})
    other = Store(tmp_path / "two", server.url)
    other.fetch(first.digest)
    with server.down():
        for reach in (
            lambda: other.fetch(second.digest),
            lambda: other.bundle_names(""),
            lambda: other.remove(second.digest),
        ):
            with pytest.raises(StoreUnavailableError, match="cannot be used"):
                reach()
    assert other.open(second.digest).digest == second.digest


def test_a_store_that_goes_away_is_not_taken_for_an_empty_one(tmp_path: Path, server: StoreServer) -> None:
    digest = write(Store(tmp_path / "one", server.url), "parts/x", "a").digest
    other = Store(tmp_path / "two", server.url)
    for reach in (lambda: other.bundle_names("parts/x"), lambda: other.open("parts/x/a").digest):
        assert other.bundle_names("parts/x") == {"a"}  # so it is connected
        with server.down(), pytest.raises(StoreUnavailableError):
            reach()
        assert reach() in ({"a"}, digest)


def test_an_upload_that_is_cut_short_leaves_nothing_under_a_name(tmp_path: Path) -> None:
    bundle = write(Store(tmp_path / "one"))
    with small_files(), pytest.raises(StoreUnavailableError, match="File too large"):
        shared(tmp_path, "one").publish(bundle)
    assert everything(tmp_path / "shared") == []


def test_a_disk_without_room_makes_the_store_unavailable_and_keeps_nothing(tmp_path: Path) -> None:
    with small_files(), pytest.raises(StoreUnavailableError, match="File too large"):
        write(Store(tmp_path / "one"))
    assert list((tmp_path / "one").iterdir()) == []


def test_a_bug_while_writing_is_not_put_down_to_the_store(tmp_path: Path) -> None:
    for error in (ZeroDivisionError, TrainingTimeoutError):
        with pytest.raises(error), Store(tmp_path).writing():
            raise error


def test_what_killed_writers_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    store = Store(tmp_path)
    bundle = write(store, "parts", "a")
    for name in (".writing-old", "parts/.writing-old", "parts/.writing-young"):
        (tmp_path / name / "folder").mkdir(parents=True)
    for name in (".writing-old", "parts/.writing-old"):
        os.utime(tmp_path / name, (0, 0))
    remove_unfinished(tmp_path, 60.0)
    assert [path.name for path in tmp_path.rglob(".writing*")] == [".writing-young"]
    assert store.open("parts/a").digest == bundle.digest
