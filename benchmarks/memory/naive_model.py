"""Naive model in a Celery worker: each child loads a joblib file when it starts.

Celery's documentation suggests `worker_process_init` for this. Started by `benchmarks.memory.pool`.
"""

from __future__ import annotations

import os
from typing import Any

import joblib
import sklearn  # noqa: F401 - needed by a model of scikit-learn
import xgboost  # noqa: F401 - needed by a model of XGBoost
from celery import Celery, signals

MODEL_VARIABLE = "NAIVE_MODEL"
URL_VARIABLE = "NAIVE_CELERY_URL"

_model: dict[str, Any] = {}


def create_app(url: str | None) -> Celery:
    """Return an app with the task `touch`."""
    made = Celery("naive_model", broker=url, backend=url)
    made.task(touch, name="touch")
    return made


def touch() -> float:
    """Read the whole model, as a prediction with all replicas does."""
    return float(
        sum(array.astype("float64", copy=False).sum() for array in _model.values() if array.dtype.kind in "fiu")
    )


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]  # celery ships no types
def _load(**_: object) -> None:
    _model.update(joblib.load(os.environ[MODEL_VARIABLE]))


app = create_app(os.environ.get(URL_VARIABLE))
