from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from engine.data.feature_matrix import TrainingMatrix
from engine.model.bundle import Bundle
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import MatrixColumns, TrainEnsemble
from ledger.contracts.local_protocol import LocalMessage, PredictMatrix, Request, TrainLocally
from workers.local.runner import main

COLUMNS = MatrixColumns(label="won", event="event", date="date", red_odds="red_price", blue_odds="blue_price")


def ask(request: Request) -> list[LocalMessage]:
    """The lines that a request is answered with."""
    sink = BytesIO()
    assert main(BytesIO(msgspec.json.encode(request)), sink) == 0
    return [msgspec.json.decode(line, type=LocalMessage) for line in sink.getvalue().splitlines()]


def failure_of(request: Request) -> Failure:
    lines = ask(request)
    assert lines[-1].failure is not None
    assert not any(line.trained or line.answered for line in lines)
    return lines[-1].failure


def test_scikit_learn_is_loaded_by_no_request_but_an_import() -> None:
    code = "import sys, workers.local.runner; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "engine.training.train" in loaded
    assert "sklearn" not in loaded


@pytest.fixture
def table(league_matrix: TrainingMatrix) -> pd.DataFrame:
    """The small league as a ready matrix."""
    about = {"won": league_matrix.won, "event": league_matrix.event, "date": league_matrix.date}
    prices = {"red_price": league_matrix.red_odds, "blue_price": league_matrix.blue_odds}
    return league_matrix.X.assign(**about, **prices)


def training(path: Path, out: Path, columns: MatrixColumns = COLUMNS) -> TrainLocally:
    job = TrainEnsemble(data=str(path), matrix=columns, fits=1, folds=3, forest_trees=5, bootstrap_samples=0)
    return TrainLocally(job=job, out=str(out))


@pytest.mark.slow
def test_a_model_trained_here_answers_here(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "train.csv", index=False)
    lines = ask(training(tmp_path / "train.csv", tmp_path / "a" / "model"))
    assert lines[-1].trained is not None
    assert [line.progress.stage for line in lines[:-1] if line.progress] == ["reading", *["folds"] * 3, "fits"]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["model"]

    table.assign(note="own").to_csv(tmp_path / "test.csv", index=False)
    *rows, report = ask(PredictMatrix(model=str(tmp_path / "a" / "model"), matrix=str(tmp_path / "test.csv")))
    answers = [row for line in rows for row in line.rows]
    assert report.answered is not None
    assert (report.answered.rows, report.answered.unused) == (len(table), ("note",))
    assert len(answers) == len(table)
    assert {(answer.sampling_interval, answer.sampling_reason) for answer in answers} == {(None, "bootstrap_off")}
    assert [answer.market_aware is not None for answer in answers] == table["red_price"].notna().tolist()


def test_rows_are_the_same_in_any_company(bundle: Bundle, table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "all.csv", index=False)
    table.tail(3).to_csv(tmp_path / "few.csv", index=False)
    answers = [
        [row for line in ask(PredictMatrix(model=str(bundle.folder), matrix=str(tmp_path / name))) for row in line.rows]
        for name in ("all.csv", "few.csv")
    ]
    assert answers[0][-3:] == answers[1]


@pytest.mark.slow
def test_a_model_is_replaced_and_nothing_else_is(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "train.csv", index=False)
    first, second = (ask(training(tmp_path / "train.csv", tmp_path / "model"))[-1].trained for _ in range(2))
    assert first == second
    failure = failure_of(training(tmp_path / "train.csv", tmp_path))
    assert "exists and is not a model" in failure.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "train.csv"]


Change = Callable[[pd.DataFrame], pd.DataFrame]
BAD_TRAINING: dict[str, tuple[Change, str]] = {
    "no such column": (lambda table: table.drop(columns="won"), "no column ['won']"),
    "a label of three": (lambda table: table.assign(won=np.arange(len(table)) % 3), "it must hold 0 and 1 only"),
    "one outcome": (lambda table: table.assign(won=1), "both outcomes are needed"),
    "one side only": (lambda table: table.assign(red_y=1.0), "'red_y' has no counterpart 'blue_y'"),
    "text": (lambda table: table.assign(altitude="high"), "columns must be numbers: ['altitude']"),
    "infinity": (lambda table: table.assign(altitude=np.inf), "infinite values in ['altitude']"),
    "American odds": (lambda table: table.assign(red_price=-150), "these look American"),
    "no dates": (lambda table: table.assign(date="soon"), "this is not a date"),
    "no rows": (lambda table: table.head(0), "empty"),
    "too few rows": (lambda table: table.head(100), "100 decided fights are too few"),
}


@pytest.mark.parametrize("name", BAD_TRAINING)
def test_bad_training_data_are_refused(table: pd.DataFrame, tmp_path: Path, name: str) -> None:
    change, expected = BAD_TRAINING[name]
    change(table).to_csv(tmp_path / "train.csv", index=False)
    failure = failure_of(training(tmp_path / "train.csv", tmp_path / "model"))
    assert failure.code is FailureCode.INVALID_INPUT
    assert expected in failure.message
    assert not (tmp_path / "model").exists()


BAD_QUESTIONS: dict[str, tuple[Change, str]] = {
    "features that are missing": (lambda table: table.drop(columns="diff_elo"), "features: ['diff_elo']"),
    "text": (lambda table: table.assign(diff_elo="high"), "columns must be numbers: ['diff_elo']"),
    "infinity": (lambda table: table.assign(diff_elo=np.inf), "infinite values in ['diff_elo']"),
    "no rows": (lambda table: table.head(0), "empty"),
}


@pytest.mark.parametrize("name", BAD_QUESTIONS)
def test_bad_questions_are_refused(bundle: Bundle, table: pd.DataFrame, tmp_path: Path, name: str) -> None:
    change, expected = BAD_QUESTIONS[name]
    change(table).to_csv(tmp_path / "test.csv", index=False)
    failure = failure_of(PredictMatrix(model=str(bundle.folder), matrix=str(tmp_path / "test.csv")))
    assert failure.code is FailureCode.INVALID_INPUT
    assert expected in failure.message


def test_files_and_models_that_cannot_be_used(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "manifest.json").write_text("{}")
    for model, matrix, code in (
        (bundle.folder, "broken.csv", FailureCode.INVALID_INPUT),
        (bundle.folder, "nowhere.csv", FailureCode.INVALID_INPUT),
        (tmp_path / "nowhere", "broken.csv", FailureCode.MODEL_NOT_FOUND),
        (tmp_path, "broken.csv", FailureCode.MODEL_CORRUPT),
    ):
        assert failure_of(PredictMatrix(model=str(model), matrix=str(tmp_path / matrix))).code is code
