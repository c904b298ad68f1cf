"""Chains of jobs, and jobs that wait or supersede others, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts import codec
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.claims import FAILURE, OWNER, REPORT, claim_one

Run = Callable[..., Result]
START = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, [*arguments], catch_exceptions=False)


@pytest.fixture
def jobs_file(tmp_path: Path) -> str:
    jobs = [json.loads(codec.encode(CheckHealth(nonce=str(number)))) for number in (1, 2)]
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps(jobs))
    return str(path)


def document(result: Result, code: ExitCode = ExitCode.OK) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_option_traceparent_is_the_trace_of_the_jobs(run: Run, ledger: Ledger, jobs_file: str) -> None:
    run("chains", "submit", "nightly", jobs_file, "--traceparent", TRACEPARENT)
    claim = claim_one(ledger)
    assert claim.trace is not None
    assert claim.trace.traceparent == TRACEPARENT
    refused = run("chains", "submit", "other", jobs_file, "--traceparent", "00-1-2-3")
    assert refused.exit_code == ExitCode.REFUSED
    assert "'00-1-2-3'" in refused.stderr


def test_a_chain_is_submitted_shown_and_cancelled(run: Run, ledger: Ledger, jobs_file: str) -> None:
    receipts = document(run("chains", "submit", "nightly", jobs_file, "--json"))
    assert [(receipt["job_id"], receipt["created"]) for receipt in receipts] == [("nightly", True), ("nightly/2", True)]
    assert "no" in run("chains", "submit", "nightly", jobs_file).stdout
    shown = run("chains", "show", "nightly").stdout
    assert "Chain nightly: running, step 1 of 2" in shown
    ledger.settle(claim_one(ledger), REPORT)
    ledger.settle(claim_one(ledger), FAILURE)
    chain = document(run("chains", "show", "nightly", "--json"))
    assert (chain["state"], chain["step"], chain["failure"]["code"]) == ("failed", 2, "internal")
    assert "it broke" in run("chains", "show", "nightly").stdout

    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    run("chains", "submit", "tomorrow", jobs_file, "--not-before", later)
    assert "waiting, step 1 of 2" in run("chains", "show", "tomorrow").stdout
    assert document(run("chains", "cancel", "tomorrow", "--json"))["state"] == "cancelled"


def test_what_is_no_chain_has_a_message(run: Run, tmp_path: Path, jobs_file: str) -> None:
    assert run("chains", "show", "none").exit_code == ExitCode.UNKNOWN_JOB
    assert run("chains", "submit", "a/b", jobs_file).exit_code == ExitCode.REFUSED
    for text in ("{}", "[", '[{"kind": "check_health"}, 1]', '[{"kind": "none"}]'):
        (tmp_path / "bad.json").write_text(text)
        failure = document(run("chains", "submit", "bad", str(tmp_path / "bad.json"), "--json"), ExitCode.REFUSED)
        assert failure["failure"]["code"] == "invalid_input"
    after = run("chains", "submit", "late", jobs_file, "--after", "missing", "--json")
    assert document(after, ExitCode.REFUSED)["failure"]["code"] == "predecessor_failed"


def test_a_card_waits_and_supersedes(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    def enqueue(key: str, *options: str) -> Any:
        read_at = datetime(2098, 12, 31, int(key[-1]), tzinfo=UTC)
        fight = Fight(id="1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")))
        card = PredictCard(card_id="c", event_start=START, fights=(fight,), priced_at=read_at)
        (tmp_path / "card.json").write_bytes(codec.encode(card))
        return run("enqueue", "--card", str(tmp_path / "card.json"), "--key", key, "--json", *options)

    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    document(enqueue("card1", "--not-before", later))
    assert "waits for" in run("status", "card1").stdout
    assert ledger.queue_stats.backlog().not_queued == 1
    assert "not queued yet: 1" in run("status").stdout
    document(enqueue("card2", "--supersede"))
    assert document(run("status", "card1", "--json"))["superseded_by"] == "card2"
    (claim,) = ledger.claim("predict", OWNER)
    ledger.settle(claim, REPORT)
    document(enqueue("card4", "--supersedes", "card2"))
    assert "cornerman result card4" in run("result", "card2").stderr
    assert "superseded by card4" in run("follow", "--after", "0", "--limit", "2").stdout
    assert "superseded by" in run("jobs", "show", "card1").stdout
    refused = document(enqueue("card3", "--supersede"), ExitCode.REFUSED)
    assert refused["cards"][0]["refused"]["details"] == {"superseded_by": "card4"}
    assert ledger.status("card4").state is JobState.QUEUED
