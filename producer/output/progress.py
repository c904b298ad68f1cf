"""Waiting for jobs on the command line: progress display, retries while the server is away, and notes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich import progress

from ledger.contracts.failures import LedgerError, LedgerUnavailableError, WaitTimeoutError
from ledger.contracts.job_state import JobState, Outcome, Progress
from ledger.contracts.jobs import ROUTES, PredictCard
from ledger.contracts.reports import CardReport
from ledger.jobs.outcome_reader import FINAL_READ_SECONDS
from ledger.server.connection_pool import with_deadline
from producer.client import Client
from producer.output.console import Console
from producer.output.numbers import progress_text
from producer.output.report_tables import status_notes
from producer.service.served_queues import served_queues

RETRY_SECONDS = 1.0
SUBMIT_SECONDS = 60.0
Answer = TypeVar("Answer")


def wait_with_progress(client: Client, console: Console, job_id: str, timeout_seconds: float | None) -> Outcome:
    """Wait for the outcome and show the progress; retry while the server is unavailable.

    On a timeout or Ctrl-C prints the command that continues to wait. Raises as `Client.wait`, and
    LedgerUnavailableError if the server is unavailable at the end of the timeout.
    """
    end = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
    try:
        retry_until_available(client, console, lambda: _check_workers(client, console, job_id), end)
        with show_progress(console) as on_progress:
            return retry_until_available(
                client, console, lambda: client.wait(job_id, _left(end), on_progress=on_progress), end
            )
    except (WaitTimeoutError, LedgerUnavailableError, KeyboardInterrupt):
        console.note(f"The job goes on. To wait for it: cornerman result {job_id}")
        raise


def _left(end_seconds: float) -> float | None:
    return None if end_seconds == math.inf else max(0.0, end_seconds - time.monotonic())


def _check_workers(client: Client, console: Console, job_id: str) -> None:
    status = client.status(job_id)
    for note in status_notes(status) if status.state is JobState.WAITING else ():
        console.note(f"The job {note}.")
    if status.state is JobState.QUEUED and status.kind is not None:
        queue = ROUTES[status.kind].queue
        if queue not in served_queues(client):
            console.note(f"No {queue} worker is alive, so the job waits. Start workers: cornerman up")


def retry_until_available(
    client: Client, console: Console, call: Callable[[], Answer], end_seconds: float = math.inf
) -> Answer:
    """Call `call` until the server answers; print each new error once.

    Raises LedgerUnavailableError if the server does not answer by `end_seconds` of the monotonic clock.
    """
    shown = ""
    while True:
        try:
            with with_deadline(max(end_seconds, time.monotonic()) + FINAL_READ_SECONDS):
                return call()
        except LedgerUnavailableError as error:
            if shown != str(error):
                shown = str(error)
                console.note(f"{shown}\nWaiting until it answers again ...")
            if time.monotonic() >= end_seconds:
                raise
            _wait_for_server(client, end_seconds)


def submit_with_retry(
    client: Client, console: Console, call: Callable[[], Answer], key: str | None, timeout_seconds: float | None = None
) -> Answer:
    """Submit a job; retry while the server is unavailable, for up to `timeout_seconds` (default: a minute).

    Raises LedgerUnavailableError after that, and prints how to find out if the job was accepted.
    """
    end = time.monotonic() + (SUBMIT_SECONDS if timeout_seconds is None else timeout_seconds)
    try:
        return retry_until_available(client, console, call, end)
    except (LedgerUnavailableError, KeyboardInterrupt):
        remedy = "repeat the command, which submits the same job" if key is None else f"see cornerman status {key}"
        console.note(f"The job may have been accepted: {remedy}.")
        raise


def _wait_for_server(client: Client, end_seconds: float) -> None:
    while True:
        time.sleep(max(0.0, min(RETRY_SECONDS, end_seconds - time.monotonic())))
        try:
            with with_deadline(max(end_seconds, time.monotonic()) + FINAL_READ_SECONDS):
                client.ledger.server.time()
        except LedgerUnavailableError:
            if time.monotonic() >= end_seconds:
                raise
        else:
            return


def fetch_card(client: Client, outcome: Outcome) -> PredictCard | None:
    """Return the card of a card's outcome; None for another job, or if the card cannot be read now."""
    if not isinstance(outcome.report, CardReport):
        return None
    try:
        job = client.ledger.job_records.job(outcome.job_id)
    except LedgerError:  # the report can be shown without the card
        return None
    return job if isinstance(job, PredictCard) else None


@contextmanager
def show_progress(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Yield a progress callback: it draws a bar on a terminal, and prints a line for each new stage elsewhere."""
    if not console.err.is_terminal:
        started = time.monotonic()
        stages: set[str] = set()

        def on_progress(news: Progress) -> None:
            if news.stage not in stages:
                stages.add(news.stage)
                console.note(f"  {time.monotonic() - started:4.0f} s  {progress_text(news)}")

        yield on_progress
        return
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=console.err, transient=True) as bar:
        task = bar.add_task("waiting", total=None)
        yield lambda news: bar.update(
            task, description=progress_text(news), completed=news.done, total=news.total or None
        )
