"""The embedded server when things are not as they should be: frozen, half a note, a folder that is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from redis import Redis

from ledger.compression.sample_cards import SampleCards
from ledger.contracts.failures import LedgerUnavailableError
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.server import embedded_server
from ledger.server.embedded_server import EmbeddedServer, find_running

ROOT = Path(__file__).parents[3]
# Far below the two minutes for which a server may start, far above what stopping needs.
STOP_SECONDS = 60


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path) as server:
        os.kill(server.pid, signal.SIGSTOP)
        yield server
        os.kill(server.pid, signal.SIGCONT)


def test_a_frozen_server_is_still_the_folders_and_gets_no_second_beside_it(
    frozen: EmbeddedServer, tmp_path: Path
) -> None:
    assert find_running(tmp_path) == frozen.url
    with pytest.raises(LedgerUnavailableError, match=f"process {frozen.pid} .*"), EmbeddedServer(tmp_path):
        pass


def test_up_ends_although_its_server_is_frozen(tmp_path: Path, until: Callable[..., None]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CORNERMAN_")}
    up = subprocess.Popen(
        [sys.executable, "-m", "producer.cli.main", "up", "--json"],
        env={**environment, "PYTHONPATH": str(ROOT), "CORNERMAN_DATA": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: up.poll() is not None or find_running(tmp_path), STOP_SECONDS)
        assert up.stdout is not None
        assert up.stdout.readline()  # it has started its pools
        [server] = [child for child in psutil.Process(up.pid).children() if "valkey" in child.name()]
        server.suspend()
        up.send_signal(signal.SIGTERM)
        assert up.wait(STOP_SECONDS) == 0
        assert not server.is_running()
    finally:
        up.kill()
        up.wait()


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b'{"url": "redis://127.0.0.1:1", "pi',
        b"\xff\xfe",
        b"[]",
        b'{"url": "redis://127.0.0.1:1"}',
        b'{"url": "nonsense", "pid": 1, "started_by": 1}',
    ],
)
def test_half_a_note_is_no_note(tmp_path: Path, note: bytes) -> None:
    (tmp_path / "server.json").write_bytes(note)
    assert find_running(tmp_path) is None
    with EmbeddedServer(tmp_path) as server:
        assert find_running(tmp_path) == server.url


def test_records_are_in_one_piece_and_an_outcome_drops_the_place_in_the_queue(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server, closing(Ledger.connect(LedgerSettings(redis_url=server.url))) as ledger:
        source = SampleCards(seed=3)
        card = source.card(12, 4, start=datetime.now(UTC) + timedelta(days=1))
        answer = source.report(card)
        long = HealthCheck(name="a", passed=True, detail="x" * 200)
        check = HealthReport(status="healthy", checks=(long,), memory_mb=1.0)
        for job, report in ((card, answer), (CheckHealth(), check)):
            job_id = ledger.submit(job).job_id
            record = ledger.server.key("job", job_id)
            assert ledger.server.execute("HEXISTS", record, "place") == 1
            (claim,) = ledger.claim("predict", "node#0/1")
            ledger.settle(claim, report)
            assert ledger.outcome(job_id).report == report
            assert ledger.server.execute("HEXISTS", record, "place") == 0
            assert ledger.server.execute("OBJECT", "ENCODING", record) == b"listpack"


def test_only_the_server_gets_the_settings_of_its_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = embedded_server.ALLOCATOR
    monkeypatch.delenv(name, raising=False)
    with embedded_server._allocator_set():
        assert os.environ[name] == value
    assert name not in os.environ
    monkeypatch.setenv(name, "")
    with embedded_server._allocator_set():
        assert os.environ[name] == ""
    assert os.environ[name] == ""


def test_a_note_that_cannot_be_put_on_disk_is_not_left_and_neither_is_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedded_server.os, "fsync", full)
    with pytest.raises(LedgerUnavailableError, match="No space left"), EmbeddedServer(tmp_path):
        pass
    assert find_running(tmp_path) is None
    assert not (tmp_path / "server.json").exists()
    running = [child.cmdline() for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    assert not [command for command in running if str(tmp_path) in " ".join(command)]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "data"
    assert find_running(folder) is None
    with pytest.raises(LedgerUnavailableError, match=r"file.data.* Not a directory"), EmbeddedServer(folder):
        pass


@pytest.mark.parametrize("write", ["bgrewriteaof", "bgsave"])
def test_copies_that_a_killed_server_was_writing_are_removed(
    tmp_path: Path, until: Callable[..., None], write: str
) -> None:
    def copies() -> list[Path]:
        return list(tmp_path.glob("temp-*"))

    with EmbeddedServer(tmp_path) as killed, closing(Redis.from_url(killed.url)) as client:
        client.set("key", "value")
        client.config_set("rdb-key-save-delay", 100_000_000)  # microseconds a key
        getattr(client, write)()
        until(copies)
        server = psutil.Process(killed.pid)
        writers = server.children()
        for process in (server, *writers):  # the server first, which would remove what its writer leaves
            process.kill()
        until(lambda: not any(is_running(process) for process in (server, *writers)))
        assert copies()
    with EmbeddedServer(tmp_path) as following, closing(Redis.from_url(following.url, decode_responses=True)) as client:
        assert copies() == []
        assert client.get("key") == "value"


def is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
