from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from ledger.contracts.controls import COMPONENTS
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard, Quote
from ledger.ledger import Ledger, LedgerSettings
from producer.client import Client
from tests.support.endpoints import HASTY, get
from workers.logs.schema import AlertLine, JobLine, LogLine

WAIT_SECONDS = 30
SECRET = "T0PS3CRET"  # noqa: S105 - that it stays one is what is tested

Until = Callable[..., None]


def lines(text: str) -> list[dict[str, Any]]:
    """Every line, but for the goodbye that Celery says on the standard output, past all logging."""
    goodbye = "worker: Warm shutdown (MainProcess)"
    return [json.loads(line) for line in text.splitlines() if line not in ("", goodbye)]


def timeless(text: str) -> list[str]:
    """Celery's lines are stamped where they are written, and processes write side by side."""
    return sorted(repr(sorted((line | {"timestamp": None}).items())) for line in lines(text))


def test_every_line_of_a_pool_keeps_to_the_schema(
    ledger: Ledger, start_pool: Callable[..., Any], until: Until, tmp_path: Path
) -> None:
    file = tmp_path / "pool.jsonl"
    pool = start_pool(concurrency=2, CORNERMAN_LOG_FILE=str(file), **HASTY)
    client = Client(ledger)
    receipt = client.enqueue(CheckHealth(nonce="answer"), correlation_id="ticket 7")
    assert client.wait(receipt.job_id, WAIT_SECONDS).correlation_id == "ticket 7"
    for nonce in ("kill_itself", "nan", "raise_memory_error"):
        ledger.wait(ledger.submit(CheckHealth(nonce=nonce), correlation_id="ticket 8").job_id, WAIT_SECONDS)
    until(lambda: "DeadLetters" in file.read_text())
    assert pool.stop() == 0
    stream = pool.log.read_text()
    assert timeless(stream) == timeless(file.read_text())
    for line in file.read_bytes().splitlines():
        event = msgspec.json.decode(line, type=LogLine).event
        kind = JobLine if event == "job" else AlertLine if event.startswith("alert ") else LogLine
        msgspec.json.decode(line, type=kind)
    jobs = [line for line in lines(stream) if line["event"] == "job"]
    (answered,) = (line for line in jobs if line["outcome"] == "succeeded")
    assert (answered["job_id"], answered["correlation_id"]) == (receipt.job_id, "ticket 7")
    assert {line["correlation_id"] for line in jobs if line is not answered} == {"ticket 8"}
    assert {line["outcome"] for line in jobs} == {
        "succeeded", "requeued", "worker_lost", "internal", "memory_limit_exceeded",
    }  # fmt: skip
    assert {"cornerman", "cornerman.guard", "cornerman.alerts"} <= {line["logger"] for line in lines(stream)}
    (raised,) = (line for line in lines(stream) if line["event"] == "internal error")
    assert (raised["correlation_id"], raised["error"]) == ("ticket 8", "ValueError")
    assert "executor.py" in raised["traceback"]


