"""What a trained model is called, by the worker that trained it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.ensemble import ProductionEnsembleManager
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import load_ensemble
from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.jobs import TrainEnsemble
from ledger.ledger import Ledger
from ledger.models.aliases import CHALLENGER, CHAMPION
from tests.support.small_models import spoil, trained, wrong
from workers.handlers.training.model_publication import assign_alias, register_model
from workers.jobs.context import JobContext
from workers.models.model_cache import ModelCache, load_manager
from workers.models.model_store import Store
from workers.settings import WorkerSettings


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained(tmp_path_factory.mktemp("models"), seed=1)


def context_of(ledger: Ledger, folder: Path) -> JobContext:
    """The context of a training job whose models lie in the folder."""
    ledger.submit(TrainEnsemble(data="d"))
    (claim,) = ledger.claim("train", "n#1/1")

    def load(path: Path) -> ProductionEnsembleManager:
        return load_manager(path, max_memory_mb=4096.0)

    models = ModelCache(Store(folder).fetch, ledger.aliases.resolve, load)
    return JobContext(claim, WorkerSettings(), ledger, models, time.monotonic())


@pytest.fixture
def context(bundle: Bundle, ledger: Ledger) -> JobContext:
    made = context_of(ledger, bundle.folder.parent)
    register_model(made, bundle)
    return made


def test_what_is_told_twice_is_told_once(bundle: Bundle, context: JobContext, ledger: Ledger) -> None:
    assert [assign_alias(context, CHAMPION, bundle.digest) for _ in range(2)] == [CHAMPION] * 2
    assert len(ledger.aliases.history(CHAMPION)) == 1
    assert ledger.models.all()[0]["summary"]["config"] == bundle.manifest["config"]


def test_the_fighters_of_a_model_are_published_with_it(bundle: Bundle, context: JobContext, ledger: Ledger) -> None:
    snapshot = load_ensemble(bundle).snapshot
    published = ledger.fighters.find(bundle.digest)
    assert snapshot is not None
    assert published is not None
    assert (published.ids, published.names) == (snapshot.fighter_ids.tolist(), snapshot.names.tolist())
    assert ledger.fighters.find("0" * 64) is None


def test_of_two_first_trainings_the_slower_makes_a_challenger(
    bundle: Bundle, context: JobContext, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = context.models.get

    def overtaken(name: str) -> object:  # while the model is proven, another training is done
        ledger.aliases.set(CHAMPION, "f" * 64)
        return get(name)

    monkeypatch.setattr(context.models, "get", overtaken)
    assert assign_alias(context, CHAMPION, bundle.digest) == CHALLENGER
    assert (ledger.aliases.resolve(CHAMPION), ledger.aliases.resolve(CHALLENGER)) == ("f" * 64, bundle.digest)


def test_a_model_that_the_worker_cannot_prove_gets_no_name(bundle: Bundle, ledger: Ledger, tmp_path: Path) -> None:
    other = wrong(trained(tmp_path, seed=2))
    context = context_of(ledger, tmp_path)
    register_model(context, other)
    for message in ("differ by at most", "was changed"):
        with pytest.raises(JobRefusedError, match=message) as refused:
            assign_alias(context, CHAMPION, other.digest)
        assert refused.value.failure.code is FailureCode.MODEL_CORRUPT
        spoil(other.folder)
        context.models.clear()
    assert ledger.aliases.resolve(CHAMPION) is None
