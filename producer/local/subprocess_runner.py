"""Training, prediction and backtests on this machine, without a server.

A child process, `python -m workers.local.runner`, does the work, so that this process loads no heavy library. The
child's progress is shown as it arrives, and its errors are raised here as the typed failures of a job.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, cast

import msgspec

from ledger.contracts.backtest_report import BacktestReport
from ledger.contracts.failures import Failure, FailureCode, JobFailed, JobRefused
from ledger.contracts.local_protocol import (
    BacktestHere,
    CarryLoad,
    CheckData,
    DataReport,
    FileListing,
    ImportJoblib,
    ImportReport,
    Line,
    LoadReport,
    MatrixReport,
    PredictMatrix,
    Request,
    RowAnswer,
    TrainHere,
)
from ledger.contracts.reports import TrainingReport
from producer.cli.output.console import Screen
from producer.cli.output.progress import progress_shown
from producer.service.pool_process import STOP_SECONDS, end_with_parent, require

HERE = "on this machine"  # in place of a job's id


def train_here(request: TrainHere, screen: Screen) -> TrainingReport:
    """Train and return the report. Raises JobRefused, JobFailed and NotInstalledError."""
    for line in _lines(request, screen):
        if line.trained is not None:
            return line.trained
    raise _broken_off()


def backtest_here(request: BacktestHere, screen: Screen) -> BacktestReport:
    """Run a backtest and return the report. Raises as `train_locally`."""
    for line in _lines(request, screen):
        if line.backtested is not None:
            return line.backtested
    raise _broken_off()


def predict_matrix(request: PredictMatrix, screen: Screen, on_row: Callable[[RowAnswer], None]) -> MatrixReport:
    """Predict a feature matrix row by row and return the report. Raises as `train_locally`."""
    for line in _lines(request, screen):
        for row in line.rows:
            on_row(row)
        if line.answered is not None:
            return line.answered
    raise _broken_off()


def check_data(request: CheckData, screen: Screen) -> DataReport:
    """Check a fight log or a feature matrix and return its faults. Raises as `train_locally`."""
    for line in _lines(request, screen):
        if line.checked is not None:
            return line.checked
    raise _broken_off()


def carry_load(request: CarryLoad, screen: Screen) -> LoadReport:
    """Run a load test in a new process and return its report. Raises as `train_locally`."""
    for line in _lines(request, screen):
        if line.carried is not None:
            return line.carried
    raise _broken_off()


def import_joblib(
    request: ImportJoblib, screen: Screen, on_listing: Callable[[Sequence[FileListing]], None]
) -> ImportReport | None:
    """List files, then import them if they are trusted, otherwise return None. Raises as `train_locally`."""
    for line in _lines(request, screen):
        if line.listed:
            on_listing(line.listed)
            if not request.trusted:
                return None
        if line.imported is not None:
            return line.imported
    raise _broken_off()


def _lines(request: Request, screen: Screen) -> Iterator[Line]:
    """Run a request in a child and yield its messages; show its progress and raise its failure."""
    decoder = msgspec.json.Decoder(Line)
    with _child(msgspec.json.encode(request)) as output, progress_shown(screen) as on_progress:
        for text in output:
            line = decoder.decode(text)
            if line.failure is not None:
                raise _raised(line.failure)
            if line.progress is not None:
                on_progress(line.progress)
            yield line


@contextmanager
def _child(request: bytes) -> Iterator[IO[bytes]]:
    """Start the child, yield its output, and stop it at the end of the block."""
    require("workers", "structlog", "xgboost", "workers")
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.local.runner"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must reach only this process, which stops the child
        preexec_fn=end_with_parent,
    )
    with process:
        source, output = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        try:
            with suppress(BrokenPipeError):  # a child that has exited already is detected by its missing output
                source.write(request)
                source.close()
            yield output
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _raised(failure: Failure) -> JobRefused | JobFailed:
    return JobRefused(failure) if failure.code is FailureCode.INVALID_INPUT else JobFailed(HERE, failure)


def _broken_off() -> JobFailed:
    message = "the process exited without a report; read its output above; the usual cause is too little memory"
    return JobFailed(HERE, Failure(code=FailureCode.WORKER_LOST, message=message, retryable=True))
