"""Waiting for a job in front of people: the progress it reports, and a word where nobody works on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress

from ledger.jobs import ROUTES
from ledger.outcomes import Outcome, Progress, State
from producer.client import Client
from producer.screen import Screen


def watch(client: Client, screen: Screen, job_id: str, timeout_seconds: float | None) -> Outcome:
    """Wait for the outcome and show the progress. Raises as `Client.wait` does."""
    status = client.status(job_id)
    if status.state is State.QUEUED and status.kind is not None:
        queue = ROUTES[status.kind].queue
        if queue not in served_queues(client):
            screen.remark(f"No {queue} worker is alive, so the job waits. Start some: cornerman up")
    with progress_shown(screen) as on_progress:
        return client.wait(job_id, timeout_seconds, on_progress=on_progress)


def served_queues(client: Client) -> set[str]:
    """Return the queues that a living pool works off."""
    return {queue for pool in client.ledger.pools() for queue in pool.get("queues", ())}


def said(news: Progress) -> str:
    """Return how far a job is, in words."""
    left = "" if news.left_seconds is None else f", about {news.left_seconds:.0f} s left"
    return f"{news.stage}, {news.done} of {news.total}{left}"


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
        yield lambda news: bar.update(task, description=said(news), completed=news.done, total=news.total)
