from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from ledger.contracts.jobs import CheckHealth, TrainEnsemble
from ledger.ledger import Ledger
from tests.support.endpoints import HASTY, checks, get, scrape, value
from workers.observability.metrics import GAUGES

WAIT_SECONDS = 30

Until = Callable[..., None]
StartPool = Callable[..., Any]


def ask(ledger: Ledger, *nonces: str) -> None:
    for receipt in ledger.submit_many([CheckHealth(nonce=nonce) for nonce in nonces]):
        ledger.wait(receipt.job_id, WAIT_SECONDS)


def listening(process: psutil.Process) -> list[str]:
    return [str(found.laddr) for found in process.net_connections("inet") if found.status == psutil.CONN_LISTEN]


@pytest.fixture
def addresses(ledger: Ledger, until: Until) -> Callable[[], list[str]]:
    """Where each living pool serves, in the order of their names."""

    def found() -> list[str]:
        until(lambda: all(pool["http"] for pool in ledger.pools.alive()))
        return [pool["http"] for pool in ledger.pools.alive()]

    return found


def test_counts_survive_the_children_that_counted_and_gauges_do_not(
    ledger: Ledger, start_pool: StartPool, addresses: Callable[[], list[str]], until: Until
) -> None:
    pool = start_pool(concurrency=2, CORNERMAN_NODE="ringside", **HASTY)
    (address,) = addresses()
    ask(ledger, *(f"answer:{number}" for number in range(20)), "raise_memory_error", "nan")

    def counted() -> dict[str, float]:
        values = scrape(address)
        return {
            "succeeded": value(values, "cornerman_jobs_total", outcome="succeeded"),
            "failed": value(values, "cornerman_jobs_total")
            - value(values, "cornerman_jobs_total", outcome="succeeded"),
            "requeued": value(values, "cornerman_attempts_total", ending="requeued"),
            "runs": value(values, "cornerman_run_seconds_count", kind="check_health"),
            "waits": value(values, "cornerman_queue_wait_seconds_count", kind="check_health"),
        }

    until(lambda: counted()["runs"] == 22)
    assert counted() == {"succeeded": 20, "failed": 2, "requeued": 0, "runs": 22, "waits": 22}
    before = {child.pid for child in pool.children()}
    for child in pool.children():
        child.kill()
        until(lambda: len(pool.children()) == 2)
    until(lambda: {child.pid for child in pool.children()}.isdisjoint(before))
    assert counted() == {"succeeded": 20, "failed": 2, "requeued": 0, "runs": 22, "waits": 22}
    ask(ledger, "kill_itself", *(f"again:{number}" for number in range(5)))
    until(lambda: counted()["succeeded"] == 25 and counted()["failed"] == 3)
    assert counted()["requeued"] == ledger.settings.max_attempts - 1
    until(lambda: value(scrape(address), "cornerman_children") == 2)
    until(lambda: value(scrape(address), "cornerman_dead_letters") == 1)
    values = scrape(address)
    assert set(values["cornerman_children"]) == {frozenset({("state", "idle")}), frozenset({("state", "busy")})}
    assert value(values, "cornerman_telemetry_dropped_total") == 0
    (info,) = values["cornerman_pool_info"]
    assert dict(info)["node"] == "ringside"
    assert pool.stop() == 0


