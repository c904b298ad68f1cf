"""The models that a child has open: a small cache by digest, so that a card need not load its model again.

Bundles come from the store and never change; an alias may move on, so what a name stands for is asked anew for each
job: a claim brings the usual names with it, others are looked up in the ledger.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from engine.errors import BundleCorruptError, BundleNotFoundError

if TYPE_CHECKING:
    from engine.ensemble import ProductionEnsembleManager

_DIGEST = re.compile("[0-9a-f]{64}")

Model = TypeVar("Model")


class Remembered:
    """What a model has said lately, by everything but the model that it was made from; the oldest is forgotten."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._said: OrderedDict[bytes, Any] = OrderedDict()

    def get(self, key: bytes) -> Any:
        """Return what was said, None for what was not or is forgotten."""
        if key not in self._said:
            return None
        self._said.move_to_end(key)
        return self._said[key]

    def put(self, key: bytes, word: object) -> None:
        """Remember it."""
        self._said[key] = word
        while len(self._said) > self._capacity:
            self._said.popitem(last=False)


class OpenModel(NamedTuple, Generic[Model]):
    """A model with the digest of its bundle, and what it has said lately."""

    digest: str
    model: Model
    remembered: Remembered


class ModelCache(Generic[Model]):
    """Opens models by alias or digest and keeps the last used ones. One a child; not for use by several threads.

    `fetch` gives the folder of a digest, from the store; `discard_copy` says whether to fetch it once more if what it
    gave is damaged. `opened` are models by digest that are open already.
    `looked_up` is which digest each name stood for, since the last job began.
    """

    def __init__(
        self,
        fetch: Callable[[str], Path],
        resolve_alias: Callable[[str], str | None],
        load: Callable[[Path], Model],
        capacity: int = 2,
        opened: Mapping[str, Model] | None = None,
        discard_copy: Callable[[str], bool] = lambda digest: False,
    ) -> None:
        self._fetch = fetch
        self._discard_copy = discard_copy
        self._resolve_alias = resolve_alias
        self._load = load
        self._capacity = capacity
        self._names: Mapping[str, str | None] = {}
        self.looked_up: dict[str, str] = {}
        self._opened: OrderedDict[str, OpenModel[Model]] = OrderedDict(
            (digest, OpenModel(digest, model, Remembered())) for digest, model in (opened or {}).items()
        )

    def get(self, name: str) -> OpenModel[Model]:
        """Return the model that an alias or digest names.

        Raises BundleNotFoundError naming what is missing and what to do, BundleCorruptError, StoreUnavailableError and
        LedgerUnavailable.
        """
        digest = self.resolve(name)
        if digest not in self._opened:
            path = self._fetch(digest)
            # Room first, or memory would have to hold one model more than allowed.
            while len(self._opened) >= self._capacity:
                self._opened.popitem(last=False)
            self._opened[digest] = OpenModel(digest, self._loaded(digest, path), Remembered())
        self._opened.move_to_end(digest)
        return self._opened[digest]

    def as_of(self, names: Mapping[str, str]) -> ModelCache[Model]:
        """Return the same models under the names of another time, each to be read and verified anew."""
        return ModelCache(self._fetch, names.get, self._load, self._capacity, discard_copy=self._discard_copy)

    @contextmanager
    def during(self, names: Mapping[str, str | None]) -> Iterator[None]:
        """Let these names stand for what they are said to, None for nothing, as long as one job runs."""
        self._names = names
        self.looked_up.clear()
        try:
            yield
        finally:
            self._names = {}

    def holds(self, digest: str) -> bool:
        """Whether a model is open."""
        return digest in self._opened

    def close(self, digest: str) -> None:
        """Close one model, so that it is read and verified anew when it is next asked for."""
        self._opened.pop(digest, None)

    def clear(self) -> None:
        """Close every model, to give their memory back."""
        self._opened.clear()

    def resolve(self, name: str) -> str:
        """Return the digest of an alias or digest. Raises BundleNotFoundError for a name that nobody has given."""
        # A digest is never looked up: an alias of that shape would put another model in its place.
        digest = name if _DIGEST.fullmatch(name) else self._standing(name)
        # Also keeps a name such as ../../etc from becoming a path.
        if digest is None or not _DIGEST.fullmatch(digest):
            raise BundleNotFoundError(
                f"no model is called {name!r}: train one, or see `cornerman models` for those that there are"
            )
        self.looked_up[name] = digest
        return digest

    def _loaded(self, digest: str, path: Path) -> Model:
        try:
            return self._load(path)
        except BundleCorruptError:
            if not self._discard_copy(digest):
                raise
        return self._load(self._fetch(digest))

    def _standing(self, name: str) -> str | None:
        return self._names[name] if name in self._names else self._resolve_alias(name)


def load_manager(folder: Path, *, max_memory_mb: float) -> ProductionEnsembleManager:
    """Open a bundle, with one thread and no replicas: each job brings its own configuration. Raises BundleError."""
    from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config  # children only: it is big

    config = create_production_ensemble_config(bootstrap_samples=0, max_memory_mb=max_memory_mb, n_jobs=1)
    manager = ProductionEnsembleManager(config)
    manager.load_models(folder)
    return manager
