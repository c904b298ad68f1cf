"""Prices go to the archive and leave the server; whatever happens meanwhile, each change is there once."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.contracts.failures import JobRefusedError
from ledger.contracts.job_reports.price_archive_report import PriceArchiveReport
from ledger.contracts.jobs import ArchivePrices, CollectGarbage, Fight, Fighter, Quote
from ledger.contracts.prices import PriceChange
from ledger.ledger import Ledger, LedgerSettings
from ledger.prices.archive import PriceArchive
from ledger.prices.price_reader import PriceReader
from ledger.server.embedded_server import EmbeddedServer
from tests.support.pools import ROOT
from workers.handlers.archive_prices import archive_prices
from workers.handlers.collect_garbage import collect_garbage
from workers.models.model_store import Store
from workers.settings import WorkerSettings

OLD, NEW = datetime(2026, 7, 31, 22, tzinfo=UTC), datetime(2026, 8, 1, 22, tzinfo=UTC)
STARTS = {"f0": OLD, "f1": OLD, "f2": NEW}
NOW_DUE, NONE_DUE = ArchivePrices(keep_days=0), ArchivePrices(keep_days=10_000)
KILLED = """
import os, signal, sys
import fsspec, pandas, pyarrow.parquet  # so that the children need not import them
from types import SimpleNamespace
from pathlib import Path
from ledger.contracts.jobs import ArchivePrices
from ledger.ledger import Ledger, LedgerSettings
from ledger.prices.prices import Prices
from ledger.remote_folder import FsspecFolder
from workers.handlers.archive_prices import archive_prices
from workers.settings import WorkerSettings

url, namespace, folder = sys.argv[1:]

def killed_at(event):
    '''Archive, and be killed just before or after a change of the store or the server.'''
    left = [event]
    def counted(call):
        def wrapped(*args, **kwargs):
            for step in (lambda: None, lambda: call(*args, **kwargs)):
                result = step()
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result
        return wrapped
    for kind, name in ((FsspecFolder, "write"), (FsspecFolder, "remove_file"), (Prices, "drop_archived")):
        setattr(kind, name, counted(getattr(kind, name)))
    ledger = Ledger.connect(LedgerSettings(redis_url=url, namespace=namespace))
    settings = WorkerSettings(data=Path(folder))
    archive_prices(ArchivePrices(keep_days=0), SimpleNamespace(settings=settings, ledger=ledger, progress=print))

for line in sys.stdin:  # forks before a thread is started
    child = os.fork()
    if child == 0:
        killed_at(int(line))
        os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Shop:
    """A ledger with a data folder, and an archive in a store."""

    def __init__(self, url: str, folder: Path, store: str = "") -> None:
        self.ledger = Ledger.connect(LedgerSettings(redis_url=url, namespace=f"test-{uuid.uuid4().hex}"))
        self.settings = WorkerSettings(data=folder, store=store)
        self.archive = PriceArchive.in_store(store, self.settings.models_folder)
        self.reader = PriceReader(self.ledger.prices, self.archive)

    def record(self, price: float, read_at: datetime, *names: str, **books: float) -> None:
        fights = [
            Fight(
                id=name,
                fighters=(Fighter(name="Ana"), Fighter(name="Bea")),
                quotes=tuple(
                    Quote(bookmaker=book, prices={"Ana": ana, "Bea": 1.5}, commission=0.05 if book == "x" else 0.0)
                    for book, ana in {"a": price, **books}.items()
                ),
            )
            for name in names or STARTS
        ]
        self.ledger.prices.record(fights, read_at, starts=STARTS)

    def run(self, job: ArchivePrices = NOW_DUE) -> PriceArchiveReport:
        context: Any = SimpleNamespace(settings=self.settings, ledger=self.ledger, progress=lambda *_: None)
        return archive_prices(job, context)

    def histories(self) -> dict[str, tuple[PriceChange, ...]]:
        return {name: self.reader.history(name) for name in STARTS}

    def files(self) -> list[str]:
        return sorted(path.parent.name for path in self.settings.models_folder.rglob("*.parquet"))