def test_secrets_and_payloads_stay_out_of_logs_and_metrics(
    ledger: Ledger, ledger_settings: LedgerSettings, start_pool: Callable[..., Any], until: Until
) -> None:
    user = f"worker-{ledger_settings.namespace}"
    ledger.server.execute("ACL", "SETUSER", user, "on", f">{SECRET}", "~*", "&*", "+@all")
    url = str(ledger_settings.redis_url).replace("redis://", f"redis://{user}:{SECRET}@")
    levels = {f"log_level.{component}": "DEBUG" for component in COMPONENTS}
    ledger.controls.set(levels, user="test", reason="so that all is said that can be")
    pool = start_pool(concurrency=1, CORNERMAN_REDIS_URL=url, CORNERMAN_LOG_LEVEL="DEBUG", **HASTY)
    ledger.server.execute("LPUSH", f"{ledger_settings.namespace}:doorbell:predict", SECRET)
    start = datetime.fromtimestamp(ledger.server.time(), UTC)
    quote = Quote(bookmaker=SECRET, prices={SECRET: 2.5, "Bea": 1.5}, as_of=start)
    fight = Fight(id="1", fighters=(Fighter(name=SECRET), Fighter(name="Bea")), quotes=(quote,))
    jobs = [
        CheckHealth(nonce=f"quote:{SECRET}"),
        CheckHealth(nonce=f"kill_itself:{SECRET}"),
        PredictCard(
            card_id=SECRET, event_start=start + timedelta(days=1), fights=(fight,)
        ),  # no handler here: internal
    ]
    outcomes = [ledger.wait(receipt.job_id, WAIT_SECONDS) for receipt in ledger.submit_many(jobs)]
    assert {outcome.state for outcome in outcomes} == {JobState.FAILED}
    until(lambda: '"outcome": "worker_lost"' in pool.log.read_text())
    address = ledger.pools.alive()[0]["http"]
    assert SECRET in repr([ledger.job_records.job(outcome.job_id) for outcome in outcomes])
    told = "".join([pool.log.read_text(), *(get(address, path)[1] for path in ("/metrics", "/healthz", "/readyz"))])
    assert pool.stop() == 0
    ledger.server.execute("ACL", "DELUSER", user)
    assert '"level": "debug"' in told
    assert SECRET not in told


def test_the_level_of_one_part_is_changed_live(ledger: Ledger, start_pool: Callable[..., Any], until: Until) -> None:
    pool = start_pool(concurrency=1, **HASTY)

    def answer_and_read(nonce: str) -> list[str]:
        ledger.wait(ledger.submit(CheckHealth(nonce=nonce)).job_id, WAIT_SECONDS)
        return [line["event"] for line in lines(pool.log.read_text())]

    def set_level(level: str | None) -> None:
        ledger.controls.set({"log_level.worker": level}, user="test", reason="to see")

    until(lambda: "job" in answer_and_read(f"answer:{uuid4().hex}"))
    set_level("ERROR")
    answer_and_read("answer:silenced")  # claimed under the new level, as every job from now on
    silent = answer_and_read("answer:at last").count("job")
    set_level(None)
    for child in pool.children():
        child.kill()  # which the guard tells of: its own level is as before
    until(lambda: answer_and_read(f"answer:{uuid4().hex}").count("job") > silent)
    ids = [line["job_id"] for line in lines(pool.log.read_text()) if line["event"] == "job"]
    assert len(ids) < len([*ledger.follow("0", idle_seconds=0.1)])


def test_the_log_of_a_job_is_kept_with_it(ledger: Ledger, start_pool: Callable[..., Any], until: Until) -> None:
    start_pool(concurrency=1)
    failed = ledger.submit(CheckHealth(nonce="quote")).job_id
    lost = ledger.submit(CheckHealth(nonce="kill_itself")).job_id
    answered = ledger.submit(CheckHealth(nonce="answer")).job_id
    for job_id in (failed, lost, answered):
        ledger.wait(job_id, WAIT_SECONDS)
    until(lambda: ledger.job_histories.get(failed).log and ledger.job_histories.get(lost).log[2:])
    (error,) = ledger.job_histories.get(failed).log
    assert (error.level, error.event, error.logger) == ("error", "internal error", "cornerman")
    assert error.fields["kind"] == "check_health"
    assert "probe_worker.py" in error.fields["traceback"]
    assert "as a library may: 'quote'" not in str(error), "messages of errors may quote a payload"
    history = ledger.job_histories.get(lost)
    assert [line.fields["outcome"] for line in history.log] == ["requeued", "requeued", "worker_lost"]
    ends = [event for event in history.events if event.event == "worker_lost"]
    assert [event.attempt for event in ends] == [1, 2, 3]
    assert all("something outside of the pool killed it" in (event.reason or "") for event in ends)
    assert ledger.job_histories.get(answered).log == []
