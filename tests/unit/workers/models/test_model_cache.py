from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import BundleCorruptError, BundleNotFoundError
from workers.models.model_cache import ModelCache, PredictionCache
from workers.models.model_store import Store

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


class Shelf:
    """A folder of three bundles, two names, and a loader that counts."""

    def __init__(self, folder: Path) -> None:
        for digest in (A, B, C):
            (folder / digest).mkdir()
        self.aliases = {"champion": A, "challenger": B}
        self.loaded: list[str] = []
        self.cache = ModelCache(Store(folder).fetch, self.aliases.get, self._load, capacity=2)

    def _load(self, path: Path) -> str:
        self.loaded.append(path.name[0])
        return f"model {path.name[0]}"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_a_model_is_loaded_once_whether_asked_by_name_or_digest(shelf: Shelf) -> None:
    assert shelf.cache.get("champion")[:2] == (A, "model a")
    assert shelf.cache.get(A)[:2] == (A, "model a")
    assert shelf.loaded == ["a"]


def test_a_name_that_moved_on_is_followed_at_once(shelf: Shelf) -> None:
    shelf.cache.get("champion")
    shelf.aliases["champion"] = B
    assert shelf.cache.get("champion").digest == B


def test_while_a_job_runs_names_stand_for_what_its_claim_says(shelf: Shelf) -> None:
    shelf.aliases["other"] = C
    with shelf.cache.overriding_aliases({"champion": B, "challenger": None}):
        assert shelf.cache.get("champion").digest == B
        assert shelf.cache.get("other").digest == C
        with pytest.raises(BundleNotFoundError, match="challenger"):
            shelf.cache.resolve("challenger")
        assert shelf.cache.resolved_names == {"champion": B, "other": C}
    assert shelf.cache.get("champion").digest == A
    with shelf.cache.overriding_aliases({}):
        assert shelf.cache.resolved_names == {}


def test_an_alias_in_the_shape_of_a_digest_does_not_stand_in_for_it(shelf: Shelf) -> None:
    shelf.aliases[A] = B
    assert shelf.cache.get(A)[:2] == (A, "model a")


def test_the_least_recently_used_gives_way(shelf: Shelf) -> None:
    for name in (A, B, A, C, A, B):
        shelf.cache.get(name)
    assert shelf.loaded == ["a", "b", "c", "b"]


def test_clearing_closes_all(shelf: Shelf) -> None:
    shelf.cache.get(A)
    shelf.cache.clear()
    shelf.cache.get(A)
    assert shelf.loaded == ["a", "a"]


@pytest.mark.parametrize("name", ["unknown", "../../etc", "A" * 64, "a" * 63, ""])
def test_a_name_that_is_none_is_not_found_and_opens_no_path(shelf: Shelf, name: str) -> None:
    with pytest.raises(BundleNotFoundError, match="no model is called"):
        shelf.cache.get(name)
    assert shelf.loaded == []


def test_a_bundle_that_is_elsewhere_is_told_with_the_folder(shelf: Shelf, tmp_path: Path) -> None:
    shelf.aliases["champion"] = "d" * 64
    with pytest.raises(BundleNotFoundError, match=str(tmp_path)):
        shelf.cache.get("champion")


def test_a_model_that_fails_to_load_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / A).mkdir()

    def fail(path: Path) -> str:
        raise BundleCorruptError(path.name)

    cache = ModelCache(Store(tmp_path).fetch, lambda name: None, fail)
    for _ in range(2):
        with pytest.raises(BundleCorruptError):
            cache.get(A)


def test_what_a_model_has_said_goes_with_it(shelf: Shelf) -> None:
    shelf.cache.get(A).predictions.put(b"fight", 0.6)
    assert shelf.cache.get(A).predictions.get(b"fight") == 0.6
    assert shelf.cache.get(B).predictions.get(b"fight") is None
    shelf.cache.clear()
    assert shelf.cache.get(A).predictions.get(b"fight") is None


def test_the_oldest_word_is_forgotten_first() -> None:
    remembered = PredictionCache(capacity=2)
    for number in range(2):
        remembered.put(bytes([number]), number)
    remembered.get(bytes([0]))
    remembered.put(bytes([2]), 2)
    assert [remembered.get(bytes([number])) for number in range(3)] == [0, None, 2]


def test_a_closed_model_is_loaded_anew_and_the_others_stay(shelf: Shelf) -> None:
    for name in (A, B):
        shelf.cache.get(name)
    shelf.cache.close(A)
    shelf.cache.close(C)
    for name in (A, B):
        shelf.cache.get(name)
    assert shelf.loaded == ["a", "b", "a"]
