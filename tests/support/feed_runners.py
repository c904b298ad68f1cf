"""Feed runners: as processes, and as threads of a test, which start at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.ledger import Ledger
from ledger.settings import LedgerSettings
from producer.client import Client
from producer.feed_runner.feed_writer import FeedWriter
from producer.feed_runner.leadership import Leadership
from producer.feed_runner.live_loop import LiveLoop
from producer.feed_runner.metrics import RunnerMetrics
from producer.feed_runner.settings import FeedSettings
from producer.feed_runner.sources.http_client import ProviderClient
from producer.feed_runner.sources.odds_api import OddsApiSource
from tests.support.scripted_provider import KEY, ScriptedProvider

QUICK = {
    "CORNERMAN_FEED_LEASE_SECONDS": "1.5",
    "CORNERMAN_FEED_RETRY_SECONDS": "0.05",
    "CORNERMAN_FEED_NEAR_SECONDS": "0.2",
    "CORNERMAN_FEED_DAY_SECONDS": "0.4",
    "CORNERMAN_FEED_FAR_SECONDS": "0.6",
    "CORNERMAN_FEED_IDLE_SECONDS": "0.8",
    "CORNERMAN_FEED_SLOW_RETRY_SECONDS": "60",
    "CORNERMAN_FEED_BUDGET_RESET_DAY": str((datetime.now(UTC).day + 13) % 28 + 1),  # not during a test
}
STOP_SECONDS = 20


@dataclass
class RunnerProcess:
    """A feed runner and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def lines(self) -> str:
        return self.log.read_text()

    def kill(self, signum: int = signal.SIGKILL) -> None:
        self.process.send_signal(signum)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


StartRunner = Callable[..., RunnerProcess]


@contextmanager
def runner_starter(ledger: LedgerSettings, folder: Path) -> Iterator[StartRunner]:
    """Yield a function that starts feed runners; those that still run at the end are killed."""
    started: list[RunnerProcess] = []

    def start(*arguments: str, provider: ScriptedProvider | None = None, **variables: Any) -> RunnerProcess:
        environment = {
            **os.environ,
            "CORNERMAN_REDIS_URL": str(ledger.redis_url),
            "CORNERMAN_NAMESPACE": ledger.namespace,
            **QUICK,
            **({} if provider is None else {"CORNERMAN_FEED_URL": provider.url, "CORNERMAN_FEED_API_KEY": KEY}),
            **{name: str(value) for name, value in variables.items()},
        }
        log = folder / f"runner-{len(started)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "producer.cli.main", "feed", "run", *arguments],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=stream,
            )
        started.append(RunnerProcess(process, log))
        return started[-1]

    try:
        yield start
    finally:
        for runner in started:
            if runner.process.poll() is None:
                runner.process.kill()
            runner.process.wait()


@contextmanager
def feed_writer(ledger: LedgerSettings, name: str, settings: FeedSettings) -> Iterator[FeedWriter]:
    """Yield the writer of a runner that asks for the lead of a feed."""
    lease_ledger, client = Ledger.connect(ledger), Client(Ledger.connect(ledger))
    leadership = Leadership(
        lease_ledger,
        name=name,
        runner=f"thread#{threading.get_ident()}",
        source="a test",
        lease_seconds=settings.feed_lease_seconds,
        on_change=lambda _leads: None,
        on_error=lambda _error: None,
    )
    leadership.start()
    try:
        yield FeedWriter(
            client=client,
            name=name,
            settings=settings,
            leadership=leadership,
            metrics=RunnerMetrics(name),
            policy=settings.card_policy,
            stopping=threading.Event(),
        )
    finally:
        leadership.stop()
        lease_ledger.close()
        client.close()


@contextmanager
def running_loop(
    ledger: LedgerSettings, provider: ScriptedProvider, name: str = "live", **changes: Any
) -> Iterator[FeedWriter]:
    """Poll a provider in a thread for the duration of a block."""
    environment = {**QUICK, "CORNERMAN_FEED_URL": provider.url, "CORNERMAN_FEED_API_KEY": KEY}
    settings = FeedSettings.from_env(environment, **changes)
    with feed_writer(ledger, name, settings) as writer:
        clients: list[ProviderClient] = []

        def poll() -> None:
            clients.append(ProviderClient(settings, KEY))
            source = OddsApiSource(settings, clients[0], writer.client.ledger.server.time)
            LiveLoop(writer, source).run()
            clients[0].close()

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield writer
        finally:
            writer.stopping.set()
            for client in clients:
                client.cancel()
            with writer.writing:  # as a runner ends
                writer.leadership.stop()
            thread.join(STOP_SECONDS)
