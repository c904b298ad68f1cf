"""Dumps and past prices: each once, in the order of their moments, also if the leader changes on the way."""

from __future__ import annotations

import gzip
import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.ledger import Ledger
from ledger.settings import LedgerSettings
from producer.feed.envelopes import MAX_FEED_BYTES
from producer.feed_runner.feed_writer import FeedWriter
from producer.feed_runner.past_loop import PastLoop
from producer.feed_runner.reading import Retrieval
from producer.feed_runner.settings import FeedSettings
from producer.feed_runner.sources.dumps import DumpError, dump_files, keep, load, read_files, read_stream
from producer.feed_runner.sources.http_client import ProviderClient
from producer.feed_runner.sources.odds_api import OddsApiSource
from tests.support.feed_runners import StartRunner, feed_writer, runner_starter
from tests.support.real_fights import DATA
from tests.support.scripted_provider import KEY, Answer, event, scripted_provider

NAME = "past"
BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
START = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)


def snapshot(minutes: int, price: float, **more: Any) -> dict[str, Any]:
    moment = BEGIN + timedelta(minutes=minutes)
    return {"timestamp": moment.isoformat(), "data": [event("e1", START, price=price)], **more}


def write(folder: Path, name: str, *documents: Any) -> Path:
    path = folder / name
    content = "\n".join(json.dumps(document) for document in documents).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.fixture
def writer(ledger_settings: LedgerSettings) -> Iterator[FeedWriter]:
    with feed_writer(ledger_settings, NAME, FeedSettings(feed_lease_seconds=60.0)) as found:
        yield found


@pytest.fixture
def start(ledger_settings: LedgerSettings, tmp_path: Path) -> Iterator[StartRunner]:
    with runner_starter(ledger_settings, tmp_path) as starter:
        yield starter


def prices(ledger: Ledger) -> list[tuple[int, float | None]]:
    """Return minute and price of each change of one bookmaker's price of one fighter."""
    return [
        (round((change.read_at - BEGIN).total_seconds() / 60), change.price)
        for change in ledger.prices.history("e1")
        if (change.bookmaker, change.fighter) == ("bluecorner", "Ann Archer")
    ]


def read(loop: PastLoop, *paths: Path) -> bool:
    return loop.read_dumps(partial(load, *dump) for dump in read_files(dump_files(paths), loop.tell))


def test_files_are_read_in_the_order_of_their_moments_each_once(
    writer: FeedWriter, ledger: Ledger, tmp_path: Path
) -> None:
    write(tmp_path, "z.json", snapshot(0, 1.9))
    write(tmp_path, "a.jsonl.gz", snapshot(20, 1.7), snapshot(10, 1.8))
    loop = PastLoop(writer)
    for _ in range(2):
        assert read(loop, tmp_path)
    assert prices(ledger) == [(0, 1.9), (10, 1.8), (20, 1.7)]
    assert [record.read_at for record in ledger.feeds.retrievals(NAME)] == [
        BEGIN + timedelta(minutes=minutes) for minutes in (20, 10, 0)
    ]
    write(tmp_path, "b.json", snapshot(30, 1.6))
    assert read(loop, tmp_path)
    writer.finish()
    assert prices(ledger)[-1] == (30, 1.6)
    status = ledger.feeds.status(NAME)
    assert (status.totals["retrievals"], status.state.done, loop.faults) == (4, True, 0)


def test_what_cannot_be_read_is_told_by_name_and_the_rest_goes_in(
    writer: FeedWriter, ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "good.json", snapshot(10, 1.9))
    write(tmp_path, "undated.json", [event("e1", START)])
    (tmp_path / "lines.jsonl").write_text("half\n" + json.dumps(snapshot(11, 1.85)) + "\n")
    (tmp_path / "half.json").write_bytes(b'[{"id": "e1"')
    (tmp_path / "damaged.json.gz").write_bytes(gzip.compress(b"[]")[:-3])
    (tmp_path / "notes.txt").write_text("not a dump")
    loop = PastLoop(writer)
    assert read(loop, tmp_path)
    assert (prices(ledger), loop.faults) == ([(10, 1.9), (11, 1.85)], 4)
    write(tmp_path, "late.json", snapshot(5, 1.5))
    assert read(loop, tmp_path / "late.json")
    assert (prices(ledger), loop.faults) == ([(10, 1.9), (11, 1.85)], 5)
    told = [str(getattr(record, "fields", "")) for record in caplog.records]
    for name in ("undated.json", "half.json", "lines.jsonl: document 1", "damaged.json.gz", "late.json"):
        assert sum(name in line for line in told) == 1
    failure = ledger.feeds.status(NAME).state.failure
    assert failure is not None
    assert "in the order of their moments" in failure.message
    with pytest.raises(DumpError, match=r"nowhere\.json does not exist"):
        read(loop, tmp_path / "nowhere.json")


