"""Who comes into a cluster, and how: users, TLS, names of nodes, and addresses that cannot work."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import redis

from ledger.async_ledger import AsyncLedger
from ledger.contracts.failures import LedgerUnavailableError, PermissionDeniedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from tests.support.acl_server import CLUSTER_USERS, denied_to, password_of, url_of, users_text
from tests.support.certificates import make_certificate
from tests.support.clusters import running_cluster
from tests.support.digest_worker import answer
from tests.support.tls_proxy import tls_before

WAIT_SECONDS = 30.0
NOT_TRUSTED = "user curious reset on >{} ~* +hello +ping +client|setinfo\n".format(password_of("curious"))


class Guarded(NamedTuple):
    """A cluster of one node with users, which is reached by its name and over TLS."""

    address: str
    options: str
    admin: redis.Redis

    def url(self, role: str) -> str:
        return url_of(self.address, role, "rediss+cluster") + self.options


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "users.acl").write_text(users_text(file=CLUSTER_USERS) + NOT_TRUSTED)
    authority = make_certificate(folder)
    options = {
        "appendonly": "yes",
        "aclfile": str(folder / "users.acl"),
        "cluster-announce-hostname": "localhost",
        "cluster-preferred-endpoint-type": "hostname",
    }
    admin = {"username": "admin", "password": password_of("admin")}
    with running_cluster(folder / "nodes", primaries=1, replicas=0, options=options, admin=admin) as cluster:
        [node] = cluster.nodes
        with tls_before(node.address, authority) as port, redis.Redis(port=node.port, protocol=2, **admin) as client:
            client.config_set("cluster-announce-port", port)
            yield Guarded(f"localhost:{port}", f"?ssl_ca_certs={authority}", client)


@pytest.fixture
def ledger_settings(guarded: Guarded) -> LedgerSettings:
    return LedgerSettings(redis_url=guarded.url("worker"))


def test_the_shipped_users_do_their_work_over_tls(
    guarded: Guarded, ledger: Ledger, start_pool: Callable[..., object]
) -> None:
    start_pool(script="digest_worker.py", concurrency=1)
    job = CheckHealth(nonce="over TLS")

    async def ask() -> None:
        async with AsyncLedger(LedgerSettings(redis_url=guarded.url("gateway"))) as gateway:
            await gateway.submit(job, key="first")
            assert (await gateway.wait("first", WAIT_SECONDS)).report == answer(job)

    asyncio.run(ask())
    for role in ("producer", "operator"):
        caller = Ledger.connect(LedgerSettings(redis_url=guarded.url(role)))
        caller.submit(job, key=role, durable=True)
        assert caller.wait(role, WAIT_SECONDS).report == answer(job)
        caller.close()
    reader = Ledger.connect(LedgerSettings(redis_url=guarded.url("reader")))
    assert reader.wait("producer", WAIT_SECONDS).state is JobState.SUCCEEDED
    with pytest.raises(PermissionDeniedError):
        reader.server.execute("SET", reader.server.key("drift"), "1")
    reader.close()
    assert [entry for entry in denied_to(guarded.admin) if "curious" not in entry] == ["reader: command set"]


def refusal(url: str) -> str:
    """Return why a ledger cannot be opened."""
    with pytest.raises(LedgerUnavailableError) as caught:
        Ledger.connect(LedgerSettings(redis_url=url, reply_timeout_seconds=0.5))
    assert not re.search("s3cret|w0rd", str(caught.value))
    return str(caught.value)


def test_who_may_not_ask_the_nodes_reads_what_is_missing(guarded: Guarded) -> None:
    assert "users-cluster.acl" in refusal(guarded.url("curious"))
    assert "does not accept this user" in refusal(guarded.url("worker").replace("worker:", "wanderer:"))


def test_a_node_must_be_trusted_by_its_name(guarded: Guarded) -> None:
    assert "certificate" in refusal(guarded.url("worker").partition("?")[0]).lower()


class TestAnAddressThatCannotWork:
    def test_a_server_without_cluster_mode(self, valkey: EmbeddedServer) -> None:
        assert "it is in no cluster: write redis://" in refusal(valkey.url.replace("redis://", "redis+cluster://"))

    def test_a_node_of_a_cluster_as_a_server_of_its_own(self, guarded: Guarded) -> None:
        port = guarded.admin.connection_pool.connection_kwargs["port"]
        url = url_of(f"127.0.0.1:{port}", "worker")
        assert "write redis+cluster://" in refusal(url)

    def test_nobody_there(self) -> None:
        assert "127.0.0.1:1" in refusal("redis+cluster://127.0.0.1:1")
