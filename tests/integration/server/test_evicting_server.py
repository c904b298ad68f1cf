"""A server whose policy at its maxmemory is to evict keys: it is noticed everywhere, and takes no new jobs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from ledger.server.server_memory import EvictionWarning
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from producer.preflight.check import CheckFailedError
from producer.preflight.server_check import check_eviction_policy

POLICIES = [*(f"{keys}-{by}" for keys in ("allkeys", "volatile") for by in ("lru", "lfu", "random")), "volatile-ttl"]
REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)
LIMIT_BYTES = 200_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "server") as own:
        yield own


@pytest.fixture
def ledger_settings(server: EmbeddedServer) -> LedgerSettings:
    return LedgerSettings(redis_url=server.url, namespace="own")


@pytest.fixture
def admin(server: EmbeddedServer) -> Iterator[Any]:
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.mark.parametrize("policy", POLICIES)
def test_new_jobs_are_refused_and_what_is_accepted_goes_on(policy: str, ledger: Ledger, admin: Any) -> None:
    known = ledger.submit(CheckHealth(nonce="known"))
    admin.config_set("maxmemory-policy", policy)
    assert ledger.submit(CheckHealth(nonce="without a limit nothing is evicted")).created
    admin.config_set("maxmemory", LIMIT_BYTES)
    with pytest.raises(JobRefusedError, match=f"maxmemory-policy {policy}.*noeviction") as refused:
        ledger.submit(CheckHealth(nonce="new"))
    assert refused.value.failure.code is FailureCode.MEMORY_LIMIT_EXCEEDED
    assert refused.value.failure.details == {"maxmemory_policy": policy}
    assert not ledger.submit(CheckHealth(nonce="known")).created
    for claim in ledger.claim("predict", "n#1/1", 2):
        assert ledger.settle(claim, REPORT)
    assert ledger.wait(known.job_id, 5).state is JobState.SUCCEEDED
    admin.config_set("maxmemory-policy", "noeviction")
    assert ledger.submit(CheckHealth(nonce="new")).created


def test_connecting_warns_unless_the_user_may_not_look(ledger_settings: LedgerSettings, admin: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", EvictionWarning)
        Ledger.connect(ledger_settings).close()
    admin.config_set("maxmemory", LIMIT_BYTES)
    admin.config_set("maxmemory-policy", "volatile-lru")
    with pytest.warns(EvictionWarning, match="volatile-lru"):
        Ledger.connect(ledger_settings).close()
    admin.execute_command("ACL", "SETUSER", "blind", "on", ">pw", "~own:*", "+@all", "-info")
    url = str(ledger_settings.redis_url).replace("redis://", "redis://blind:pw@")
    with warnings.catch_warnings():
        warnings.simplefilter("error", EvictionWarning)
        Ledger.connect(LedgerSettings(redis_url=url, namespace="own")).close()


def test_commands_say_so(ledger: Ledger, admin: Any, command_environment: None) -> None:
    assert "maxmemory-policy noeviction" in check_eviction_policy()
    admin.config_set("maxmemory", LIMIT_BYTES)
    admin.config_set("maxmemory-policy", "allkeys-lru")
    shown = CliRunner().invoke(main, ["status"], env={"COLUMNS": "200"})
    assert shown.exit_code == ExitCode.OK
    assert "may evict jobs and outcomes (maxmemory-policy allkeys-lru)" in shown.stdout
    assert shown.stderr.startswith("cornerman: warning: the server at 127.0.0.1")
    asked = CliRunner().invoke(main, ["health"])
    assert asked.exit_code != ExitCode.OK
    assert "allkeys-lru" in asked.stderr
    with pytest.raises(CheckFailedError, match="allkeys-lru"):
        check_eviction_policy()


def test_a_pool_fires_an_alert(
    ledger: Ledger, admin: Any, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, CORNERMAN_METRICS_INTERVAL_SECONDS="0.2")
    admin.config_set("maxmemory-policy", "allkeys-lru")
    admin.config_set("maxmemory", LIMIT_BYTES)
    until(lambda: '"alert": "ServerEvicts"' in pool.log.read_text(), 60)
    assert ledger.server.time()
    assert pool.stop() == 0
