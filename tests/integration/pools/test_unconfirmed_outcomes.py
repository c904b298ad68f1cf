"""While a replica is away, what outcomes wait for is seen: by the alert, in the metrics and in `cornerman status`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.settings import LedgerSettings
from producer.operations.alerts import alert_kinds, current_alerts
from producer.operations.overview import overview
from producer.output.status_tables import overview_tables
from tests.support.alert_receiver import Alarm, Receiver, at_once
from tests.support.endpoints import HASTY, scrape, value
from tests.support.replicas import ReplicatedServers, replicated_servers


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[ReplicatedServers]:
    with replicated_servers(tmp_path) as running:
        yield running


@pytest.fixture
def ledger_settings(servers: ReplicatedServers) -> LedgerSettings:
    return LedgerSettings(redis_url=servers.urls[0], namespace=f"test-{uuid.uuid4().hex}")


def test_outcomes_that_no_replica_confirms_are_told(
    ledger: Ledger,
    servers: ReplicatedServers,
    start_pool: Callable[..., Any],
    receiver: Receiver,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    until(servers.synced)
    pool = start_pool(
        concurrency=1,
        CORNERMAN_OUTCOME_DURABILITY="replica",
        CORNERMAN_REPLICA_STORAGE="memory",
        CORNERMAN_ALERTS=at_once(OutcomesUnconfirmed=0.5),
        CORNERMAN_WEBHOOK_URL=receiver.url,
        **HASTY,
    )
    alarm = Alarm(pool.log, receiver, until)
    assert ledger.outcome_confirmation.unconfirmed().count == 0
    servers.detach(1)
    job_id = ledger.submit(CheckHealth(nonce="a")).job_id
    alarm.fires("OutcomesUnconfirmed")

    waiting = ledger.outcome_confirmation.unconfirmed()
    assert ledger.outcome(job_id) is None
    assert (waiting.count, waiting.durability) == (1, "replica 1 memory")
    assert 0.5 < waiting.oldest_seconds < 60
    assert waiting.reason.startswith("no replica is connected: connect replicas")
    assert value(scrape(ledger.pools.alive()[0]["http"]), "cornerman_unconfirmed_outcomes") == 1
    monkeypatch.setenv("CORNERMAN_ALERTS", "OutcomesUnconfirmed=0.5")
    (alert,) = [alert for alert in current_alerts(ledger, alert_kinds()) if alert.name == "OutcomesUnconfirmed"]
    assert "1 outcome waits for durability 'replica 1 memory', the oldest for " in alert.sentence
    assert any("not confirmed: 1 outcome waits" in str(table) for table in overview_tables(overview(ledger)))

    servers.attach(1)
    alarm.clears("OutcomesUnconfirmed")
    outcome = ledger.wait(job_id, 30)
    assert outcome.report is not None
    assert overview(ledger).unconfirmed.count == 0
