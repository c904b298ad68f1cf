"""`python -m workers.local.runner`: train on, answer, backtest, or try out a file on this machine, without a server.

It reads one request of `ledger.contracts.local_protocol` from standard input and answers on standard output, a line of
JSON each: how far it is, rows, and at the end the report or the failure. It ends with 0 after either; another code
means that it was stopped or broke down.
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
from engine.data.feature_matrix_files import read_rows
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import ValidationError
from engine.market.consensus import devig
from engine.model.bundle import MANIFEST, WRITING_PREFIX, open_bundle
from engine.model.prediction import FightPrediction
from engine.model.trained_ensemble import load_ensemble
from engine.training.train import Progress as TellProgress
from ledger.contracts.job_state import Progress
from ledger.contracts.local_protocol import (
    BacktestHere,
    Bounds,
    CarryLoad,
    CheckData,
    ImportJoblib,
    Line,
    MarketAwareAnswer,
    MatrixReport,
    PredictMatrix,
    Request,
    RowAnswer,
    TrainHere,
)
from workers.failures import failure_of
from workers.handlers.import_joblib import import_files
from workers.handlers.training.backtest import backtest_on_file
from workers.handlers.training.train_ensemble import report_of, train_on_file
from workers.local.check_data import check_data_files
from workers.local.load_test import carry_load

ROWS_AT_ONCE = 500  # answered between two words about how far it is

Tell = Callable[[Line], None]


def main(source: BinaryIO, sink: BinaryIO) -> int:
    """Answer the one request that stands in `source`, in lines on `sink`."""
    encoder = msgspec.json.Encoder()

    def tell(line: Line) -> None:
        sink.write(encoder.encode(line) + b"\n")
        sink.flush()

    request: Request = msgspec.json.decode(source.read(), type=Request)
    try:
        match request:
            case TrainHere():
                _train(request, tell)
            case PredictMatrix():
                _predict(request, tell)
            case BacktestHere():
                _backtest(request, tell)
            case CarryLoad():
                tell(Line(carried=carry_load(request)))
            case ImportJoblib():
                import_files(request, tell)
            case CheckData():
                tell(Line(checked=check_data_files(request)))
    except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a typed failure, as in a pool
        tell(Line(failure=failure_of(error)))
    return 0


def _train(request: TrainHere, tell: Tell) -> None:
    out = Path(request.out)
    _check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=WRITING_PREFIX, dir=out.parent) as folder:
        trained = train_on_file(request.job, Path(folder, "new"), _progress(tell), math.inf)
        # What stands at `out` is always a whole bundle.
        if out.exists():
            out.rename(Path(folder, "old"))
        trained.folder.rename(out)
    tell(Line(trained=report_of(trained, None)))


def _backtest(request: BacktestHere, tell: Tell) -> None:
    records = None if request.records is None else Path(request.records)
    tell(Line(backtested=backtest_on_file(request.job, _progress(tell), math.inf, records)))


def _progress(tell: Tell) -> TellProgress:
    return lambda stage, done, total: tell(Line(progress=Progress(stage=stage, done=done, total=total)))


def _check_out(out: Path) -> None:
    """Training takes minutes: what would stop its result from being written is better said before."""
    if not out.exists() or (out / MANIFEST).is_file() or (out.is_dir() and not any(out.iterdir())):
        return
    raise ValidationError(f"{out} is there already and is no model: name a new folder, or a model to be replaced")


def _predict(request: PredictMatrix, tell: Tell) -> None:
    bundle = open_bundle(Path(request.model))
    ensemble = load_ensemble(bundle)
    config = create_production_ensemble_config(
        bootstrap_samples=ensemble.n_replicas, confidence_level=max(request.levels)
    )
    manager = ProductionEnsembleManager.of(ensemble, config)
    named = bundle.manifest.get("matrix", {})
    rows = read_rows(
        Path(request.matrix),
        ensemble.columns,
        red_odds=request.red_odds or named.get("red_odds"),
        blue_odds=request.blue_odds or named.get("blue_odds"),
        pairs=named.get("pairs", ()),
    )
    market = _market(rows.odds)
    total = len(rows.X)
    for start in range(0, total, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        X = rows.X.iloc[part]
        answers = manager.predict_fights(
            X, [("red", "blue")] * len(X), market_probability=market[part].tolist(), levels=request.levels
        )
        tell(Line(rows=tuple(map(_row, answers))))
        tell(Line(progress=Progress(stage="answering", done=start + len(X), total=total)))
    unused = tuple(name for name in rows.unused if name not in named.values())
    tell(Line(answered=MatrixReport(model=bundle.digest, rows=total, unused=unused)))


def _market(odds: Floats) -> Floats:
    """Return the de-vigged probability of red, (n,), NaN without both prices, from decimal odds (n, 2)."""
    probability = np.full(len(odds), np.nan)
    priced = np.isfinite(odds).all(axis=1)
    if priced.any():
        probability[priced] = devig(odds[priced])[:, 0]
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
    )


def _by_level(bounds: dict[float, Bounds]) -> dict[str, Bounds]:
    return {f"{level:g}": ends for level, ends in bounds.items()}


if __name__ == "__main__":
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not stand between the lines
    sys.exit(main(sys.stdin.buffer, answers))
