"""The commands about webhooks, and the alerts about them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from ledger.ledger import Ledger, LedgerSettings
from ledger.webhooks.delivery_queue import DeliveryResult
from producer.cli.main import main
from producer.operations.alerts import alert_kinds, current_alerts
from producer.output.exit_codes import ExitCode
from tests.support.claims import OWNER, REPORT, submit
from tests.support.relays import running_relay
from tests.support.webhook_receiver import Reply, WebhookReceiver

URL = "https://example.com/hook"
PATIENCE_SECONDS = 60.0
pytestmark = pytest.mark.usefixtures("command_environment")


def run(*words: str, ends: ExitCode = ExitCode.OK) -> Any:
    done = CliRunner().invoke(main, ["webhooks", *words, "--json"], catch_exceptions=False)
    assert done.exit_code == ends, done.output
    return json.loads(done.stdout)


def shown(*words: str) -> Result:
    done = CliRunner().invoke(main, ["webhooks", *words], catch_exceptions=False)
    assert done.exit_code == ExitCode.OK, done.output
    return done


def alerts(ledger: Ledger) -> dict[str, float]:
    names = {"NoRelay", "WebhookFails", "WebhookBehind", "WebhookDeadLetters", "WebhookDisabled", "WebhookMissed"}
    return {alert.name: alert.value for alert in current_alerts(ledger, alert_kinds()) if alert.name in names}


def settle(ledger: Ledger, name: str = "job") -> None:
    submit(ledger, name)
    (claim,) = ledger.claim("predict", OWNER)
    assert ledger.settle(claim, REPORT)


def test_a_webhook_from_its_creation_to_its_end(ledger: Ledger) -> None:
    assert run("list") == {"webhooks": []}
    created = run("create", URL, "--kind", "predict_card", "--card", "ufc-*", "--user", "ann", "--description", "shop")
    webhook = created["webhook"]
    assert created["secret"].startswith("whsec_")
    assert (webhook["kinds"], webhook["cards"], webhook["created_by"]) == (["predict_card"], ["ufc-*"], "ann")
    assert [each["id"] for each in run("list")["webhooks"]] == [webhook["id"]]
    changed = run("update", webhook["id"], "--any", "card", "--decision", "bet", "--disable")
    assert (changed.get("cards"), changed["decision"], changed["enabled"]) == (None, "bet", False)
    assert "shop" in shown("show", webhook["id"]).output
    assert "disabled: switched off" in shown("list").output
    run("delete", webhook["id"])
    assert run("show", webhook["id"], ends=ExitCode.UNKNOWN_JOB)["failure"]["code"] == "unknown_job"


def test_a_secret_is_shown_once(ledger: Ledger) -> None:
    created = run("create", URL)
    rotated = run("rotate-secret", created["webhook"]["id"], "--overlap-hours", "1")
    later = shown("list").output + shown("show", created["webhook"]["id"]).output + str(run("list"))
    assert created["secret"] != rotated["secret"]
    assert created["secret"] not in later
    assert rotated["secret"] not in later
    assert "whsec_" in shown("create", URL).output


@pytest.mark.parametrize(
    "words", [("create", "http://example.com"), ("create", "https://10.0.0.1"), ("create", URL, "--after", "yesterday")]
)
def test_what_is_wrong_is_refused(ledger: Ledger, words: tuple[str, ...]) -> None:
    assert run(*words, ends=ExitCode.REFUSED)["failure"]["code"] == "invalid_input"
    assert ledger.webhooks.all() == []


@pytest.mark.parametrize("words", [("update", "wh_x"), ("replay", "wh_x"), ("replay", "wh_x", "1", "--all")])
def test_who_asks_for_nothing_is_told(words: tuple[str, ...]) -> None:
    run(*words, ends=ExitCode.REFUSED)


def test_a_test_without_a_relay_says_so(ledger: Ledger) -> None:
    webhook_id = run("create", URL)["webhook"]["id"]
    message = run("test", webhook_id, "--timeout", "0", ends=ExitCode.TIMEOUT)["failure"]["message"]
    assert "cornerman relay" in message


def test_deliveries_and_dead_letters_with_a_relay(
    ledger: Ledger,
    ledger_settings: LedgerSettings,
    tmp_path: Path,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CORNERMAN_WEBHOOK_ALLOWED_HOSTS", "127.0.0.1")
    quick = {"CORNERMAN_WEBHOOK_GIVE_UP_SECONDS": "0.2"}
    with WebhookReceiver() as receiver, running_relay(ledger_settings, tmp_path / "relay.log", **quick):
        webhook_id = run("create", receiver.url, "--kind", "check_health")["webhook"]["id"]
        assert run("test", webhook_id)["status_code"] == 204
        receiver.answer = lambda post, before: Reply(500)
        assert run("test", webhook_id, ends=ExitCode.FAILED)["error"] == "HTTP 500"
        settle(ledger)
        until(lambda: ledger.webhooks.dead_letters(webhook_id), PATIENCE_SECONDS)
        assert alerts(ledger) == {"WebhookDeadLetters": 1}
        (letter,) = run("dead-letters", webhook_id)["dead_letters"]
        assert letter["job_id"] == "job"
        assert "HTTP 500" in shown("deliveries", webhook_id).output
        receiver.answer = lambda post, before: Reply(200)
        assert run("replay", webhook_id, letter["id"]) == {"replayed": 1}
        until(lambda: receiver.jobs()[-1:] == ["job"], PATIENCE_SECONDS)
        assert run("replay", webhook_id, "--all") == {"replayed": 0}
        assert run("dead-letters", webhook_id, "--purge") == {"purged": 0}
        until(lambda: "delivering" in shown("list").output, PATIENCE_SECONDS)
    assert shown("dead-letters", webhook_id).output.strip() == "No dead letters."


def test_alerts_say_what_is_wrong_with_a_webhook(ledger: Ledger) -> None:
    webhook_id = run("create", URL, "--kind", "check_health")["webhook"]["id"]
    assert alerts(ledger) == {"NoRelay": 1}
    _, (held,) = ledger.webhook_queue.hold("relay", [])
    assert alerts(ledger) == {}
    key = ledger.server.key("webhook", webhook_id)
    settle(ledger)
    plan = ledger.webhook_queue.load(webhook_id)
    assert plan is not None
    batch = ledger.webhook_queue.read(plan.cursor, plan.seen)
    assert ledger.webhook_queue.enqueue(held, structs.replace(batch, missed=2), batch.outcomes)
    assert alerts(ledger) == {"WebhookMissed": 2}
    ledger.server.execute("HSET", key, "missed_at", 1)
    due = ledger.webhook_queue.exchange(held, [], 10)
    assert due is not None
    failed = [DeliveryResult(due=each, verdict="retry", error="HTTP 500", delay_seconds=9.0) for each in due.deliveries]
    ledger.webhook_queue.exchange(held, failed, 0)
    assert alerts(ledger) == {}
    now_ms = round(ledger.server.time() * 1000)
    ledger.server.execute("HSET", key, "failing_since", now_ms - 1_000_000)
    for delivery in ledger.server.client.zrange(f"{key}:ages", 0, -1):
        ledger.server.execute("ZADD", f"{key}:ages", now_ms - 4_000_000, delivery)
    found = alerts(ledger)
    assert found.keys() == {"WebhookFails", "WebhookBehind"}
    assert (round(found["WebhookFails"], -1), round(found["WebhookBehind"], -1)) == (1000, 4000)
    (each, *_) = due.deliveries
    ledger.webhook_queue.exchange(held, [DeliveryResult(due=each, verdict="disable", error="HTTP 410")], 0)
    assert alerts(ledger) == {"WebhookDisabled": 1}
    run("update", webhook_id, "--enable")
    run("update", webhook_id, "--disable")
    assert alerts(ledger) == {}


def test_the_relay_command_becomes_a_relay(
    ledger: Ledger, ledger_settings: LedgerSettings, until: Callable[..., None]
) -> None:
    webhook_id = run("create", URL)["webhook"]["id"]
    command = [sys.executable, "-m", "producer.cli.main", "relay", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        until(lambda: ledger.webhooks.get(webhook_id).relay, PATIENCE_SECONDS)
        assert f"#{process.pid}-" in str(ledger.webhooks.get(webhook_id).relay)
        process.terminate()
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert json.loads(process.stdout.read()) == {"command": ["-m", "gateway.webhooks"]}


def test_a_setting_that_cannot_work_ends_a_relay(ledger_settings: LedgerSettings, tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    with running_relay(ledger_settings, log, CORNERMAN_WEBHOOK_CONCURRENCY="0") as process:
        assert process.wait(20) == 78
    assert "CORNERMAN_WEBHOOK_CONCURRENCY" in log.read_text()
    with running_relay(replace(ledger_settings, redis_url="redis://127.0.0.1:1"), log) as process:
        assert process.wait(60) == 69