def test_kept_payloads_are_the_same_readings_again(ledger: Ledger, writer: FeedWriter, tmp_path: Path) -> None:
    undated = [json.dumps([event("e1", START, price=price)]).encode() for price in (1.9, 1.9, 1.8)]
    retrievals = [
        Retrieval.of(
            "live",
            content,
            read_at=BEGIN + timedelta(minutes=minutes, microseconds=7),
            provider_at=BEGIN + timedelta(minutes=minutes) if minutes else None,
        )
        for minutes, content in enumerate(undated)
    ]
    names = [keep(tmp_path, retrieval) for retrieval in retrievals]
    found = [load(*dump).retrieval for dump in read_files(dump_files([tmp_path]), pytest.fail)]
    assert [(each.read_at, each.provider_at, each.sha256, each.content) for each in found] == [
        (each.read_at, each.provider_at, each.sha256, each.content) for each in retrievals
    ]
    assert read(PastLoop(writer), tmp_path)
    assert prices(ledger) == [(0, 1.9), (2, 1.8)]
    assert len(ledger.feeds.retrievals(NAME)) == 3
    assert all(name.startswith("2026-11-20/20261120T") for name in names)


class TestAStream:
    def documents(self, content: bytes) -> tuple[list[bytes], list[str]]:
        faults: list[str] = []
        found = read_stream(io.BytesIO(content), lambda: BEGIN.timestamp(), lambda fault: faults.append(str(fault)))
        return [dump.retrieval.content for dump in found], faults

    def test_has_json_lines_or_one_document(self) -> None:
        lines = [json.dumps(snapshot(0, 1.9)).encode(), b"[]"]
        assert self.documents(b"\n\n".join(lines)) == (lines, [])
        document = json.dumps(snapshot(0, 1.9), indent=1).encode()
        assert self.documents(document + b"\n") == ([document], [])
        assert self.documents(b"") == ([], [])

    def test_goes_on_after_a_line_that_is_no_json(self) -> None:
        fault = "standard input, document {}: not JSON, or larger than 8,000,000 bytes"
        assert self.documents(b"[]\nnot json\n{}\n") == ([b"[]", b"{}"], [fault.format(2)])
        assert self.documents(b"not json\n[]\n") == ([b"[]"], [fault.format(1)])
        assert self.documents(b'[{"id":\n[]\n') == ([b"[]"], [fault.format(1)])
        huge = b"[" + b" " * MAX_FEED_BYTES + b"]\n"
        found, faults = self.documents(b"[]\n" + huge + b"{}\n")
        assert (found, len(faults) >= 1) == ([b"[]", b"{}"], True)

    def test_is_dated_by_its_snapshots_or_by_when_it_came(self) -> None:
        lines = b"\n".join(json.dumps(each).encode() for each in (snapshot(7, 1.9), [event("e1", START)]))
        first, second = read_stream(io.BytesIO(lines), lambda: BEGIN.timestamp(), pytest.fail)
        assert first.retrieval.read_at == BEGIN + timedelta(minutes=7)
        assert (second.retrieval.read_at, second.retrieval.provider_at) == (BEGIN, None)

    @given(st.binary(max_size=200))
    def test_of_anything_gives_documents_or_faults(self, content: bytes) -> None:
        self.documents(content)


def test_past_prices_are_read_in_order_and_no_snapshot_is_paid_twice(
    ledger: Ledger, ledger_settings: LedgerSettings, until: Callable[..., None]
) -> None:
    """A leader ends in the middle, and the next one goes on there."""
    with scripted_provider() as provider:
        settings = FeedSettings(feed_url=provider.url, feed_api_key=KEY, feed_lease_seconds=1.0)
        last = BEGIN + timedelta(minutes=20)
        for begin, price in ((0, 1.9), (10, 1.8)):
            following = {"next_timestamp": (BEGIN + timedelta(minutes=begin + 10)).isoformat()}
            counted = {"x-requests-last": "10", "x-requests-remaining": str(990 - begin)}
            provider.script.append(Answer(snapshot(begin, price, **following), headers=counted))
        provider.script.append(Answer(b"", 503, headers={"retry-after": "0"}))
        for place in range(2):
            with feed_writer(ledger_settings, NAME, settings) as writer:
                client = ProviderClient(settings, KEY)
                source = OddsApiSource(settings, client, writer.client.ledger.server.time)
                if place == 0:
                    stop = partial(until, lambda: len(provider.asked) > 2)
                    thread = threading.Thread(target=lambda: (stop(), writer.stopping.set(), client.cancel()))  # noqa: B023
                    thread.start()
                    assert not PastLoop(writer).read_history(source, BEGIN, last, timedelta(minutes=3))
                    thread.join()
                    provider.script.clear()
                    provider.script.append(Answer(snapshot(20, 1.7, next_timestamp=None)))
                else:
                    asked = len(provider.asked)
                    loop = PastLoop(writer)
                    assert loop.read_history(source, BEGIN, last, timedelta(minutes=3))
                    writer.finish()
                    assert [each.parameters["date"] for each in provider.asked[asked:]] == ["2026-11-20T12:20:00Z"]
                client.close()
    assert prices(ledger) == [(0, 1.9), (10, 1.8), (20, 1.7)]
    assert ledger.feeds.status(NAME).state.done