def test_what_waits_and_who_takes_it_is_measured(
    ledger: Ledger, start_pool: StartPool, addresses: Callable[[], list[str]], until: Until
) -> None:
    start_pool(concurrency=1, **HASTY)
    (address,) = addresses()
    ledger.submit(TrainEnsemble(data="nowhere"))
    block = ledger.submit(CheckHealth(nonce="block")).job_id
    until(lambda: ledger.status(block).progress)
    ledger.submit_many([CheckHealth(nonce=f"answer:{number}") for number in range(2)])
    ledger.submit(CheckHealth(nonce="answer:2"), caller="odds-east")
    until(lambda: value(scrape(address), "cornerman_queue_length", queue="predict") == 3)
    values = scrape(address)
    assert value(values, "cornerman_caller_queue_length", queue="predict", caller="odds-east") == 1
    assert value(values, "cornerman_children", state="busy") == 1
    assert value(values, "cornerman_queue_oldest_age_seconds", queue="predict") > 0
    assert value(values, "cornerman_consumers", queue="predict") == 1
    assert value(values, "cornerman_unattended_jobs", queue="train") == 1
    assert value(values, "cornerman_child_memory_max_bytes") > 2**20
    ledger.cancel(block)
    until(lambda: value(scrape(address), "cornerman_children_killed_total") == 1)
    until(lambda: value(scrape(address), "cornerman_jobs_total", outcome="succeeded") == 3)
    text = get(address, "/metrics")[1]
    described = set(re.findall(r"^# HELP (\w+) ", text, re.MULTILINE))
    of_the_archive = {name for name in GAUGES if name.startswith("cornerman_archive")}
    of_feeds = {name for name in GAUGES if name.startswith("cornerman_feed_")}
    of_models = {"cornerman_calibration_drift", "cornerman_state_lag_days"}
    of_schedules = {name for name in GAUGES if name.startswith("cornerman_schedule_")}
    assert set(GAUGES) - described == of_models | of_the_archive | of_feeds | of_schedules  # there is none of these
    assert get(address, "/elsewhere")[0] == 404


def test_two_pools_on_a_machine_do_not_collide_and_children_hold_no_port(
    ledger: Ledger, start_pool: StartPool, addresses: Callable[[], list[str]], until: Until
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    first = start_pool(concurrency=1, CORNERMAN_HTTP_PORT=port, **HASTY)
    assert addresses() == [f"127.0.0.1:{port}"]
    second = start_pool(concurrency=1, CORNERMAN_HTTP_PORT=port, **HASTY)
    until(lambda: "set CORNERMAN_HTTP_HOST and CORNERMAN_HTTP_PORT" in second.log.read_text())
    ask(ledger, *(f"answer:{number}" for number in range(10)))  # it works all the same
    (child,) = first.children()
    child.kill()
    until(lambda: [other.pid for other in first.children()] not in ([], [child.pid]))
    (child,) = first.children()
    until(lambda: listening(psutil.Process(first.pid)) and not listening(child))
    first.process.kill()
    until(
        lambda: any(pool["http"] == f"127.0.0.1:{port}" and pool["pid"] == second.pid for pool in ledger.pools.alive())
    )
    assert checks(f"127.0.0.1:{port}", "/healthz")[0] == 200


def test_health_says_what_fails(
    ledger: Ledger, start_pool: StartPool, addresses: Callable[[], list[str]], until: Until
) -> None:
    pool = start_pool(concurrency=1, CORNERMAN_LIVENESS_TIMEOUT_SECONDS="600", **HASTY)
    (address,) = addresses()
    until(lambda: checks(address)[0] == 200)
    assert checks(address)[1] == {"guard": True, "consumption": True, "memory": True}
    assert checks(address, "/healthz") == (200, {"guard": True})
    (child,) = pool.children()
    child.suspend()
    until(lambda: checks(address) == (503, {"guard": True, "consumption": False, "memory": True}))
    child.resume()
    until(lambda: checks(address)[0] == 200)


def test_a_pool_without_a_server_is_alive_and_not_ready(
    ledger: Ledger, start_pool: StartPool, addresses: Callable[[], list[str]], until: Until
) -> None:
    start_pool(concurrency=1, CORNERMAN_REPLY_TIMEOUT_SECONDS="0.3", **HASTY)
    (address,) = addresses()
    until(lambda: checks(address)[0] == 200)
    ledger.server.execute("CLIENT", "PAUSE", 3000)
    until(lambda: not checks(address)[1]["consumption"])
    assert checks(address, "/healthz")[0] == 200
    until(lambda: value(scrape(address), "cornerman_ledger_up") == 0)
    assert "cornerman_queue_length" not in scrape(address)  # not known now
    ledger.server.execute("CLIENT", "UNPAUSE")
    until(lambda: checks(address)[0] == 200)
    until(lambda: value(scrape(address), "cornerman_ledger_up") == 1)


def test_metrics_can_be_off(ledger: Ledger, start_pool: StartPool) -> None:
    pool = start_pool(concurrency=1, CORNERMAN_HTTP_HOST="off", **HASTY)
    ask(ledger, "answer")
    assert ledger.pools.alive()[0]["http"] == ""
    assert not listening(psutil.Process(pool.pid))
