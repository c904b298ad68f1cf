from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.claims import FAILURE, REPORT, claim_one, submit

Run = Callable[..., Result]


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["jobs", *arguments], catch_exceptions=False)


@pytest.fixture
def stored(ledger: Ledger) -> list[str]:
    """Jobs that succeeded, failed and wait, newest first."""
    for name in ("answered", "broken", "waits"):
        submit(ledger, name)
    ledger.settle(claim_one(ledger), REPORT)
    ledger.settle(claim_one(ledger), FAILURE)
    return [job.job_id for job in ledger.job_index.page().jobs]


def document(result: Result) -> Any:
    assert result.exit_code == ExitCode.OK, result.output
    return json.loads(result.stdout)


def ids(result: Result) -> list[str]:
    return [job["job_id"] for job in document(result)["jobs"]]


def test_a_list_for_people_and_one_for_programs(run: Run, stored: list[str]) -> None:
    assert ids(run("list", "--json")) == stored
    shown = run("list").stdout
    assert all(text in shown for text in [*stored, "check_health", "succeeded", "internal"])


def test_a_list_by_state_kind_and_time(run: Run, stored: list[str]) -> None:
    assert ids(run("list", "--state", "failed", "--json")) == ["broken"]
    assert set(ids(run("list", "--state", "failed", "--state", "queued", "--json"))) == {"broken", "waits"}
    assert ids(run("list", "--kind", "backtest", "--json")) == []
    assert ids(run("list", "--since", "5min", "--json")) == stored
    assert ids(run("list", "--until", "5min", "--json")) == []
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert ids(run("list", "--until", tomorrow, "--json")) == stored
    assert ids(run("list", "--caller", "nobody", "--card", "none", "--json")) == []


def test_a_list_continues_at_its_cursor(run: Run, stored: list[str]) -> None:
    first = document(run("list", "--limit", "2", "--json"))
    assert [job["job_id"] for job in first["jobs"]] == stored[:2]
    assert first["cursor"] in run("list", "--limit", "2").output
    rest = document(run("list", "--cursor", first["cursor"], "--json"))
    assert [job["job_id"] for job in rest["jobs"]] == stored[2:]
    assert "cursor" not in rest


def test_an_empty_list_says_so(run: Run) -> None:
    assert document(run("list", "--json")) == {"jobs": []}
    assert "No such jobs" in run("list").output


def test_the_history_of_one_job(run: Run, stored: list[str], ledger: Ledger) -> None:
    ledger.report_worker_lost("waits", claim_one(ledger).fence, "process 101 was killed")
    history = document(run("show", "waits", "--json"))
    assert [event["event"] for event in history["events"]] == ["submitted", "claimed", "worker_lost"]
    shown = run("show", "waits").stdout
    assert all(text in shown for text in ["queued", "worker_lost", "process 101 was killed", "node#7f/101"])
    assert "internal: it broke" in run("show", "broken").stdout


def test_a_job_that_never_was(run: Run) -> None:
    assert run("show", "never", "--json").exit_code == ExitCode.UNKNOWN_JOB


@pytest.mark.parametrize(
    "arguments",
    [
        ["--state", "unknown"],
        ["--kind", "dance"],
        ["--since", "yesterday"],
        ["--since", "2030-01-01T00:00:00"],
        ["--limit", "0"],
        ["--cursor", "x"],
    ],
)
def test_wrong_usage_is_refused(run: Run, arguments: list[str]) -> None:
    assert run("list", *arguments).exit_code == ExitCode.REFUSED
