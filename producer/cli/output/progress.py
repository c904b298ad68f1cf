"""Waiting for a job in front of people: the progress it reports, and a word where nobody works on it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich import progress

from ledger.contracts.failures import LedgerError, LedgerUnavailable, WaitTimeout
from ledger.contracts.job_state import Outcome, Progress, State
from ledger.contracts.jobs import ROUTES, PredictCard
from ledger.contracts.reports import CardReport
from ledger.jobs.outcome_reader import LAST_LOOK_SECONDS
from ledger.server.connection_pool import until
from producer.cli.output.console import Screen
from producer.cli.output.numbers import said
from producer.client import Client
from producer.service.served_queues import served_queues

RETRY_SECONDS = 1.0
SUBMIT_SECONDS = 60.0
Answer = TypeVar("Answer")


def watch(client: Client, screen: Screen, job_id: str, timeout_seconds: float | None) -> Outcome:
    """Wait for the outcome and show the progress, through outages of the server too.

    Raises as `Client.wait` does, LedgerUnavailable if the server does not answer when the time is over. If it gives up,
    it says how to ask again.
    """
    end = math.inf if timeout_seconds is None else time.monotonic() + timeout_seconds
    try:
        persist(client, screen, lambda: _check_workers(client, screen, job_id), end)
        with progress_shown(screen) as on_progress:
            return persist(client, screen, lambda: client.wait(job_id, _left(end), on_progress=on_progress), end)
    except (WaitTimeout, LedgerUnavailable, KeyboardInterrupt):
        screen.remark(f"The job goes on. Ask for it again: cornerman result {job_id}")
        raise


def _left(end_seconds: float) -> float | None:
    return None if end_seconds == math.inf else max(0.0, end_seconds - time.monotonic())


def _check_workers(client: Client, screen: Screen, job_id: str) -> None:
    status = client.status(job_id)
    if status.state is State.QUEUED and status.kind is not None:
        queue = ROUTES[status.kind].queue
        if queue not in served_queues(client):
            screen.remark(f"No {queue} worker is alive, so the job waits. Start some: cornerman up")


def persist(client: Client, screen: Screen, ask: Callable[[], Answer], end_seconds: float = math.inf) -> Answer:
    """Ask until the server answers, and say once why it does not.

    Raises LedgerUnavailable if it does not answer by `end_seconds` of the monotonic clock.
    """
    told = ""
    while True:
        try:
            with until(max(end_seconds, time.monotonic()) + LAST_LOOK_SECONDS):
                return ask()
        except LedgerUnavailable as error:
            if told != str(error):
                told = str(error)
                screen.remark(f"{told}\nWaiting until it answers again ...")
            if time.monotonic() >= end_seconds:
                raise
            _wait_for_server(client, end_seconds)


def submitted(
    client: Client, screen: Screen, ask: Callable[[], Answer], key: str | None, timeout_seconds: float | None = None
) -> Answer:
    """Submit a job, through an outage of the server of up to `timeout_seconds` (by default a minute).

    Raises LedgerUnavailable after that; then it says how to find out whether the job was accepted.
    """
    end = time.monotonic() + (SUBMIT_SECONDS if timeout_seconds is None else timeout_seconds)
    try:
        return persist(client, screen, ask, end)
    except (LedgerUnavailable, KeyboardInterrupt):
        named = "the same command again asks for the same job" if key is None else f"cornerman status {key} tells"
        screen.remark(f"The job may have been accepted: {named}.")
        raise


def _wait_for_server(client: Client, end_seconds: float) -> None:
    while True:
        time.sleep(max(0.0, min(RETRY_SECONDS, end_seconds - time.monotonic())))
        try:
            with until(max(end_seconds, time.monotonic()) + LAST_LOOK_SECONDS):
                client.ledger.server.time()
        except LedgerUnavailable:
            if time.monotonic() >= end_seconds:
                raise
        else:
            return


def card_of(client: Client, outcome: Outcome) -> PredictCard | None:
    """Return the card that an outcome answers; None for another job, or if it cannot be read now."""
    if not isinstance(outcome.report, CardReport):
        return None
    try:
        job = client.ledger.job_records.job(outcome.job_id)
    except LedgerError:  # the answer is there, and is shown without the card
        return None
    return job if isinstance(job, PredictCard) else None


@contextmanager
def progress_shown(screen: Screen) -> Iterator[Callable[[Progress], None]]:
    """Yield a function that shows progress: a bar on a terminal, elsewhere a line for each new stage."""
    if not screen.err.is_terminal:
        started = time.monotonic()
        stages: set[str] = set()

        def tell(news: Progress) -> None:
            if news.stage not in stages:
                stages.add(news.stage)
                screen.remark(f"  {time.monotonic() - started:4.0f} s  {said(news)}")

        yield tell
        return
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=screen.err, transient=True) as bar:
        task = bar.add_task("waiting", total=None)
        yield lambda news: bar.update(task, description=said(news), completed=news.done, total=news.total or None)
