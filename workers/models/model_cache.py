"""The open models of a child: a small cache by digest, so that a card need not load its model again.

Bundles come from the store and never change. An alias may move, so names are resolved for each job: a claim carries the
digests of the usual aliases, other aliases are looked up in the ledger.
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


class PredictionCache:
    """Least-recently-used cache of a model's predictions; the key encodes all inputs except the model."""

    def __init__(self, capacity: int = 4096) -> None:
        self._capacity = capacity
        self._predictions: OrderedDict[bytes, Any] = OrderedDict()

    def get(self, key: bytes) -> Any:
        """Return the cached prediction, None if there is none."""
        if key not in self._predictions:
            return None
        self._predictions.move_to_end(key)
        return self._predictions[key]

    def put(self, key: bytes, prediction: object) -> None:
        """Cache a prediction."""
        self._predictions[key] = prediction
        while len(self._predictions) > self._capacity:
            self._predictions.popitem(last=False)


class OpenModel(NamedTuple, Generic[Model]):
    """A model with the digest of its bundle and its cached predictions."""

    digest: str
    model: Model
    predictions: PredictionCache


class ModelCache(Generic[Model]):
    """Cache of open models, found by alias or digest. One per child; not thread-safe.

    Parameters
    ----------
    fetch : callable
        Returns the folder of a digest, from the store.
    resolve_alias : callable
        Returns the digest of an alias, None if it is not set.
    load : callable
        Opens the bundle in a folder.
    capacity : int
        Maximum number of open models.
    opened : mapping, optional
        Models that are open already, by digest.
    discard_copy : callable
        Removes a damaged local copy of a digest, and returns True if the bundle can be fetched again.

    Attributes
    ----------
    resolved_names : dict
        The digest of each name that the current job has resolved.
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
        self.resolved_names: dict[str, str] = {}
        self._opened: OrderedDict[str, OpenModel[Model]] = OrderedDict(
            (digest, OpenModel(digest, model, PredictionCache())) for digest, model in (opened or {}).items()
        )

    def get(self, name: str) -> OpenModel[Model]:
        """Return the model that an alias or digest names.

        Raises BundleNotFoundError naming what is missing and what to do, BundleCorruptError, StoreUnavailableError and
        LedgerUnavailableError.
        """
        digest = self.resolve(name)
        if digest not in self._opened:
            path = self._fetch(digest)
            # Close first, or memory would hold one model more than allowed.
            while len(self._opened) >= self._capacity:
                self._opened.popitem(last=False)
            self._opened[digest] = OpenModel(digest, self._loaded(digest, path), PredictionCache())
        self._opened.move_to_end(digest)
        return self._opened[digest]

    def resolved_models(self) -> dict[str, Model]:
        """Return the open models among those that the current job has resolved, by digest."""
        digests = set(self.resolved_names.values())
        return {digest: opened.model for digest, opened in self._opened.items() if digest in digests}

    def with_aliases(self, names: Mapping[str, str]) -> ModelCache[Model]:
        """Return an empty cache of the same models with other aliases; each model is read and verified again."""
        return ModelCache(self._fetch, names.get, self._load, self._capacity, discard_copy=self._discard_copy)

    @contextmanager
    def overriding_aliases(self, names: Mapping[str, str | None]) -> Iterator[None]:
        """Resolve these aliases to the given digests (None: not set) inside the block, which runs one job."""
        self._names = names
        self.resolved_names.clear()
        try:
            yield
        finally:
            self._names = {}

    def is_open(self, digest: str) -> bool:
        """Return True if a model is open."""
        return digest in self._opened

    def close(self, digest: str) -> None:
        """Close one model, so that the next use reads and verifies it again."""
        self._opened.pop(digest, None)

    def clear(self) -> None:
        """Close every model to free its memory."""
        self._opened.clear()

    def resolve(self, name: str) -> str:
        """Return the digest of an alias or digest. Raises BundleNotFoundError for an unknown name."""
        # A digest is never looked up: an alias that looks like a digest could replace its model.
        digest = name if _DIGEST.fullmatch(name) else self._digest_of_alias(name)
        # This also prevents a name such as ../../etc from becoming a path.
        if digest is None or not _DIGEST.fullmatch(digest):
            raise BundleNotFoundError(
                f"no model is called {name!r}: train one, or list the models with `cornerman models`"
            )
        self.resolved_names[name] = digest
        return digest

    def _loaded(self, digest: str, path: Path) -> Model:
        try:
            return self._load(path)
        except BundleCorruptError:
            if not self._discard_copy(digest):
                raise
        return self._load(self._fetch(digest))

    def _digest_of_alias(self, name: str) -> str | None:
        return self._names[name] if name in self._names else self._resolve_alias(name)


def load_manager(folder: Path, *, max_memory_mb: float) -> ProductionEnsembleManager:
    """Open a bundle, with one thread and no replicas; each job sets its own configuration. Raises BundleError."""
    from engine.ensemble import (
        ProductionEnsembleManager,
        create_production_ensemble_config,
    )  # large: children only

    config = create_production_ensemble_config(bootstrap_samples=0, max_memory_mb=max_memory_mb, n_jobs=1)
    manager = ProductionEnsembleManager(config)
    manager.load_models(folder)
    return manager
