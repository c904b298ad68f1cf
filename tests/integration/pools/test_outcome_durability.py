"""A pool confirms the outcomes of its jobs, and does not start if the server cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from tests.support.replicas import replicated_servers
from workers.__main__ import BAD_SETTING, main


def test_a_pool_shows_outcomes_that_the_disk_has(ledger: Ledger, start_pool: Callable[..., Any]) -> None:
    pool = start_pool(concurrency=1, CORNERMAN_OUTCOME_DURABILITY="disk")
    outcomes = [ledger.wait(ledger.submit(CheckHealth(nonce=nonce)).job_id, 60) for nonce in "ab"]
    assert [outcome.report is not None for outcome in outcomes] == [True, True]
    assert ledger.server.execute("HGET", ledger.server.key("counts"), "marked"), "they were prepared first"
    assert ledger.server.execute("ZCARD", ledger.server.key("prepared")) == 0
    assert pool.stop() == 0


def test_a_pool_does_not_start_if_outcomes_cannot_be_confirmed(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    with replicated_servers(tmp_path, replicas=0) as single:
        single.clients[0].config_set("appendonly", "no")
        monkeypatch.setenv("CORNERMAN_REDIS_URL", single.urls[0])
        monkeypatch.setenv("CORNERMAN_OUTCOME_DURABILITY", "disk")
        assert main(["--pool", "predict"]) == BAD_SETTING
    assert "CORNERMAN_OUTCOME_DURABILITY=disk is not possible here" in capsys.readouterr().err
