"""The fights of the small league, and a model of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.data.feature_matrix import TrainingMatrix
from engine.model.bundle import Bundle
from engine.training.train import TrainingConfig
from tests.support.small_models import small_config, small_matrix, trained


@pytest.fixture(scope="session")
def league_matrix() -> TrainingMatrix:
    return small_matrix()


@pytest.fixture(scope="session")
def small_training() -> TrainingConfig:
    return small_config(seed=3, replicas=12, fits=2)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The model of `small_training`."""
    return trained(tmp_path_factory.mktemp("models"), seed=3, replicas=12, fits=2)


@pytest.fixture(scope="session")
def bundle_folder(bundle: Bundle) -> Path:
    return bundle.folder
