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

from ledger.contracts.failures import Failure, FailureCode, JobFailedError, JobRefusedError
from ledger.contracts.job_reports.backtest_report import BacktestReport
from ledger.contracts.job_reports.fight_log_report import FightLogReport
from ledger.contracts.local_protocol import (
    BacktestLocally,
    CheckData,
    DataReport,
    FileListing,
    ImportFights,
    ImportJoblib,
    ImportReport,
    LoadTest,
    LoadTestReport,
    LocalMessage,
    MatrixReport,
    PredictMatrix,
    Request,
    RowAnswer,
    TrainLocally,
)
from ledger.contracts.reports import TrainingReport
from producer.errors import LOCAL_JOB_ID
from producer.output.console import Console
from producer.output.progress import show_progress
from producer.service.service_process import STOP_SECONDS, die_with_parent, require_modules


def train_locally(request: TrainLocally, console: Console) -> TrainingReport:
    """Train and return the report. Raises JobRefusedError, JobFailedError and NotInstalledError."""
    for line in _lines(request, console):
        if line.trained is not None:
            return line.trained
    raise _broken_off()


def backtest_locally(request: BacktestLocally, console: Console) -> BacktestReport:
    """Run a backtest and return the report. Raises as `train_locally`."""
    for line in _lines(request, console):
        if line.backtested is not None:
            return line.backtested
    raise _broken_off()


def predict_matrix(request: PredictMatrix, console: Console, on_row: Callable[[RowAnswer], None]) -> MatrixReport:
    """Predict a feature matrix row by row and return the report. Raises as `train_locally`."""
    for line in _lines(request, console):
        for row in line.rows:
            on_row(row)
        if line.answered is not None:
            return line.answered
    raise _broken_off()


def check_data(request: CheckData, console: Console) -> DataReport:
    """Check a fight log or a feature matrix and return its faults. Raises as `train_locally`."""
    for line in _lines(request, console):
        if line.checked is not None:
            return line.checked
    raise _broken_off()


def import_fights(request: ImportFights, console: Console) -> FightLogReport:
    """Import sources into a fight log and return the report. Raises as `train_locally`."""
    for line in _lines(request, console):
        if line.fights is not None:
            return line.fights
    raise _broken_off()


def run_load_test(request: LoadTest, console: Console) -> LoadTestReport:
    """Run a load test in a new process and return its report. Raises as `train_locally`."""
    for line in _lines(request, console):
        if line.carried is not None:
            return line.carried
    raise _broken_off()


def import_joblib(
    request: ImportJoblib, console: Console, on_listing: Callable[[Sequence[FileListing]], None]
) -> ImportReport | None:
    """List files, then import them if they are trusted, otherwise return None. Raises as `train_locally`."""
    for line in _lines(request, console):
        if line.listed:
            on_listing(line.listed)
            if not request.trusted:
                return None
        if line.imported is not None:
            return line.imported
    raise _broken_off()


def _lines(request: Request, console: Console) -> Iterator[LocalMessage]:
    """Run a request in a child and yield its messages; show its progress and raise its failure."""
    decoder = msgspec.json.Decoder(LocalMessage)
    with _child(msgspec.json.encode(request)) as output, show_progress(console) as on_progress:
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
    require_modules("workers", "structlog", "xgboost", "workers")
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.local.runner"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must reach only this process, which stops the child
        preexec_fn=die_with_parent,
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


def _raised(failure: Failure) -> JobRefusedError | JobFailedError:
    return (
        JobRefusedError(failure) if failure.code is FailureCode.INVALID_INPUT else JobFailedError(LOCAL_JOB_ID, failure)
    )


def _broken_off() -> JobFailedError:
    message = "the process exited without a report; read its output above; the usual cause is too little memory"
    return JobFailedError(LOCAL_JOB_ID, Failure(code=FailureCode.WORKER_LOST, message=message, retryable=True))
