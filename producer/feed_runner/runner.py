"""The process of a feed runner: settings, lead, loop, signals.

SIGTERM and Ctrl-C hand the lead over at once: a request that is under way is given up, and a reading that is being
written is written to its end.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from ledger.contracts.codec import job_refused
from ledger.ledger import Ledger
from ledger.settings import LedgerSettings
from producer.client import Client
from producer.feed_runner.feed_log import configure_logging, log
from producer.feed_runner.feed_writer import FeedWriter
from producer.feed_runner.leadership import Leadership
from producer.feed_runner.live_loop import LiveLoop
from producer.feed_runner.metrics import RunnerMetrics
from producer.feed_runner.past_loop import PastLoop
from producer.feed_runner.settings import FeedSettings
from producer.feed_runner.sources.dumps import Dump, DumpError, dump_files, load, read_files, read_stream
from producer.feed_runner.sources.http_client import ProviderClient
from producer.feed_runner.sources.odds_api import OddsApiSource

LIVE = "odds-api"
HISTORY = "odds-api-history"
STDIN = "-"
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class RunOptions:
    """What a feed runner is to read.

    Attributes
    ----------
    sources
        `odds-api`, `odds-api-history`, `-`, or files and folders of dumps.
    once
        End after one poll of a live source.
    follow
        Go on searching folders for new dumps.
    submit_cards
        Submit cards; otherwise only prices are stored.
    first, last, step
        Of past prices: from when to when, and the time between two moments.
    """

    sources: tuple[str, ...]
    once: bool = False
    follow: bool = False
    submit_cards: bool = True
    first: datetime | None = None
    last: datetime | None = None
    step: timedelta = timedelta(0)

    @property
    def from_provider(self) -> bool:
        """True if it is read from a provider, with an API key."""
        return self.sources[0] in (LIVE, HISTORY)


def feed_name(options: RunOptions, settings: FeedSettings) -> str:
    """Return the name of the feed in the ledger: the one that is set, or one made from the source."""
    if settings.feed_name:
        return settings.feed_name
    if options.from_provider:
        return f"{options.sources[0]}.{settings.feed_sport}"[:64]
    if options.sources[0] == STDIN:
        return "stdin"
    named = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(options.sources[0]).resolve().name).strip("-._")
    return f"dumps.{named}"[:64] if named else "dumps"


def source_text(options: RunOptions, settings: FeedSettings) -> str:
    """Return what is shown of the source, without secrets."""
    if not options.from_provider:
        return "standard input" if options.sources[0] == STDIN else ", ".join(options.sources)[:300]
    books = settings.feed_bookmakers or settings.feed_regions
    return f"{urlsplit(settings.feed_url).netloc} {settings.feed_sport} ({books})"


class FeedRunner:
    """One feed runner, from its start to its end.

    Parameters
    ----------
    ledger_settings
        The server.
    settings, options
        What is read, and how.

    Attributes
    ----------
    totals
        What this runner has read and written: retrievals, quotes, changes, cards, and faults, which are refused events.
    """

    def __init__(self, ledger_settings: LedgerSettings, settings: FeedSettings, options: RunOptions) -> None:
        self._settings, self._options = settings, options
        self._key = _api_key(settings) if options.from_provider else ""
        self.name = feed_name(options, settings)
        self.runner = f"{os.environ.get('CORNERMAN_NODE') or socket.gethostname()}#{os.getpid()}-{secrets.token_hex(2)}"
        self.stopping = threading.Event()
        self._metrics = RunnerMetrics(self.name)
        self._provider: ProviderClient | None = None
        self._lease_ledger = Ledger.connect(ledger_settings)
        self.leadership = Leadership(
            self._lease_ledger,
            name=self.name,
            runner=self.runner,
            source=source_text(options, settings),
            lease_seconds=settings.feed_lease_seconds,
            on_change=self._lead_changed,
            on_error=lambda error: self._writer.tell_once(logging.ERROR, "no answer about the lead", error=str(error)),
        )
        self.totals: Counter[str] = Counter()
        self._writer = FeedWriter(
            client=Client(Ledger.connect(ledger_settings)),
            name=self.name,
            settings=settings,
            leadership=self.leadership,
            metrics=self._metrics,
            totals=self.totals,
            policy=settings.card_policy if options.submit_cards else None,
            stopping=self.stopping,
        )

    def run(self) -> bool:
        """Read the feed until its end, or until a signal. Return False if something could not be read."""
        configure_logging(self._key)
        if self._settings.feed_metrics_port:
            self._serve_metrics()
        log(
            logging.INFO,
            "feed runner starts",
            feed=self.name,
            runner=self.runner,
            source=source_text(self._options, self._settings),
        )
        ended = threading.Event()
        outcome: list[bool | BaseException] = []

        def work() -> None:
            try:
                outcome.append(self._work())
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits for it
                outcome.append(error)
            ended.set()

        worker = threading.Thread(target=work, name="feed loop", daemon=True)
        with self._signals(ended):
            self.leadership.start()
            worker.start()
            ended.wait()
        self.stopping.set()
        self._stop(worker)
        if outcome and isinstance(outcome[0], BaseException):
            raise outcome[0]
        return not outcome or bool(outcome[0])

    def _work(self) -> bool:
        if self._options.from_provider:
            return self._read_provider()
        loop = PastLoop(self._writer)
        if self._options.sources[0] == STDIN:
            clock = self._writer.client.ledger.server.time
            dumps = read_stream(sys.stdin.buffer, clock, loop.tell)
            whole = loop.read_dumps(partial(_same, dump) for dump in dumps)
        else:
            whole = self._read_files(loop)
        if whole:
            self._writer.finish()
        return not loop.faults

    def _read_provider(self) -> bool:
        import stamina

        stamina.instrumentation.set_on_retry_hooks([])  # its own would log every attempt
        self._provider = ProviderClient(self._settings, self._key)
        source = OddsApiSource(self._settings, self._provider, self._writer.client.ledger.server.time)
        if self._options.sources[0] == LIVE:
            succeeded = LiveLoop(self._writer, source).run(once=self._options.once)
            if self._options.once:
                self._writer.finish()
            return succeeded or not self._options.once
        first, last = self._options.first, self._options.last
        if first is None or last is None:
            raise job_refused("past prices need a first and a last moment: --from and --to")
        loop = PastLoop(self._writer)
        if loop.read_history(source, first, last, self._options.step):
            self._writer.finish()
        return not loop.faults

    def _read_files(self, loop: PastLoop) -> bool:
        paths = [Path(source) for source in self._options.sources]
        seen: set[tuple[Path, int]] = set()
        while True:
            try:
                files = {(path, _changed(path)) for path in dump_files(paths)} - seen
            except DumpError as error:
                raise job_refused(str(error)) from None
            found = read_files([path for path, _ in sorted(files)], loop.tell)
            if not loop.read_dumps(partial(load, *dump) for dump in found):
                return False
            if not self._options.follow:
                return True
            seen |= files
            if self.stopping.wait(self._settings.feed_scan_seconds):
                return False

    def _stop(self, worker: threading.Thread) -> None:
        if self._provider is not None:
            self._provider.cancel()
        if self._writer.writing.acquire(timeout=STOP_SECONDS):  # a reading is written to its end
            self._writer.writing.release()
        self.leadership.stop()
        worker.join(STOP_SECONDS)
        log(logging.INFO, "feed runner ends", feed=self.name, runner=self.runner)
        self._lease_ledger.close()

    def _serve_metrics(self) -> None:
        settings = self._settings
        try:
            port = self._metrics.serve(settings.feed_metrics_host, settings.feed_metrics_port)
        except OSError as error:
            raise job_refused(
                f"metrics cannot be served at {settings.feed_metrics_host}:{settings.feed_metrics_port}: "
                f"{error.strerror}"
            ) from None
        log(logging.INFO, "serving metrics", address=f"{settings.feed_metrics_host}:{port}")

    def _lead_changed(self, leads: bool) -> None:
        self._metrics.lead(leads)
        log(logging.INFO, "this runner leads" if leads else "this runner stands by", feed=self.name, runner=self.runner)

    @contextmanager
    def _signals(self, ended: threading.Event) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stopping.set()
            ended.set()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def checked_sources(sources: Sequence[str]) -> tuple[str, ...]:
    """Return sources of one kind. Raises JobRefusedError."""
    special = [source for source in sources if source in (LIVE, HISTORY, STDIN)]
    if special and len(sources) > 1:
        raise job_refused(f"{special[0]} is read alone: start another feed runner for the others")
    return tuple(sources)


def _api_key(settings: FeedSettings) -> str:
    try:
        return settings.api_key()
    except ValueError as error:
        raise job_refused(str(error)) from None


def _same(dump: Dump) -> Dump:
    return dump


def _changed(path: Path) -> int:
    """Return when a file was last written, in nanoseconds; 0 if it has gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
