"""What scripts declare of their keys, on a real cluster, and what that prevents while a slot is moved key by key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

import ledger.ledger
from ledger.ledger import Claim, Ledger, LedgerSettings
from ledger.server.lua_scripts import script_texts
from ledger.server.server import Server
from tests.support.claims import claim_one, submit
from tests.support.clusters import Cluster, Node, running_cluster
from tests.support.every_script import use_every_script
from tests.support.monitored_scripts import ScriptCall, monitored

LUA = Path(ledger.ledger.__file__).parent / "lua"
HEADER = 11
FINDS = {"record_prices", "archive_due"}
"""Scripts that find names among arguments, whose number or meaning they learn from them."""
ROOT = "{shop}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), replicas=0, options={"appendonly": "yes"}) as found:
        yield found


@pytest.fixture
def owner(cluster: Cluster) -> Node:
    return cluster.owner(ROOT)


@pytest.fixture
def client(owner: Node) -> Iterator[redis.Redis]:
    with redis.Redis(port=owner.port, protocol=2) as client:
        client.flushall()
        yield client


@pytest.fixture
def shop(cluster: Cluster, client: redis.Redis) -> Ledger:
    """A ledger over connections that always lead to one node."""
    return Ledger(Server(client, LedgerSettings(redis_url=cluster.url, namespace="shop")))


def documented() -> list[re.Pattern[str]]:
    """Return patterns of the keys and channels that the headers of the scripts describe."""
    found = []
    for path in LUA.glob("*.lua"):
        for root, separator, rest in re.findall(r"<(ns|namespace)>([:/])([\w:<>]+)", path.read_text()):
            assert (root, separator) in {("ns", ":"), ("namespace", "/")}
            found.append(re.compile(re.escape(ROOT) + separator + re.sub(r"<\w+>", ".+", rest)))
    return found


def undeclared(call: ScriptCall, script: str) -> set[str]:
    """Return the touched keys that the caller could have named by an argument, and did not."""
    arguments = {word for word in call.arguments[HEADER:] if word}
    by_caller = {key for key in call.touched if key.removeprefix(ROOT)[1:].split(":", 1)[-1] in arguments}
    channels = {words[1] for words in call.commands if words[0] == "SPUBLISH"}
    fence = f"{ROOT}:{call.arguments[HEADER - 1].partition(' ')[0]}"  # every script may name it: see the prelude
    return set() if script in FINDS else by_caller - {*call.keys, fence} - channels


def test_a_call_declares_its_guard_and_the_keys_that_its_caller_can_name(shop: Ledger, client: redis.Redis) -> None:
    names = {shop.server.scripts[name].sha: name for name in script_texts()}
    with monitored(client) as calls:
        use_every_script(shop)
    patterns = documented()
    assert {names[call.sha] for call in calls} == {*names.values()}
    for call in calls:
        script = names[call.sha]
        assert call.keys[0] == f"{ROOT}:guard"
        assert len(set(call.keys)) == len(call.keys)
        for key in call.touched | {*call.keys}:
            assert key.startswith((f"{ROOT}:", f"{ROOT}/")), f"{script} touches {key}"
        assert undeclared(call, script) == set(), script
        for key in call.touched:
            assert any(pattern.fullmatch(key) for pattern in patterns), f"no header describes {key} of {script}"
    assert not client.exists(f"{ROOT}:guard")


def begin_to_move(cluster: Cluster, owner: Node, *keys: str) -> Node:
    """Let the ledger's slot be moved to another node key by key, and move some of its keys. Return that node."""
    slot = key_slot(b"shop")
    target = next(node for node in cluster.nodes if node is not owner)
    cluster.command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.node_id(owner))
    cluster.command(owner, "CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.node_id(target))
    cluster.command(owner, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    return target


class TestWhileASlotIsMovedKeyByKey:
    """A job runs; one of the keys that releasing it changes has moved already."""

    @pytest.fixture
    def claim(self, cluster: Cluster, owner: Node, shop: Ledger) -> Iterator[Claim]:
        submit(shop, "job")
        claim = claim_one(shop)
        target = begin_to_move(cluster, owner, f"{ROOT}:held")
        yield claim
        for node in (target, owner):
            cluster.command(node, "CLUSTER", "SETSLOT", key_slot(b"shop"), "STABLE")
            cluster.command(node, "FLUSHALL")

    @staticmethod
    def release(shop: Ledger, client: redis.Redis, claim: Claim, *, guarded: bool) -> None:
        command, sha, count, guard, *words = shop.server.script_call("release", 1, 0, 1, "", claim.job_id, claim.fence)
        client.script_load(shop.server.scripts["release"].script)
        assert (count, guard, words[0]) == (2, f"{ROOT}:guard", f"{ROOT}:job:job")
        client.execute_command(command, sha, *((2, guard) if guarded else (1,)), *words)

    def test_a_script_does_not_begin(self, shop: Ledger, client: redis.Redis, claim: Claim) -> None:
        lease = client.zscore(f"{ROOT}:leases", "job")
        with pytest.raises(redis.exceptions.TryAgainError):
            self.release(shop, client, claim, guarded=True)
        assert client.zscore(f"{ROOT}:leases", "job") == lease is not None
        client.delete(f"{ROOT}:job:job", f"{ROOT}:leases")  # as if they had moved, too
        with pytest.raises(redis.exceptions.AskError):
            self.release(shop, client, claim, guarded=True)

    def test_without_the_guard_it_would_end_half_way(self, shop: Ledger, client: redis.Redis, claim: Claim) -> None:
        with pytest.raises(redis.ResponseError, match="non local key"):
            self.release(shop, client, claim, guarded=False)
        here = client.execute_command("CLUSTER", "GETKEYSINSLOT", key_slot(b"shop"), 100)
        assert f"{ROOT}:leases".encode() not in here  # the job has no lease, so nobody notices that it was lost,
        assert client.hget(f"{ROOT}:job:job", "state") == b"running"  # and nobody claims it again
