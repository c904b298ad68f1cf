"""A ledger in a real cluster with real pools: its slot moves, its primary changes or dies, and no job is lost."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256

import pytest

from ledger.async_ledger import AsyncLedger
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.model_references import find_digests
from tests.support.clusters import Cluster, running_cluster
from tests.support.digest_worker import answer

JOBS = 60
WAIT_SECONDS = 60.0

Disruption = Callable[[Cluster, str], None]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def ledger_settings(cluster: Cluster) -> LedgerSettings:
    return LedgerSettings(
        redis_url=cluster.url, namespace=f"test-{uuid.uuid4().hex}", poll_fallback_seconds=WAIT_SECONDS
    )


def checks(name: str) -> list[CheckHealth]:
    return [CheckHealth(nonce=f"{name} {number}") for number in range(JOBS)]


async def submit_and_wait(settings: LedgerSettings, jobs: list[CheckHealth], disrupt: Callable[[], None]) -> None:
    """Submit jobs one after the other while something happens, and wait for their outcomes."""
    thread = threading.Thread(target=disrupt)
    async with AsyncLedger(settings) as callers:
        waits = []
        for number, job in enumerate(jobs):
            if number == len(jobs) // 4:
                thread.start()
            await callers.submit(job, key=job.nonce)
            waits.append(asyncio.create_task(callers.wait(job.nonce, WAIT_SECONDS)))
            await asyncio.sleep(0.02)
        await asyncio.to_thread(thread.join)
        for job in jobs:  # what was accepted in the last moment of a killed primary is unknown to the next one
            await callers.submit(job, key=job.nonce)
        outcomes = [*await asyncio.gather(*waits), *[await callers.wait(job.nonce, WAIT_SECONDS) for job in jobs]]
    assert [outcome.report for outcome in outcomes] == 2 * [answer(job) for job in jobs]


def test_jobs_go_on_while_their_slot_moves_and_their_primary_changes(
    cluster: Cluster, ledger: Ledger, start_pool: Callable[..., object]
) -> None:
    start_pool(script="digest_worker.py")
    tag = f"{{{ledger.settings.namespace}}}"
    disruptions: dict[str, Disruption] = {
        "moved key by key": lambda cluster, tag: cluster.move_key_by_key(tag, pause_seconds=0.05),
        "moved at once": Cluster.move_at_once,
        "failed over": Cluster.fail_over,
        "killed": Cluster.kill_primary,
    }
    for name, disrupt in disruptions.items():
        before = cluster.owner(tag)
        asyncio.run(submit_and_wait(ledger.settings, checks(name), partial(disrupt, cluster, tag)))
        assert cluster.owner(tag) is not before
        cluster.wait_until(cluster.is_whole, "a whole cluster")
    settled = Counter(outcome.job_id for _, outcome in ledger.follow("0", idle_seconds=0.1))
    assert settled == Counter(job.nonce for name in disruptions for job in checks(name))


def test_ledgers_are_spread_by_name(cluster: Cluster) -> None:
    names = [f"shop-{number}" for number in range(6)]
    owners = {name: cluster.owner(f"{{{name}}}") for name in names}
    assert len({*owners.values()}) > 1
    for name, owner in owners.items():
        shop = Ledger.connect(LedgerSettings(redis_url=cluster.url, namespace=name))
        shop.submit(CheckHealth(nonce=name), key="job")
        (claim,) = shop.claim("predict", "n#1/1")
        assert shop.settle(claim, answer(CheckHealth(nonce=name)))
        assert cluster.command(owner, "HGET", f"{{{name}}}:job:job", "state") == b"succeeded"
        assert shop.address == f"{name} in the cluster of {cluster.seeds.replace(',', ', ')}"
        assert [shop.status(job).state for job in ("job", "other")] == [JobState.SUCCEEDED, JobState.UNKNOWN]
        shop.close()


def test_no_reference_to_a_model_is_overlooked_when_the_primary_changes(cluster: Cluster, ledger: Ledger) -> None:
    digests = {sha256(b"%d" % number).hexdigest() for number in range(1_500)}
    ledger.submit_many([CheckHealth(model=digest) for digest in digests])
    cluster.command(cluster.owner(f"{{{ledger.settings.namespace}}}"), "WAIT", 1, 5_000)
    texts = ledger.references._texts_of_jobs(unfinished=True)
    found = {*find_digests(next(texts))}
    cluster.fail_over(f"{{{ledger.settings.namespace}}}")
    for text in texts:
        found.update(find_digests(text))
    assert {digest.decode() for digest in found} == digests
