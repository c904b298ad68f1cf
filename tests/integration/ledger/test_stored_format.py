"""In which format payloads and reports are stored, and that a ledger of an earlier version stays readable for it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ledger.async_ledger import AsyncLedger
from ledger.compression.sample_cards import SampleCards
from ledger.compression.stored_values import is_compressed
from ledger.contracts import codec
from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.jobs import CheckHealth, PredictCard
from ledger.contracts.reports import CardReport
from ledger.jobs.claims import Settlement, SettleResult
from ledger.ledger import Claim, Ledger, LedgerSettings
from ledger.webhooks.events import event_of_job, message_of
from producer.cli.main import main
from tests.support.answered_cards import NIGHT
from tests.support.claims import OWNER, REPORT

SOURCE = SampleCards(seed=5)
PLAIN_LEDGER = Path(__file__).parents[2] / "golden/stored/plain_ledger.json"
BY = {"user": "ann", "reason": "all processes are updated"}


def card(number: int) -> PredictCard:
    return SOURCE.card(3, 4, name=f"card {number}", start=NIGHT)


def claim_card(ledger: Ledger) -> Claim:
    (claim,) = ledger.claim("predict", OWNER)
    return claim


def answer(ledger: Ledger, claim: Claim) -> CardReport:
    asked = codec.decode_job(claim.payload)
    assert isinstance(asked, PredictCard)
    report = SOURCE.report(asked)
    assert ledger.settle(claim, report)
    return report


def stored(ledger: Ledger, job_id: str, field: str) -> bytes:
    value: bytes = ledger.server.execute("HGET", ledger.server.key("job", job_id), field)
    return value


@pytest.fixture
def earlier(ledger: Ledger) -> Ledger:
    """A ledger in which an earlier version has accepted a job."""
    ledger.server.execute("SET", ledger.server.key("sequence"), 1)
    return ledger


@pytest.fixture
def other(ledger: Ledger, ledger_settings: LedgerSettings) -> Iterator[Ledger]:
    """Another process of the ledger."""
    with closing(Ledger.connect(ledger_settings)) as found:
        yield found


def test_a_new_ledger_compresses_what_is_long(ledger: Ledger, other: Ledger) -> None:
    asked = card(1)
    job_id = ledger.submit(asked).job_id
    assert is_compressed(stored(ledger, job_id, "payload"))
    claim = claim_card(other)
    assert claim.payload == codec.encode_canonical(asked)
    report = answer(other, claim)
    assert is_compressed(stored(ledger, job_id, "report"))
    found = ledger.outcome(job_id)
    assert found is not None
    assert found.report == report
    record = ledger.job_records.get(job_id)
    assert (record.payload, record.report) == (claim.payload, codec.encode(report))
    assert ledger.job_records.job(job_id) == asked
    small = ledger.submit(CheckHealth()).job_id
    assert stored(ledger, small, "payload").startswith(b"{")
    assert ledger.stored_format.state().on


def test_every_way_of_reading_gives_the_json_of_the_report(ledger: Ledger, until: Any) -> None:
    job_id = ledger.submit(card(2)).job_id
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.append(ledger.wait(job_id, 20.0)))
    waiter.start()
    channel = f"{ledger.server.settings.namespace}:news:{ledger.server.database}:{job_id}"
    until(lambda: ledger.server.execute("PUBSUB", "NUMSUB", channel)[0][1])
    claim = claim_card(ledger)
    report = answer(ledger, claim)
    waiter.join()
    written = codec.encode(report)
    assert found[0].report == report
    assert [outcome.report for _, outcome in ledger.follow("0", idle_seconds=0.05)] == [report]
    message = message_of(ledger.server, "webhook", event_of_job(job_id))
    assert message is not None
    assert written in message.body
    digest = report.model
    assert ledger.references.referenced({digest, "f" * 64}) == {digest}
    moments = ledger.status(job_id).submitted_at, NIGHT
    (submitted,) = ledger.job_audit.submissions(*moments)  # type: ignore[arg-type]
    (settled,) = ledger.job_audit.outcomes(*moments)  # type: ignore[arg-type]
    assert bytes(submitted.payload) == claim.payload
    assert bytes(settled.outcome.report) == written  # type: ignore[union-attr, arg-type]


def test_an_outcome_that_is_passed_on_is_the_json_of_the_report(
    ledger: Ledger, ledger_settings: LedgerSettings
) -> None:
    asked = card(3)

    async def submit() -> str:
        async with AsyncLedger(ledger_settings) as asynchronous:
            return (await asynchronous.submit(asked)).job_id

    async def read(job_id: str) -> bytes:
        async with AsyncLedger(ledger_settings) as asynchronous:
            document = await asynchronous.outcome_document(job_id)
        assert document is not None
        return bytes(document.report or b"")

    job_id = asyncio.run(submit())
    assert is_compressed(stored(ledger, job_id, "payload"))
    report = answer(ledger, claim_card(ledger))
    assert asyncio.run(read(job_id)) == codec.encode(report)


def test_a_ledger_of_an_earlier_version_stays_as_it_reads_it(earlier: Ledger, other: Ledger) -> None:
    job_id = earlier.submit(card(4)).job_id
    answer(other, claim_card(other))
    for field in ("payload", "report"):
        assert stored(earlier, job_id, field).startswith(b"{")
    assert not earlier.stored_format.state().on


def test_a_new_ledger_whose_pools_are_of_an_earlier_version_does_not_compress(ledger: Ledger) -> None:
    ledger.pools.announce("old#1", {"version": "0.9"}, 60.0)
    job_id = ledger.submit(card(5)).job_id
    assert stored(ledger, job_id, "payload").startswith(b"{")


def test_an_operator_switches_and_running_processes_follow(earlier: Ledger, other: Ledger) -> None:
    plain = earlier.submit(card(6)).job_id
    running = claim_card(other)
    assert other.stored_format.set_compression(on=True, **BY)
    answer(other, running)
    assert is_compressed(stored(earlier, plain, "report"))
    earlier.submit(CheckHealth(nonce="the reply says so"))
    later = earlier.submit(card(7)).job_id
    assert is_compressed(stored(earlier, later, "payload"))
    claims = other.claim("predict", OWNER + "2", 2)
    assert earlier.stored_format.set_compression(on=False, user="ann", reason="back to the earlier version")
    assert not earlier.stored_format.set_compression(on=False, user="ann", reason="again")
    for claim in claims:  # this process believes that it may compress
        result = SOURCE.report(codec.decode_job(claim.payload)) if claim.kind == "predict_card" else REPORT  # type: ignore[arg-type]
        assert other.settle(claim, result)
    assert stored(earlier, later, "report").startswith(b"{")
    assert stored(earlier, other.submit(card(8)).job_id, "payload").startswith(b"{")
    changes = earlier.controls.changes(name="compression")
    assert [(change.before, change.after, change.who) for change in changes] == [
        ("on", "off", "ann"),
        ("off", "on", "ann"),
    ]


def test_the_switch_is_refused_while_a_pool_could_not_read(earlier: Ledger) -> None:
    earlier.pools.announce("old#1", {"version": "0.9"}, 60.0)
    earlier.pools.announce("new#1", {"stored_format": 2}, 60.0)
    with pytest.raises(JobRefusedError, match="update them first: old#1"):
        earlier.stored_format.set_compression(on=True, **BY)
    assert earlier.stored_format.state().pools_without == ["old#1"]
    assert stored(earlier, earlier.submit(card(9)).job_id, "payload").startswith(b"{")


def test_a_repeated_settle_is_the_same_outcome(ledger: Ledger) -> None:
    ledger.submit(card(10))
    claim = claim_card(ledger)
    settlement = Settlement.from_result(claim, SOURCE.report(codec.decode_job(claim.payload)))  # type: ignore[arg-type]
    assert ledger.settle_batch([settlement]) == ledger.settle_batch([settlement]) == [SettleResult.ACCEPTED]


def test_a_damaged_payload_is_invalid_input(ledger: Ledger) -> None:
    job_id = ledger.submit(card(11)).job_id
    key = ledger.server.key("job", job_id)
    whole = stored(ledger, job_id, "payload")
    ledger.server.execute("HSET", key, "payload", whole[:-9] + b"damaged!!")
    claim = claim_card(ledger)
    with pytest.raises(JobRefusedError) as refused:
        codec.decode_job(claim.payload)
    assert refused.value.failure.code is FailureCode.INVALID_INPUT


def test_what_is_kept_is_rewritten_by_command(earlier: Ledger, command_environment: None) -> None:
    job_id = earlier.submit(card(12)).job_id
    report = answer(earlier, claim_card(earlier))
    waiting = earlier.submit(card(13)).job_id
    before = earlier.server.execute("PTTL", earlier.server.key("job", job_id))

    def run(*arguments: str) -> dict[str, Any]:
        ran = CliRunner().invoke(main, ["compression", *arguments, "--json"], catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    assert run()["on"] is False
    switched = run("on", "--rewrite", "--reason", "all processes are updated")
    assert (switched["on"], switched["changed"], switched["rewritten"]["replaced"]) == (True, True, 3)
    assert switched["rewritten"]["bytes_after"] < 0.25 * switched["rewritten"]["bytes_before"]
    assert is_compressed(stored(earlier, job_id, "report"))
    assert is_compressed(stored(earlier, waiting, "payload"))
    assert 0 < earlier.server.execute("PTTL", earlier.server.key("job", job_id)) <= before
    assert run("off", "--rewrite", "--reason", "back")["rewritten"]["replaced"] == 3
    assert stored(earlier, job_id, "report") == codec.encode(report)
    assert earlier.job_records.get(waiting).payload == stored(earlier, waiting, "payload")


def restore(ledger: Ledger) -> None:
    """Write the keys of a ledger that version 0.1 wrote before there was compression."""
    write = ledger.server.client
    for entry in json.loads(PLAIN_LEDGER.read_text()):
        key, value = ledger.server.key(entry["key"].removeprefix("shop:")), entry["value"]
        if entry["type"] == "string":
            write.set(key, value)
        elif entry["type"] == "hash":
            write.hset(key, mapping=value)
        elif entry["type"] == "zset":
            write.zadd(key, {member: float(score) for member, score in value})
        elif entry["type"] == "list":
            write.rpush(key, *value)
        else:
            for place, fields in value:
                write.xadd(key, fields, id=place)


def test_a_ledger_of_the_version_before_goes_on_and_is_readable_for_it(ledger: Ledger, other: Ledger) -> None:
    restore(ledger)
    before = {job_id: stored(ledger, job_id, "payload") for job_id in ("settled", "running", "queued")}
    settled = ledger.outcome("settled")
    assert settled is not None
    assert codec.encode(settled.report) == stored(ledger, "settled", "report")  # type: ignore[arg-type]
    (running,) = ledger.running_jobs()
    reports = {}
    for job in (running, claim_card(other)):
        report = SOURCE.report(ledger.job_records.job(job.job_id))  # type: ignore[arg-type]
        assert other.settle(job, report)
        reports[job.job_id] = codec.encode(report)
    assert reports == {job_id: stored(ledger, job_id, "report") for job_id in ("running", "queued")}
    again = ledger.submit(ledger.job_records.job("queued"), key="again").job_id
    assert stored(ledger, again, "payload") == before["queued"]
    assert ledger.stored_format.set_compression(on=True, **BY)
    *_, count = ledger.stored_format.rewrite()
    assert count.replaced >= 7
    assert all(is_compressed(stored(ledger, job_id, "payload")) for job_id in before)
    assert ledger.outcome("settled") == settled
    assert {job_id: ledger.job_records.get(job_id).report for job_id in reports} == reports
    assert {job_id: ledger.job_records.get(job_id).payload for job_id in before} == before
