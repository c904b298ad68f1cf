from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import CheckHealth, TrainEnsemble
from ledger.ledger import Ledger, LedgerSettings


def test_models_and_their_aliases(ledger: Ledger) -> None:
    assert ledger.models.all() == []
    assert ledger.aliases.resolve("champion") is None
    ledger.models.register("bb", {"data_cutoff": "2024-01-01"})
    ledger.models.register("aa", {"log_loss": 0.61})
    ledger.aliases.set("champion", "aa")
    ledger.aliases.set("candidate", "aa")
    assert ledger.models.all() == [
        {"digest": "aa", "summary": {"log_loss": 0.61}, "aliases": ["candidate", "champion"]},
        {"digest": "bb", "summary": {"data_cutoff": "2024-01-01"}, "aliases": []},
    ]
    ledger.aliases.set("champion", "bb")
    assert ledger.aliases.resolve("champion") == "bb"


@pytest.mark.parametrize("name", ["a" * 64, "0123456789abcdefABCDEF".ljust(64, "0")])
def test_no_alias_takes_the_place_of_a_digest(ledger: Ledger, name: str) -> None:
    with pytest.raises(JobRefusedError, match="shape of a model's digest"):
        ledger.aliases.set(name, "b" * 64)
    assert ledger.aliases.resolve(name) is None
    ledger.aliases.set(name[:63], "b" * 64)


def test_pools_are_listed_while_they_announce_themselves(ledger: Ledger, until: Callable[..., None]) -> None:
    assert ledger.pools.alive() == []
    ledger.pools.announce("train@b", {"children": 1}, ttl_seconds=0.05)
    ledger.pools.announce("predict@a", {"children": 2}, ttl_seconds=60)
    until(lambda: ledger.pools.alive() == [{"name": "predict@a", "children": 2}])
    ledger.pools.announce("train@b", {"children": 3}, ttl_seconds=60)
    assert [pool["children"] for pool in ledger.pools.alive()] == [2, 3]


def test_a_pool_without_a_job_looks_and_announces_itself_in_one_transaction(ledger: Ledger) -> None:
    heartbeat = ledger.pools.announcement("predict@a", {"children": 2}, 60.0)
    assert ledger.look("predict@a/", ["predict", "monitor"], heartbeat).waiting == 0
    assert ledger.pools.alive() == [{"name": "predict@a", "children": 2}]
    ledger.submit_many([CheckHealth(nonce="1"), CheckHealth(nonce="2"), TrainEnsemble(data="d")])
    seen = ledger.look("predict@a/", ["predict", "monitor"], heartbeat)
    assert (seen.waiting, seen.holds) == (2, False)
    ledger.claim("predict", "predict@a/1")
    seen = ledger.look("predict@a/", ["predict", "monitor"])
    assert (seen.waiting, seen.holds) == (1, True)


def test_depths_count_what_waits(ledger: Ledger) -> None:
    ledger.submit_many([CheckHealth(nonce="1"), CheckHealth(nonce="2"), TrainEnsemble(data="d")])
    ledger.claim("predict", "n#1/1")
    assert ledger.queue_stats.depths() == {"monitor": 0, "predict": 1, "train": 1}


def test_the_clock_is_the_servers(ledger: Ledger) -> None:
    submitted = ledger.status(ledger.submit(CheckHealth()).job_id).submitted_at
    assert submitted is not None
    assert submitted.tzinfo is UTC
    assert submitted <= datetime.fromtimestamp(ledger.server.time(), UTC)


def test_odd_items_are_put_aside_cut_and_capped(ledger_settings: LedgerSettings) -> None:
    ledger = Ledger.connect(LedgerSettings(**{**ledger_settings.__dict__, "max_quarantined": 3}))
    for number in range(5):
        ledger.quarantine.add("predict", b"\xff%d" % number)
    ledger.quarantine.add("predict", b"x" * 1_000_000)
    items = ledger.quarantine.items("predict")
    assert items[1:] == [b"\xff4", b"\xff3"]
    assert len(items[0]) == 10_000
    ledger.close()


def test_two_namespaces_share_nothing(ledger: Ledger, ledger_settings: LedgerSettings) -> None:
    other = Ledger.connect(LedgerSettings(**{**ledger_settings.__dict__, "namespace": "neighbour"}))
    job_id = ledger.submit(CheckHealth()).job_id
    assert other.status(job_id).state == "unknown"
    assert other.claim("predict", "n#1/1") == []
    other.close()
