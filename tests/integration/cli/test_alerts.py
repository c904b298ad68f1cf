"""The command `alerts`: every alert that the ledger shows by itself, and what pools report in their heartbeats."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from ledger.contracts.jobs import CheckHealth, TrainEnsemble
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.drift_alarms import DriftAlarm
from ledger.models.drift_figures import DriftFigures
from ledger.operations.alert_table import ALERTS, CRITICAL
from ledger.server.server_memory import ServerMemory
from producer.cli.main import main
from producer.operations.alerts import COMPUTED, Alert, alert_kinds, current_alerts
from producer.operations.overview import overview
from producer.output.exit_codes import ExitCode

A = "a" * 64
REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(command_environment: None) -> Run:
    def invoke(code: ExitCode = ExitCode.FAILED) -> dict[str, Any]:
        done = CliRunner().invoke(main, ["alerts", "--json"], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return {alert["name"]: alert for alert in json.loads(done.stdout)["alerts"]}

    return invoke


@pytest.fixture
def sound(ledger: Ledger) -> Ledger:
    """A ledger with a champion and a healthy pool for each queue."""
    ledger.models.register(A, {})
    ledger.aliases.set("champion", A)
    ledger.pools.announce("n#1", {"node": "n", "queues": ["predict", "train", "monitor"], "healthy": True}, 60.0)
    return ledger


def test_nothing_is_wrong_in_a_sound_fleet(sound: Ledger, run: Run) -> None:
    assert run(ExitCode.OK) == {}
    assert "Nothing is wrong." in CliRunner().invoke(main, ["alerts"]).output


def test_an_empty_ledger_lacks_pools_and_a_champion(ledger: Ledger, run: Run) -> None:
    assert run().keys() == {"NoPool", "NoChampion"}


def test_jobs_without_a_pool_are_critical_and_first(ledger: Ledger, run: Run) -> None:
    ledger.submit(CheckHealth(nonce="1"))
    found = run()
    assert next(iter(found)) == "NoConsumer"
    alert = found["NoConsumer"]
    assert (alert["severity"], alert["labels"], alert["value"]) == (CRITICAL, {"queue": "predict"}, 1)
    assert alert["sentence"].startswith("1 job waits in predict, the oldest for ")
    assert datetime.fromisoformat(alert["since"]) <= datetime.now(UTC)
    assert alert["runbook"] == "docs/guides/operators.md#noconsumer"
    assert "cornerman worker" in alert["action"]


def test_what_the_ledger_shows_of_jobs_queues_and_models(sound: Ledger, run: Run, until: Callable[..., None]) -> None:
    late = datetime.now(UTC) + timedelta(milliseconds=30)
    sound.submit_many([CheckHealth(nonce=str(number), deadline=late) for number in range(5)])
    until(lambda: (sound.reap(), sound.outcome_stats.recent().ends.get("expired", 0))[1] == 5, 10)
    lost = sound.submit(CheckHealth(nonce="lost")).job_id
    for _ in range(sound.settings.max_attempts):
        (claim,) = sound.claim("predict", "n#1/1")
        sound.report_worker_lost(lost, claim.fence)
    sound.quarantine.add("train", b"odd")
    sound.controls.set({"pause.monitor": True}, user="ann@desk", reason="repairs")
    alarm = DriftAlarm(model=A, findings=(), fights=70, raised_at=datetime(2026, 1, 2, tzinfo=UTC), job_id="j")
    sound.drift_alarms.raise_alarm(alarm)
    sound.drift_figures.set(DriftFigures(model=A, drift=0.2, fights=300))
    found = run()
    assert found.keys() == {"JobsExpire", "DeadLetters", "Quarantined", "QueuePaused", "DriftAlarm", "CalibrationDrift"}
    assert found["JobsExpire"]["sentence"] == "5 of the last 6 outcomes are expired jobs"
    assert found["DeadLetters"]["since"] == sound.dead_letters.get(lost).died_at.isoformat().replace("+00:00", "Z")
    assert found["QueuePaused"]["sentence"].startswith("the queue monitor is paused by ann@desk (repairs); 0 jobs wait")
    assert found["Quarantined"]["labels"] == {"queue": "train"}
    assert (found["DriftAlarm"]["since"], found["DriftAlarm"]["labels"]) == ("2026-01-02T00:00:00Z", {"model": A})
    assert found["CalibrationDrift"]["value"] == 0.2


def test_what_is_near_its_limit(sound: Ledger, ledger_settings: LedgerSettings) -> None:
    small = Ledger.connect(LedgerSettings(**{**ledger_settings.__dict__, "max_queue_length": 2}))
    sound.submit_many([CheckHealth(nonce="1"), CheckHealth(nonce="2")])
    names = {alert.name: alert for alert in current_alerts(small, alert_kinds())}
    assert names["QueueNearlyFull"].sentence == "2 jobs wait in predict, 100% of the most that are accepted"
    view = overview(sound)
    full = ServerMemory(used_bytes=78 * 2**20, limit_bytes=100 * 2**20)
    (alert,) = (alert for alert in seen_with(small, view, server=full) if alert.name == "ServerNearlyFull")
    assert alert.sentence == "the server uses 78 MB, and refuses new jobs above 80 MB"
    evicts = ServerMemory(used_bytes=1, limit_bytes=100, policy="allkeys-lru")
    assert "ServerEvicts" in {alert.name for alert in seen_with(small, view, server=evicts)}
    small.close()


def seen_with(ledger: Ledger, view: Any, **changed: Any) -> list[Alert]:
    return current_alerts(ledger, alert_kinds(), replace(view, **changed))


def test_a_long_wait_is_an_alert_by_its_limit(sound: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sound.submit(CheckHealth(nonce="1"))
    sound.submit(TrainEnsemble(data="nowhere"))
    assert run(ExitCode.OK) == {}
    monkeypatch.setenv("CORNERMAN_ALERTS", "OldestJobWaits=0,TrainingWaits=0")
    assert run().keys() == {"OldestJobWaits", "TrainingWaits"}
    monkeypatch.setenv("CORNERMAN_ALERTS", "OldestJobWaits=soon")
    done = CliRunner().invoke(main, ["alerts", "--json"])
    assert (done.exit_code, "OldestJobWaits=soon" in done.output) == (ExitCode.REFUSED, True)


def test_pools_report_what_needs_metrics(sound: Ledger, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    since = "2026-01-02T00:00:00Z"
    slow = {"name": "SlowPredictions", "labels": {}, "value": 0.25, "since": since}
    lag = {"name": "StateLags", "labels": {"model": A}, "value": 20.0, "since": since}
    newer = {"name": "SomethingNew", "labels": {}, "value": 1.0, "since": since}
    waits = {"name": "OldestJobWaits", "labels": {"queue": "predict"}, "value": 99.0, "since": since}
    for name in ("p#1", "p#2"):
        about = {"node": "p", "queues": ["predict"], "healthy": True}
        sound.pools.announce(name, {**about, "alerts": [slow, lag, newer, waits]}, 60.0)
    alerts = current_alerts(sound, alert_kinds())
    assert sorted(alert.name for alert in alerts) == [*["SlowPredictions"] * 2, *["SomethingNew"] * 2, "StateLags"]
    found = run()
    assert found["SlowPredictions"]["labels"] == {"pool": "p#2", "node": "p"}
    assert found["SlowPredictions"]["sentence"].endswith("(p#2): 0.25, limit 0.05")
    assert (found["StateLags"]["since"], found["StateLags"]["labels"]) == (since, {"model": A})
    monkeypatch.setenv("CORNERMAN_ALERTS", "SlowPredictions=off")
    assert "SlowPredictions" not in run()


def test_a_pool_tells_since_when(sound: Ledger, run: Run) -> None:
    sound.drift_figures.set(DriftFigures(model=A, drift=0.2, fights=300))
    report = {"name": "CalibrationDrift", "labels": {"model": A}, "value": 0.2, "since": "2026-01-02T00:00:00Z"}
    sound.pools.announce("p#1", {"node": "p", "queues": ["predict"], "healthy": True, "alerts": [report]}, 60.0)
    assert run()["CalibrationDrift"]["since"] == "2026-01-02T00:00:00Z"


def test_every_computed_alert_is_in_the_table_and_shown(ledger: Ledger, command_environment: None) -> None:
    assert ALERTS.keys() >= COMPUTED
    shown = CliRunner().invoke(main, ["alerts"]).stdout
    assert all(text in shown for text in ("NoPool", "NoChampion", "warning"))
