from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from ledger.contracts.failures import LedgerError, LedgerUnavailableError, PermissionDeniedError
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.server.embedded_server import EmbeddedServer, find_running

SECRET = "s3cret-w0rd"  # noqa: S105 - it must be seen nowhere, and guards nothing


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test's own, with a password and an ACL user who may use one namespace only."""
    with EmbeddedServer(tmp_path) as server:
        admin = redis.Redis.from_url(server.url)
        admin.execute_command(
            "ACL",
            "SETUSER",
            "shop",
            "on",
            f">{SECRET}",
            "~mine:*",
            "&mine:*",
            "+@all",
            "-@dangerous",
            "-@admin",
            "+info",
        )
        admin.execute_command("ACL", "SETUSER", "default", "resetpass", f">{SECRET}")
        yield server
        admin.execute_command("AUTH", "default", SECRET)
        admin.execute_command("ACL", "SETUSER", "default", "nopass")
        admin.close()


def unavailable(url: str, namespace: str = "mine", error: type[LedgerError] = LedgerUnavailableError) -> str:
    with pytest.raises(error) as caught:
        Ledger.connect(LedgerSettings(redis_url=url, namespace=namespace)).submit(CheckHealth())
    said = str(caught.value)
    assert SECRET not in said
    return said


def with_user(server: EmbeddedServer, user: str, password: str) -> str:
    return server.url.replace("redis://", f"redis://{user}:{password}@")


def test_a_password_that_is_missing_or_wrong_is_said(guarded: EmbeddedServer) -> None:
    host = guarded.url.removeprefix("redis://")
    assert "asks for a password" in unavailable(guarded.url)
    for url in (with_user(guarded, "", "wrong"), with_user(guarded, "nobody", SECRET)):
        said = unavailable(url)
        assert "does not accept this user and password" in said
        assert host in said


def test_an_acl_user_of_the_namespace_can_do_everything(guarded: EmbeddedServer) -> None:
    url = with_user(guarded, "shop", SECRET)
    ledger = Ledger.connect(LedgerSettings(redis_url=url, namespace="mine"))
    job_id = ledger.submit(CheckHealth(), durable=True).job_id
    (claim,) = ledger.claim("predict", "n#1/1")
    assert ledger.renew([(job_id, claim.fence)]) == set()
    assert ledger.settle(claim, HealthReport(status="healthy", checks=(), memory_mb=1.0))
    assert ledger.wait(job_id, 5).state is JobState.SUCCEEDED
    assert [outcome.job_id for _, outcome in ledger.follow("0", idle_seconds=0.01)] == [job_id]
    ledger.reap()
    ledger.close()
    assert "may not do that" in unavailable(url, namespace="yours", error=PermissionDeniedError)


def test_nobody_at_the_address() -> None:
    said = unavailable(f"redis://shop:{SECRET}@127.0.0.1:1/0")
    assert "127.0.0.1:1" in said
    assert "is it running" in said


@pytest.mark.parametrize("url", [f"redis://:{SECRET[:4]}/{SECRET[4:]}@host:1", f"http://:{SECRET}@host", "nonsense"])
def test_a_url_that_cannot_be_read_is_not_quoted(url: str) -> None:
    said = unavailable(url)
    assert "percent-encoded" in said
    assert "s3cr" not in said


def test_no_server_named() -> None:
    with pytest.raises(LedgerUnavailableError, match="set CORNERMAN_REDIS_URL"):
        Ledger.connect(LedgerSettings())


def test_scripts_that_the_server_forgot_are_sent_again(ledger: Ledger) -> None:
    ledger.server.execute("SCRIPT", "FLUSH")
    assert ledger.submit(CheckHealth(nonce="1")).created
    ledger.server.execute("SCRIPT", "FLUSH")
    assert ledger.submit(CheckHealth(nonce="2"), durable=True).created


def test_a_server_that_dies_under_a_waiter_and_comes_back_with_the_job(
    tmp_path: Path, until: Callable[..., None]
) -> None:
    with EmbeddedServer(tmp_path) as server:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url, poll_fallback_seconds=0.1))
        job_id = ledger.submit(CheckHealth(), durable=True).job_id
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ledger.wait, job_id, 60)
            until(lambda: ledger.server.execute("PUBSUB", "NUMSUB", f"cornerman:news:0:{job_id}")[1] == 1)
            os.kill(server.pid, signal.SIGKILL)
            with pytest.raises(LedgerUnavailableError, match=server.url.removeprefix("redis://")):
                waiting.result()
        assert find_running(tmp_path) is None
    with EmbeddedServer(tmp_path) as server:
        ledger = Ledger.connect(LedgerSettings(redis_url=server.url))
        assert ledger.status(job_id).state is JobState.QUEUED
        (claim,) = ledger.claim("predict", "n#1/1")
        assert claim.job_id == job_id


def test_a_folder_has_one_server(tmp_path: Path) -> None:
    assert find_running(tmp_path) is None
    with EmbeddedServer(tmp_path) as first:
        assert find_running(tmp_path) == first.url
        with EmbeddedServer(tmp_path) as second:
            assert (second.url, second.pid) == (first.url, first.pid)
        assert find_running(tmp_path) == first.url, "who joined must not stop it"
    assert find_running(tmp_path) is None


def test_a_server_left_behind_is_taken_over_and_stopped(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:  # starts a server and dies without a word
        try:
            EmbeddedServer(tmp_path).__enter__()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    orphan = find_running(tmp_path)
    assert orphan is not None
    with EmbeddedServer(tmp_path) as server:
        assert server.url == orphan
    assert find_running(tmp_path) is None


def test_a_note_that_names_another_process_is_not_believed(tmp_path: Path, valkey: EmbeddedServer) -> None:
    (tmp_path / "server.json").write_text(f'{{"url": "{valkey.url}", "pid": 1, "started_by": 1}}')
    assert find_running(tmp_path) is None


def test_an_interrupt_of_the_group_does_not_stop_the_server(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        os.kill(server.pid, signal.SIGINT)
        assert all(client.ping() for _ in range(200))


def test_a_path_with_a_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without spaces"):
        EmbeddedServer(tmp_path / "my data")


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "appendonlydir"
    folder.write_text("a file where the server wants a folder")
    with pytest.raises(LedgerUnavailableError, match="does not start"), EmbeddedServer(tmp_path):
        pass
