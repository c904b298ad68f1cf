"""Outcomes that have moved to the archive are read as before, by every reader."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from ledger.archive import manifest, outcome_archive
from ledger.archive.job_archive import ArchiveQuery
from ledger.archive.manifest import KEY_BYTES, encode_manifest
from ledger.archive.outcome_archive import OutcomeArchive
from ledger.async_ledger import AsyncLedger
from ledger.contracts.bets import PlacedBet
from ledger.contracts.failures import ArchiveUnavailableError, JobArchivedError, JobRefusedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, PredictCard
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from producer.client import existing_status
from producer.replays import replay_job
from tests.support.answered_cards import NIGHT, answer_card, card_of
from tests.support.archives import ArchiveShop

PAST = datetime(2026, 1, 3, 22, tzinfo=UTC)


def past_card(*fight_ids: str) -> PredictCard:
    return msgspec.structs.replace(card_of(*fight_ids, event_start=PAST), deadline=NIGHT)


@pytest.fixture
def shop(valkey: EmbeddedServer, tmp_path: Path) -> Iterator[ArchiveShop]:
    made = ArchiveShop(valkey.url, str(tmp_path / "a folder"))
    yield made
    made.ledger.close()


def everything(ledger: Ledger, job_id: str) -> list[object]:
    return [
        msgspec.json.encode(ledger.outcome(job_id)),
        ledger.wait(job_id, 1),
        ledger.status(job_id),
        ledger.job_records.get(job_id),
        ledger.job_records.job(job_id),
        ledger.job_histories.get(job_id),
    ]


def test_archived_outcomes_are_read_as_before(shop: ArchiveShop) -> None:
    ids = shop.settle("a", "b", "c") + shop.settle("d", failed=True)
    before = {job_id: everything(shop.ledger, job_id) for job_id in ids}
    place = shop.ledger.follow("0", idle_seconds=0.1)
    followed = list(place)
    report = shop.archive()
    assert (report.archived, report.outcomes, report.files, report.complete) == (4, 4, 1, True)
    assert shop.on_server() == set()
    assert {job_id: everything(shop.ledger, job_id) for job_id in ids} == before
    assert list(shop.ledger.follow("0", idle_seconds=0.1)) == followed
    assert shop.ledger.outcomes_page("0", 10).outcomes == tuple(followed)
    assert shop.ledger.status("e").state is JobState.UNKNOWN
    assert shop.archive().archived == 0


def test_what_cannot_be_read_from_here_is_called_archived(shop: ArchiveShop, tmp_path: Path) -> None:
    [job_id] = shop.settle("a")
    shop.archive()
    elsewhere = Ledger.connect(replace(shop.ledger.settings, archive_url=str(tmp_path)))
    status = elsewhere.status(job_id)
    assert status.state is JobState.ARCHIVED
    assert status.archive is not None
    assert status.archive.startswith(f"{shop.place}/")
    assert elsewhere.status("never").archive == status.archive.partition("/month=")[0]
    for read in (
        elsewhere.outcome,
        elsewhere.job_records.get,
        elsewhere.job_histories.get,
        lambda job: elsewhere.wait(job, 1),
    ):
        with pytest.raises(JobArchivedError, match="CORNERMAN_ARCHIVE_URL") as raised:
            read(job_id)
        assert raised.value.location == status.archive
    with pytest.raises(JobArchivedError, match=f"cornerman result {job_id}") as raised:
        replay_job(status, retrain=False, nonce="n")
    assert raised.value.location == status.archive
    with pytest.raises(JobArchivedError, match=r"or unknown: cornerman result never"):
        existing_status(elsewhere.status("never"))
    with pytest.raises(JobArchivedError) as raised:
        list(elsewhere.follow("0", idle_seconds=0.1))
    assert raised.value.place == shop.ledger.latest_place()
    elsewhere.close()


def test_a_process_without_the_packages_is_told_which(shop: ArchiveShop, monkeypatch: pytest.MonkeyPatch) -> None:
    [job_id] = shop.settle("a")
    shop.archive()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(JobArchivedError, match=r"pip install 'cornerman\[engine\]'"):
        shop.ledger.outcome(job_id)


def test_an_archived_job_is_known_until_its_retention_ends(shop: ArchiveShop) -> None:
    ledger, tombstone = shop.ledger, shop.ledger.server.key("forgotten", "a")
    shop.settle("a")
    before = shop.outcomes(["a"])
    shop.archive()
    job = CheckHealth(nonce="a")
    assert not ledger.submit(job, key="a").created
    assert ledger.submit(CheckHealth(nonce="b"), key="b", after="a").created
    with pytest.raises(JobRefusedError, match="other content"):
        ledger.submit(CheckHealth(nonce="other"), key="a")
    ledger.server.execute("PEXPIRE", tombstone, round(ledger.settings.tombstone_seconds * 1000))
    with pytest.raises(JobRefusedError, match="its retention too"):
        ledger.submit(CheckHealth(nonce="c"), key="c", after="a")
    assert shop.outcomes(["a"]) == before
    ledger.server.execute("DEL", tombstone)
    assert shop.outcomes(["a"]) == before
    assert ledger.status("a").state is JobState.SUCCEEDED
    assert ledger.submit(job, key="a").created
    assert ledger.status("a").state is JobState.QUEUED


def test_what_may_still_change_stays_until_its_retention_is_nearly_over(shop: ArchiveShop) -> None:
    ledger, key = shop.ledger, shop.ledger.server.key
    shop.settle("before", "dead")
    ledger.server.execute("HSET", key("job", "before"), "followed", "1")
    ledger.server.execute("ZADD", key("after", "before"), 1, "next")
    ledger.server.execute("ZADD", key("dead"), 1, "dead")
    answer_card(ledger, card_of("f1", card_id="to come"), {"f1": 0.01}, key="to come")
    answer_card(ledger, past_card("f1"), {"f1": 0.01}, key="bet on")
    ledger.bets.place(
        PlacedBet(
            job_id="bet on",
            card_id="card",
            fight_id="f1",
            event_start=PAST,
            fighters=("Ana f1", "Bea f1"),
            fighter="Ana f1",
            bookmaker="Exchange",
            price=2.4,
            stake=100,
            who="ann",
        ),
        taken=True,
    )
    kept = shop.outcomes(["before", "dead", "to come", "bet on"])
    assert shop.archive().archived == 0
    for job_id in ("before", "dead", "to come"):
        ledger.server.execute("PEXPIRE", key("job", job_id), 1_000_000)
    assert shop.archive().archived == 3
    assert shop.on_server() == {"bet on"}
    assert ledger.server.execute("EXISTS", key("dead")) == 0
    assert shop.outcomes(["before", "dead", "to come", "bet on"]) == kept
    assert [answer.job_id for answer in ledger.card_answers.of_card("to come")] == ["to come"]


def test_an_event_loop_reads_archived_outcomes(shop: ArchiveShop) -> None:
    [job_id] = shop.settle("a")
    before = shop.outcomes([job_id])
    shop.archive()

    async def read() -> None:
        async with AsyncLedger(shop.ledger.settings) as ledger:
            assert [await ledger.outcome(job_id)] == before
            assert await ledger.wait(job_id, 1) == before[0]
            document = await ledger.wait_document(job_id, 1)
            assert msgspec.json.encode(document) == msgspec.json.encode(before[0])
            assert (await ledger.status(job_id)).state is JobState.SUCCEEDED

    asyncio.run(read())


def test_the_queries_of_the_documents_count_archived_outcomes(shop: ArchiveShop) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    shop.settle("a", "b", "c")
    answer_card(shop.ledger, past_card("f1", "f2"), {"f1": 0.01}, key="card")
    shop.archive()
    shop.settle("d", failed=True)
    shop.archive()
    text = (Path(__file__).parents[3] / "docs/concepts/archive.md").read_text()
    counts, bets = text.split("```sql\n")[1:]
    connection = duckdb.connect()
    folder = f"{shop.place}/{shop.manifest().ledger}"
    rows = connection.execute(counts.partition("```")[0].replace("/data/outcomes/LEDGER", folder)).fetchall()
    assert [row[:3] for row in rows] == [
        ("check_health", "failed", 1),
        ("check_health", "succeeded", 3),
        ("predict_card", "succeeded", 1),
    ]
    found = connection.execute(bets.partition("```")[0].replace("FIGHT", "f1")).fetchall()
    assert [(job, fighter, price) for job, _, fighter, price in found] == [("card", "Ana f1", 2.4)]


def test_an_audit_has_archived_jobs_in_their_order(shop: ArchiveShop) -> None:
    shop.settle("a", "b", "c")
    shop.ledger.submit(CheckHealth(nonce="open"), key="open")
    bounds = PAST, NIGHT
    before = list(shop.ledger.job_audit.submissions(*bounds)), list(shop.ledger.job_audit.outcomes(*bounds))
    shop.archive()
    assert shop.on_server() == {"open"}
    assert (list(shop.ledger.job_audit.submissions(*bounds)), list(shop.ledger.job_audit.outcomes(*bounds))) == before


def test_operators_find_list_and_verify_the_archive(shop: ArchiveShop) -> None:
    archive = shop.ledger.job_archive
    assert archive.state() is None
    answer_card(shop.ledger, past_card("f1"), {}, key="card")
    shop.settle("a", "b")
    shop.archive()
    state = archive.state()
    assert state is not None
    assert (state.outcomes, state.files, state.caught_up_at is not None) == (3, 1, True)
    found = archive.find("card")
    assert found is not None
    assert (found.card_id, found.state, found.file) == ("card", "succeeded", shop.manifest().files[0].name)
    assert archive.find("never") is None
    assert [job.job_id for job in archive.newest(limit=2)] == ["b", "a"]
    assert [job.job_id for job in archive.newest(ArchiveQuery(fight_id="f1"))] == ["card"]
    assert [job.job_id for job in archive.newest(ArchiveQuery(caller="shop", kinds=("check_health",)))] == ["b", "a"]
    assert archive.newest(ArchiveQuery(until=PAST)) == []
    assert [fault for _, fault in archive.verify()] == [None]
    [path] = Path(shop.place).rglob("*.parquet")
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    [(_, fault)] = archive.verify()
    assert fault is not None
    assert "other bytes" in fault.fault


def test_a_changed_byte_of_a_report_is_never_read_as_another_report(shop: ArchiveShop) -> None:
    [job_id] = shop.settle("a")
    before = shop.ledger.outcome(job_id)
    shop.archive()
    [path] = Path(shop.place).rglob("*.parquet")
    written = path.read_bytes()
    first, end = _bytes_of_column(path, "report")
    found = []
    for place in range(first, end):
        path.write_bytes(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
        reader = Ledger.connect(shop.ledger.settings)
        try:
            found.append(reader.outcome(job_id) == before)
        except JobArchivedError:
            found.append(True)
        finally:
            reader.close()
    assert found
    assert all(found)


def test_a_changed_key_is_an_error_that_names_its_file_and_no_unknown_job(
    shop: ArchiveShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (manifest, outcome_archive):
        monkeypatch.setattr(module, "KEYS_IN_A_BLOCK", 8)
    monkeypatch.setattr(outcome_archive, "_KEYS_AROUND", 4)
    ids = shop.settle(*(f"job {number}" for number in range(40)))
    shop.archive()
    [path] = Path(shop.place).rglob("*.keys")
    written = path.read_bytes()
    archive = OutcomeArchive.at(shop.place, shop.manifest().ledger)
    wanted = dict.fromkeys(ids, "")
    assert len(archive.find(shop.manifest(), wanted)) == 40
    for at in range(0, len(written), 5):
        path.write_bytes(written[:at] + bytes([written[at] ^ 1]) + written[at + 1 :])
        for job_id in ids[::3]:
            with suppress(ArchiveUnavailableError):
                assert archive.find(shop.manifest(), {job_id: ""})  # its blocks are others
        with pytest.raises(ArchiveUnavailableError, match=path.name):
            archive.find(shop.manifest(), wanted)
    for content in (written[:-1], written[:-KEY_BYTES], b""):
        path.write_bytes(content)
        with pytest.raises(ArchiveUnavailableError, match=path.name):
            archive.find(shop.manifest(), wanted)
    with pytest.raises(JobArchivedError, match=path.name):
        shop.ledger.outcome(ids[0])


def test_files_of_earlier_versions_have_no_checksums_of_their_keys_and_are_read(shop: ArchiveShop) -> None:
    shop.settle("a")
    shop.archive()
    files = tuple(msgspec.structs.replace(file, key_checksums="") for file in shop.manifest().files)
    earlier = msgspec.structs.replace(shop.manifest(), files=files)
    assert b"key_checksums" not in encode_manifest(earlier)
    assert "a" in OutcomeArchive.at(shop.place, earlier.ledger).find(earlier, {"a": ""})


def _bytes_of_column(path: Path, name: str) -> tuple[int, int]:
    group = pq.read_metadata(path).row_group(0)
    [column] = [group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == name]
    return column.data_page_offset, column.data_page_offset + column.total_compressed_size