@pytest.fixture
def open_shop(valkey: EmbeddedServer, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    opened: list[Shop] = []

    def new(store: str = "") -> Shop:
        opened.append(Shop(valkey.url, tmp_path / "data", store))
        return opened[-1]

    yield new
    for shop in opened:
        shop.ledger.close()


@pytest.fixture(params=["folder", "url"])
def shop(request: pytest.FixtureRequest, open_shop: Callable[..., Shop], tmp_path: Path) -> Shop:
    """A ledger with some history."""
    made = open_shop("" if request.param == "folder" else f"file://{tmp_path / 'shared'}")
    made.record(2.0, OLD - timedelta(days=3), x=2.1)
    made.record(2.2, OLD - timedelta(days=2), x=2.1)
    made.record(2.2, OLD - timedelta(days=1))
    made.record(2.4, OLD - timedelta(hours=1))
    made.record(2.4, OLD - timedelta(minutes=1))
    return made


def test_archived_prices_are_those_of_the_server(shop: Shop) -> None:
    before, closes = shop.histories(), shop.reader.closes(STARTS)
    report = shop.run(NONE_DUE)
    assert (report.months, report.fights, report.dropped) == (("2026-07", "2026-08"), 3, 0)
    assert report.changes == sum(map(len, before.values())) == 24
    assert {name: shop.archive.find(name).changes for name in STARTS} == before
    assert shop.run(NONE_DUE).months == ()  # nothing new
    assert shop.run(NOW_DUE).dropped == 3
    assert shop.ledger.prices.fights() == []
    assert shop.ledger.prices.history("f0") == ()
    assert shop.histories() == before
    assert shop.reader.closes(STARTS) == closes
    assert closes["f0"] == shop.reader.close("f0") == shop.reader.close("f0", OLD)
    assert shop.reader.quotes_at("f2", OLD - timedelta(days=2))[1].commission == 0.05
    assert shop.archive.find("f0").starts[-1].read_at == OLD - timedelta(minutes=1)  # the close stood until then


def test_what_is_archived_is_not_recorded_again_and_what_is_new_is(shop: Shop) -> None:
    before = shop.histories()
    shop.run()
    shop.record(9.0, OLD - timedelta(days=2), "f0")  # an old reading
    assert shop.histories() == before
    shop.record(2.6, OLD + timedelta(days=5), "f0")  # it is listed again, at one of the bookmakers
    shop.run(NONE_DUE)
    assert [change.price for change in shop.histories()["f0"][-2:]] == [2.4, 2.6]
    shop.run()
    assert [change.price for change in shop.histories()["f0"][-2:]] == [2.4, 2.6]
    assert shop.reader.quotes_at("f0", OLD + timedelta(days=6))[0].prices["Ana"] == 2.6


def test_a_fight_that_never_had_a_price_leaves_nothing(shop: Shop) -> None:
    bare = Fight(id="bare", fighters=(Fighter(name="Ana"), Fighter(name="Bea")))
    shop.ledger.prices.record([bare], OLD)
    assert shop.run().dropped == 4
    assert shop.ledger.prices.fights() == []
    assert shop.reader.history("bare") == ()


def test_young_fights_stay_on_the_server(shop: Shop) -> None:
    now = datetime.now(UTC)
    shop.record(3.0, now, "f0")
    report = shop.run(ArchivePrices(keep_days=7))
    assert (report.dropped, shop.ledger.prices.fights()) == (2, ["f0"])


def test_changes_while_archiving_are_kept(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    write = PriceArchive.write_month

    def interrupted(archive: PriceArchive, *given: Any) -> int:
        written = write(archive, *given)
        if given[0] == "2026-07":
            shop.record(2.8, OLD - timedelta(seconds=10), "f0")
        return written

    monkeypatch.setattr(PriceArchive, "write_month", interrupted)
    assert shop.run().dropped == 2
    monkeypatch.undo()
    assert shop.histories()["f0"][-1].price == 2.8
    assert shop.run().dropped == 1
    assert shop.histories()["f0"][-1].price == 2.8
    assert len(shop.histories()["f0"]) == 9


def test_two_that_archive_at_once_lose_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shop.histories()
    shop.run(NONE_DUE)
    shop.record(2.8, OLD - timedelta(seconds=10), "f0")
    read = PriceArchive.read_month

    def interrupted(archive: PriceArchive, month: str) -> Any:
        found = read(archive, month)
        monkeypatch.setattr(PriceArchive, "read_month", read)
        shop.record(3.0, OLD - timedelta(seconds=5), "f1")
        shop.run()  # the other reads, writes, removes and drops before the first one goes on
        return found

    monkeypatch.setattr(PriceArchive, "read_month", interrupted)
    shop.run()
    found = shop.histories()
    assert found["f0"][:-1] == before["f0"]
    assert found["f1"][:-1] == before["f1"]
    assert (found["f0"][-1].price, found["f1"][-1].price) == (2.8, 3.0)
    assert shop.ledger.prices.fights() == []


def test_a_collection_of_garbage_leaves_the_archive_alone(shop: Shop) -> None:
    before = shop.histories()
    shop.run()
    store = Store(shop.settings.models_folder, shop.settings.store, ledger=shop.ledger.references.ledger_id())
    claim = SimpleNamespace(job_id="collection")
    context: Any = SimpleNamespace(store=store, ledger=shop.ledger, claim=claim, progress=lambda *_: None)
    collect_garbage(CollectGarbage(keep_days=0, keep_training_days=0, adopt=True), context)
    assert shop.histories() == before


def test_without_an_archive_the_reason_is_stated(shop: Shop) -> None:
    shop.run()
    with pytest.raises(JobRefusedError, match=r"'f0' are archived.*CORNERMAN_STORE"):
        PriceReader(shop.ledger.prices).history("f0")
    with pytest.raises(JobRefusedError, match="archived"):
        PriceReader(shop.ledger.prices).closes(STARTS)
    assert PriceReader(shop.ledger.prices).history("never seen") == ()


def test_another_ledger_reads_the_archive(shop: Shop, open_shop: Callable[..., Shop]) -> None:
    before, closes = shop.histories(), shop.reader.closes(STARTS)
    shop.run()
    other = open_shop(shop.settings.store)
    assert other.histories() == before
    assert other.reader.closes(STARTS) == closes


def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    place = (str(shop.ledger.settings.redis_url), shop.ledger.settings.namespace, str(shop.settings.data))
    program = [sys.executable, "-c", KILLED, *place]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        ended, event = "", 0
        while not ended.endswith(" 0\n"):
            event += 1
            # New prices for each, so that there is something to write, to remove and to drop.
            shop.record(2.0 + event / 8, OLD - timedelta(days=30) + timedelta(days=event), x=3.0)
            before = shop.histories()
            print(event, file=child.stdin, flush=True)
            ended = next(line for line in child.stdout if line.startswith("ended"))
            assert shop.histories() == before, f"killed at {event}"
        child.stdin.close()
    assert event > 10
    shop.run()
    assert shop.histories() == before
    assert shop.files() == ["2026-07", "2026-08"]  # one of each month
    assert shop.ledger.prices.fights() == []
    assert all(len(history) == event + 3 for history in before.values())
