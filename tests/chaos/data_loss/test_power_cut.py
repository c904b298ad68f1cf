"""What a power cut leaves: the append-only file is cut back to what fsync had confirmed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthReport
from ledger.ledger import Ledger, LedgerSettings
from tests.chaos.data_loss.__main__ import main
from tests.chaos.data_loss.power_cuts import CutServer
from tests.chaos.data_loss.synced_files import SyncedFiles

REPORT = HealthReport(status="healthy", checks=(), model="m", memory_mb=1.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CutServer]:
    folder = tmp_path_factory.mktemp("power")
    if not SyncedFiles(folder / "probe").usable:
        pytest.skip("no C compiler: install cc")
    with CutServer(folder, "everysec") as running:
        yield running


@pytest.fixture
def ledger(server: CutServer, request: pytest.FixtureRequest) -> Iterator[Ledger]:
    name = request.node.name
    opened = Ledger.connect(LedgerSettings(redis_url=server.url, namespace=name[:64], outcome_durability="disk"))
    yield opened
    opened.close()


def sync(ledger: Ledger, policy: str) -> None:
    """Set when the server syncs its file: `no` means never."""
    ledger.server.execute("CONFIG", "SET", "appendfsync", policy)


def test_a_durable_submission_survives_and_another_does_not(ledger: Ledger, server: CutServer) -> None:
    durable = ledger.submit(CheckHealth(nonce="durable"), durable=True).job_id
    sync(ledger, "no")
    other = ledger.submit(CheckHealth(nonce="other")).job_id
    before = server.dropped_bytes
    with server.without_power():
        assert server.dropped_bytes > before
    assert ledger.status(durable).state is JobState.QUEUED
    assert ledger.status(other).state is JobState.UNKNOWN


def test_an_outcome_that_was_seen_survives_and_a_prepared_one_may_not(ledger: Ledger, server: CutServer) -> None:
    ledger.outcome_confirmation.set_durability()
    sync(ledger, "always")
    first, second = (ledger.submit(CheckHealth(nonce=nonce)).job_id for nonce in "ab")
    claims = ledger.claim("predict", "n#1/1", limit=2)
    sync(ledger, "everysec")
    assert ledger.settle(claims[0], REPORT)
    assert ledger.outcome_confirmation.confirm().shown == 1
    seen = ledger.outcome(first)
    sync(ledger, "no")
    assert ledger.settle(claims[1], REPORT)
    assert ledger.outcome(second) is None
    with server.without_power():
        pass
    ledger.outcome_confirmation.confirm()
    assert ledger.outcome(first) == seen
    assert ledger.status(second).state in (JobState.QUEUED, JobState.RUNNING), "it runs again"
    assert not ledger.server.execute("HGET", ledger.server.key("job", second), "prepared")


def test_with_always_everything_that_was_answered_survives(ledger: Ledger, server: CutServer) -> None:
    sync(ledger, "always")
    ids = [ledger.submit(CheckHealth(nonce=str(number))).job_id for number in range(20)]
    with server.without_power():
        pass
    assert {ledger.status(job_id).state for job_id in ids} == {JobState.QUEUED}


@pytest.mark.parametrize("every", ["3", "9.9", "0", "-60", "nan", "often"])
def test_failures_that_leave_no_time_to_submit_are_refused(every: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["power-cuts", "--every", every])
    assert ended.value.code == 2
    assert "--every" in capsys.readouterr().err
