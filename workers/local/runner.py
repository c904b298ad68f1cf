"""`python -m workers.local.runner`: run one training, prediction, backtest or check on this machine, without a server.

The process reads one request of `ledger.contracts.local_protocol` from standard input and writes one JSON message per
line to standard output: progress, rows, and at the end the report or the failure. Its exit code is 0 after either;
another code means that it was stopped or crashed.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from engine.arrays import Floats
from engine.data.feature_matrix_files import read_prediction_rows
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import ValidationError
from engine.market.devigging import DevigMethod, devig
from engine.model.bundle import MANIFEST, open_bundle
from engine.model.prediction import FightPrediction
from engine.model.trained_ensemble import load_ensemble
from engine.model.unfinished_bundles import WRITING_PREFIX
from engine.training.train import ProgressCallback
from ledger.contracts.job_state import Progress
from ledger.contracts.local_protocol import (
    BacktestLocally,
    Bounds,
    CheckData,
    ImportFights,
    ImportJoblib,
    LoadTest,
    LocalMessage,
    MarketAwareAnswer,
    MatrixReport,
    PredictMatrix,
    Request,
    RowAnswer,
    TrainLocally,
)
from workers.failures import to_failure
from workers.handlers.fight_log.update_fight_log import import_here
from workers.handlers.prediction.card_report import contributions_of
from workers.handlers.training.backtest import backtest_in_process
from workers.handlers.training.train_ensemble import train_in_process, training_report
from workers.local.check_data import check_data_files
from workers.local.load_test import run_load_test

ROWS_PER_MESSAGE = 500  # between two progress messages

Send = Callable[[LocalMessage], None]


def main(source: BinaryIO, sink: BinaryIO) -> int:
    """Answer the request in `source` with messages on `sink`; return the exit code."""
    encoder = msgspec.json.Encoder()

    def send(message: LocalMessage) -> None:
        sink.write(encoder.encode(message) + b"\n")
        sink.flush()

    request: Request = msgspec.json.decode(source.read(), type=Request)
    try:
        match request:
            case TrainLocally():
                _train(request, send)
            case PredictMatrix():
                _predict(request, send)
            case BacktestLocally():
                _backtest(request, send)
            case LoadTest():
                send(LocalMessage(carried=run_load_test(request)))
            case ImportJoblib():
                _import_joblib(request, send)
            case CheckData():
                send(LocalMessage(checked=check_data_files(request)))
            case ImportFights():
                send(LocalMessage(fights=import_here(request)))
    except Exception as error:  # noqa: BLE001 - any error becomes a typed failure, as in a pool
        send(LocalMessage(failure=to_failure(error)))
    return 0


def _train(request: TrainLocally, send: Send) -> None:
    out = Path(request.out)
    _check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=WRITING_PREFIX, dir=out.parent) as folder:
        trained = train_in_process(request.job, Path(folder, "new"), _progress(send), math.inf)
        # The folder `out` always holds a complete bundle.
        if out.exists():
            out.rename(Path(folder, "old"))
        trained.folder.rename(out)
    send(LocalMessage(trained=training_report(trained, None)))


def _import_joblib(request: ImportJoblib, send: Send) -> None:
    from workers.handlers.import_joblib import import_files  # the only user of scikit-learn, which is large

    import_files(request, send)


def _backtest(request: BacktestLocally, send: Send) -> None:
    records = None if request.records is None else Path(request.records)
    send(LocalMessage(backtested=backtest_in_process(request.job, _progress(send), math.inf, records)))


def _progress(send: Send) -> ProgressCallback:
    return lambda stage, done, total: send(LocalMessage(progress=Progress(stage=stage, done=done, total=total)))


def _check_out(out: Path) -> None:
    """Refuse an output folder that cannot be replaced before the training, which takes minutes."""
    if not out.exists() or (out / MANIFEST).is_file() or (out.is_dir() and not any(out.iterdir())):
        return
    raise ValidationError(f"{out} exists and is not a model: name a new folder, or a model to be replaced")


def _predict(request: PredictMatrix, send: Send) -> None:
    bundle = open_bundle(Path(request.model))
    ensemble = load_ensemble(bundle)
    config = create_production_ensemble_config(
        bootstrap_samples=ensemble.n_replicas, confidence_level=max(request.levels)
    )
    manager = ProductionEnsembleManager.from_ensemble(ensemble, config)
    named = bundle.manifest.get("matrix", {})
    rows = read_prediction_rows(
        Path(request.matrix),
        ensemble.columns,
        red_odds=request.red_odds or named.get("red_odds"),
        blue_odds=request.blue_odds or named.get("blue_odds"),
        pairs=named.get("pairs", ()),
    )
    market = _market(rows.odds, DevigMethod(request.devig_method))
    total = len(rows.X)
    for start in range(0, total, ROWS_PER_MESSAGE):
        part = slice(start, start + ROWS_PER_MESSAGE)
        X = rows.X.iloc[part]
        answers = manager.predict_fights(
            X,
            [("red", "blue")] * len(X),
            market_probability=market[part].tolist(),
            levels=request.levels,
            contributions=request.contributions,
        )
        send(LocalMessage(rows=tuple(map(_row, answers))))
        send(LocalMessage(progress=Progress(stage="answering", done=start + len(X), total=total)))
    unused = tuple(name for name in rows.unused if name not in named.values())
    send(LocalMessage(answered=MatrixReport(model=bundle.digest, rows=total, unused=unused)))


def _market(odds: Floats, method: DevigMethod) -> Floats:
    """Return the de-vigged probability of red, (n,), NaN unless both prices are known, from decimal odds, (n, 2)."""
    probability = np.full(len(odds), np.nan)
    priced = np.isfinite(odds).all(axis=1)
    if priced.any():
        probability[priced] = devig(odds[priced], method)[:, 0]
    return probability


def _row(answer: FightPrediction) -> RowAnswer:
    aware = answer.market_aware
    return RowAnswer(
        probability=answer.probability,
        intervals=_by_level(answer.intervals),
        interval_method=answer.interval_method,
        interval_reason=None if answer.interval_method else "not_measured",
        sampling_interval=answer.sampling_interval,
        sampling_reason=answer.sampling_reason,
        market_aware=None
        if aware is None
        else MarketAwareAnswer(probability=aware.probability, band=_by_level(aware.band), method=aware.method),
        market_aware_reason=answer.market_aware_reason,
        contributions=msgspec.UNSET if (found := contributions_of(answer, 0)) is None else found,
    )


def _by_level(bounds: dict[float, Bounds]) -> dict[str, Bounds]:
    return {f"{level:g}": ends for level, ends in bounds.items()}


if __name__ == "__main__":
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr  # output of libraries must not mix with the messages
    sys.exit(main(sys.stdin.buffer, answers))
