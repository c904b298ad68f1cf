from __future__ import annotations

import gzip
import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from engine.data.features import MODEL_COLUMNS
from engine.resources.memory_estimate import PredictionSize, TrainingSize, prediction_mb, training_mb
from ledger.contracts.controls import Controls
from ledger.contracts.jobs import Fight, Fighter, IntervalOptions, MatrixColumns, PredictCard, TrainEnsemble
from workers.child.memory_needs import MemoryEstimate, answer_size, estimate_card, estimate_training, training_size
from workers.settings import WorkerSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRAME = pd.DataFrame({"won": [0, 1, 1], "event": ["a", "a", "b"], "date": ["2025-01-01"] * 3, "x": 1.0, "y": 2.0})


@pytest.mark.parametrize("name", ["m.csv", "m.csv.gz", "m.parquet"])
def test_the_sizes_of_a_matrix_are_read_without_reading_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False)
    columns = MatrixColumns(label="won", event="event", date="date")
    plan = TrainEnsemble(data=str(path), matrix=columns, bootstrap_samples=20, fits=2, folds=3)
    assert training_size(plan, 4) == TrainingSize(
        fights=3, columns=2, replicas=5, fits=5, point_trees=200, replica_trees=50, threads=4
    )


def test_the_fights_of_a_log_are_counted_and_its_matrix_has_the_models_columns(tmp_path: Path) -> None:
    (tmp_path / "fights.csv").write_text("fight_id\n1\n2\n")
    with gzip.open(tmp_path / "stat_lines.csv.gz", "wt") as lines:
        lines.write("x\n")
    (tmp_path / "fighters.csv").write_text("x\n")
    size = training_size(TrainEnsemble(data=str(tmp_path)), 1)
    assert (size.fights, size.columns) == (2, len(MODEL_COLUMNS))


def test_data_that_are_not_there_are_no_estimate(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        training_size(TrainEnsemble(data=str(tmp_path / "nowhere")), 1)


def card(replicas: int | None = None) -> PredictCard:
    fighters = (Fighter(name="A"), Fighter(name="B"))
    return PredictCard(
        card_id="c",
        event_start=NOW + timedelta(days=1),
        fights=tuple(Fight(id=str(number), fighters=fighters) for number in range(12)),
        intervals=IntervalOptions(bootstrap_samples=replicas),
    )


def test_an_answer_depends_on_the_models_size_and_the_replicas_that_are_asked(tmp_path: Path) -> None:
    manifest = json.dumps({"schema": 1, "files": {}, "about": {"bootstrap_samples": 100}})
    (tmp_path / "manifest.json").write_text(manifest)
    (tmp_path / "forest.npy").write_bytes(bytes(3 * 2**20))
    none_set = Controls()
    assert answer_size(card(), tmp_path, none_set) == PredictionSize(12, 100, pytest.approx(3.0, abs=0.01))
    assert answer_size(card(40), tmp_path, none_set).replicas == 40
    assert answer_size(card(), tmp_path, Controls({"bootstrap": False})).replicas == 0
    need = estimate_card(card(), tmp_path, none_set)
    assert need.growth_mb == prediction_mb(PredictionSize(12, 100, answer_size(card(), tmp_path, none_set).bundle_mb))


def test_an_operators_threads_count_in_the_estimate(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    pd.concat([FRAME] * 1000).to_csv(path, index=False)
    columns = MatrixColumns(label="won", event="event", date="date")
    plan = TrainEnsemble(data=str(path), matrix=columns)
    settings = WorkerSettings(threads=8)
    eight = estimate_training(plan, settings, Controls())
    one = estimate_training(plan, settings, Controls({"max_threads": 1}))
    assert one.growth_mb < eight.growth_mb == training_mb(training_size(plan, 8))


@pytest.mark.parametrize(("allowed_mb", "fitting"), [(1000.0, 50), (250.0, 20), (54.9, 0), (0.0, 0)])
def test_what_would_fit_is_the_largest_number_that_does(allowed_mb: float, fitting: int) -> None:
    need = MemoryEstimate("a training", "bootstrap_samples", 50, lambda replicas: 50.0 + 10.0 * replicas)
    assert need.largest_fitting(allowed_mb) == fitting


def test_estimates_grow_with_every_size() -> None:
    least = TrainingSize(fights=100, columns=10, replicas=10, fits=5, point_trees=50, replica_trees=50, threads=1)
    for field in fields(least):
        assert training_mb(replace(least, **{field.name: 400})) > training_mb(least), field.name
