"""The server of deploy/kubernetes/sentinel: its scripts, probes and hook, run as three pods on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger, LedgerSettings
from tests.support.valkey_pods import COMMAND_LINE, SERVICE, Pod, running_pods, url_of

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not COMMAND_LINE, reason="needs valkey-cli or redis-cli (Debian: redis-tools)"),
]

Until = Callable[..., None]
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory, until: Until) -> Iterator[list[Pod]]:
    with running_pods(tmp_path_factory.mktemp("pods"), "cornerman") as running:
        settled(running, until)
        yield running


def settled(pods: list[Pod], until: Until) -> Pod:
    """Wait until all pods are ready, one is the primary, and every sentinel sees it and both replicas; return it."""

    def primaries() -> list[Pod]:
        return [pod for pod in pods if pod.role() == "master"]

    def agreed() -> bool:
        (one, *others) = primaries() or pods
        return not others and all(pod.ready() and named(pod) == one.host and replicas(pod) == 2 for pod in pods)

    until(agreed, PATIENCE_SECONDS)
    return primaries()[0]


def named(pod: Pod) -> str:
    with pod.sentinel() as sentinel:
        found: Any = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return str(found[0].decode())


def replicas(pod: Pod) -> int:
    """Replicas that a sentinel sees and that answer."""
    with pod.sentinel() as sentinel:
        found: Any = sentinel.sentinel_slaves(SERVICE)
        return sum("down" not in str(each["flags"]) for each in found)


def write(pod: Pod, value: int) -> None:
    with pod.server() as client:
        assert client.set("cornerman:kept", value)
        assert client.wait(1, 5_000) >= 1


def stored(pod: Pod) -> int:
    with pod.server() as client:
        return int(client.get("cornerman:kept") or 0)


def test_a_primary_that_ends_hands_over_first_and_comes_back_as_a_replica(pods: list[Pod], until: Until) -> None:
    primary = settled(pods, until)
    write(primary, 1)
    caller = Ledger.connect(LedgerSettings(redis_url=url_of(pods, "producer")))
    before = caller.submit(CheckHealth(nonce="before")).job_id
    primary.end()
    after = caller.submit(CheckHealth(nonce="after")).job_id
    assert [caller.status(job_id).state for job_id in (before, after)] == ["queued", "queued"]
    caller.close()
    assert [pod.role() for pod in pods if pod is not primary].count("master") == 1
    assert "+odown" not in "".join(pod.log("sentinel") for pod in pods)  # nobody had to find out
    primary.start()
    successor = settled(pods, until)
    assert successor is not primary
    assert [stored(pod) for pod in pods] == [1, 1, 1]


def test_a_primary_that_comes_back_without_its_volume_empties_nobody(pods: list[Pod], until: Until) -> None:
    primary = settled(pods, until)
    write(primary, 2)
    primary.kill("valkey", "sentinel")
    primary.lose_volume()
    primary.start()
    successor = settled(pods, until)
    assert successor is not primary
    assert [stored(pod) for pod in pods] == [2, 2, 2]
    for pod in pods:  # the sentinel has kept its name, so none is counted that is gone
        with pod.sentinel() as sentinel:
            assert sentinel.sentinel_master(SERVICE)["num-other-sentinels"] == 2


def test_after_an_outage_of_all_pods_the_last_primary_is_the_primary(pods: list[Pod], until: Until) -> None:
    primary = settled(pods, until)
    write(primary, 3)
    for pod in pods:
        pod.kill()
    assert not primary.passes("valkey", "livenessProbe")
    for pod in reversed(pods):
        pod.start()
    assert settled(pods, until) is primary
    assert [stored(pod) for pod in pods] == [3, 3, 3]


def test_a_pod_that_is_cut_off_from_the_sentinels_waits(pods: list[Pod], until: Until) -> None:
    settled(pods, until)
    (alone, *others) = pods
    alone.kill()
    for pod in others:
        pod.kill("sentinel")
    alone.start("valkey")
    until(lambda: "waiting: no majority of the sentinels names a primary" in alone.log("valkey"), PATIENCE_SECONDS)
    assert not alone.passes("valkey", "startupProbe")
    for pod in pods:
        pod.start("sentinel")
    settled(pods, until)