def test_a_feed_of_files_ends_and_says_what_it_could_not_read(
    start: StartRunner, ledger: Ledger, tmp_path: Path
) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    write(folder, "a.json", snapshot(0, 1.9))
    (folder / "b.json").write_text("{")
    runners = [start(str(folder), "--format", "decimal", "--json") for _ in range(2)]  # the standby ends, too
    assert [runner.process.wait(30) for runner in runners] == [7, 7]
    assert prices(ledger) == [(0, 1.9)]
    assert ledger.feeds.status("dumps.dumps").totals["retrievals"] == 1
    assert sum(ledger.queue_stats.depths().values()) == 1  # the card, from the dump's own reading


def test_a_feed_of_files_ends_with_what_it_has_read_and_refused(start: StartRunner, tmp_path: Path) -> None:
    moment = BEGIN.isoformat()
    file = write(tmp_path, "a.json", {"timestamp": moment, "data": [event("e1", START), {"id": "e2"}]})
    runner = start(str(file), "--format", "decimal", "--json")
    assert runner.process.wait(30) == 7
    [summary] = [line for line in runner.lines.splitlines() if '"complete"' in line]
    counts = {"retrievals": 1, "quotes": 2, "changes": 4, "cards": 1, "faults": 1}
    assert json.loads(summary) == {"feed": "dumps.a.json", "complete": True, **counts}
    assert "cornerman feed status dumps.a.json" in runner.lines


@pytest.mark.parametrize(("content", "code"), [(None, 0), ("{", 7)])
def test_a_feed_without_a_readable_dump_ends(
    start: StartRunner, ledger: Ledger, tmp_path: Path, content: str | None, code: int
) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    if content is not None:
        (folder / "a.json").write_text(content)
    assert start(str(folder), "--format", "decimal").process.wait(30) == code
    status = ledger.feeds.status("dumps.dumps")
    assert (status.state.done, status.silent_polls) == (True, 0.0)


def test_each_refused_quote_is_told_once_and_named_in_the_status(
    writer: FeedWriter, ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    impossible: list[Any] = [0.5, -110, None, "1.9", 1e9]
    events = [event(f"bad{place}", START, price=price, books=["b"]) for place, price in enumerate(impossible)]
    for minutes in range(2):
        moment = (BEGIN + timedelta(minutes=minutes)).isoformat()
        write(tmp_path, f"{minutes}.json", {"timestamp": moment, "data": [event("e1", START), *events]})
    assert read(PastLoop(writer), tmp_path)
    told = [str(record.fields) for record in caplog.records if record.getMessage() == "quote refused"]  # type: ignore[attr-defined]
    faults = ledger.feeds.status(NAME).state.faults
    assert len(told) == len(faults) == len(impossible)
    for place, (line, fault) in enumerate(zip(told, faults, strict=True)):
        assert fault.startswith(f"event bad{place}: b: ")
        assert fault in line or repr(fault) in line
    (latest, _) = ledger.feeds.retrievals(NAME, 10)
    assert (latest.quotes, latest.invalid_quotes, latest.faults) == (2, len(impossible), 0)


def test_a_folder_is_searched_for_new_dumps(
    start: StartRunner, ledger: Ledger, tmp_path: Path, until: Callable[..., None]
) -> None:
    folder = tmp_path / "followed"
    folder.mkdir()
    runner = start(
        str(folder), "--format", "decimal", "--follow", "--name", NAME, "--no-cards", CORNERMAN_FEED_SCAN_SECONDS="0.05"
    )
    for minutes in (0, 1):
        write(tmp_path, "new.json", snapshot(minutes, 1.9 + minutes)).rename(folder / f"{minutes}.json")
        until(lambda: len(prices(ledger)) == minutes + 1)  # noqa: B023 - asked at once
    assert runner.stop() == 0
    assert sum(ledger.queue_stats.depths().values()) == 0


def test_standard_input_feeds_as_it_comes(start: StartRunner, ledger: Ledger, until: Callable[..., None]) -> None:
    runner = start("-", "--format", "decimal")
    stream = runner.process.stdin
    assert stream is not None
    for minutes in (0, 1):
        stream.write(json.dumps(snapshot(minutes, 1.9 + minutes)).encode() + b"\n")
        stream.flush()
        until(lambda: len(prices(ledger)) == minutes + 1)  # noqa: B023 - asked at once
    stream.close()
    assert runner.process.wait(30) == 0


@pytest.mark.data
def test_the_real_dump_feeds(ledger_settings: LedgerSettings, ledger: Ledger) -> None:
    path = DATA / "odds_feed_sample.json"
    if not path.exists():
        pytest.skip("the real odds feed is absent")
    with feed_writer(ledger_settings, NAME, FeedSettings(feed_format="american")) as writer:
        loop = PastLoop(writer)
        assert read(loop, path)
        assert loop.faults == 0
    [record] = ledger.feeds.retrievals(NAME)
    assert record.events > 0
    assert record.changes == 2 * record.quotes
