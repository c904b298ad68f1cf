from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, TrainEnsemble
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode

Run = Callable[..., Result]


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["dead-letters", *arguments], catch_exceptions=False)


@pytest.fixture
def dead(ledger: Ledger) -> list[str]:
    """Two jobs that took their workers down, the newer first."""
    for name in ("older", "newer"):
        ledger.submit(CheckHealth(nonce=name), key=name)
        while claims := ledger.claim("predict", "n#1/1"):
            ledger.report_worker_lost(claims[0].job_id, claims[0].fence)
    return ["newer", "older"]


def document(result: Result) -> Any:
    assert result.exit_code == ExitCode.OK, result.output
    return json.loads(result.stdout)


def test_a_list_for_people_and_one_for_programs(run: Run, dead: list[str]) -> None:
    letters = document(run("list", "--json"))["dead"]
    assert [letter["job_id"] for letter in letters] == dead
    assert set(letters[0]) >= {"job_id", "kind", "attempts", "died_at", "failure"}
    assert len(document(run("list", "--limit", "1", "--json"))["dead"]) == 1
    shown = run("list")
    assert all(name in shown.stdout for name in [*dead, "check_health", "took its worker down 3 times"])


def test_an_empty_list_says_so(run: Run) -> None:
    assert document(run("list", "--json")) == {"dead": []}
    assert "No dead letters" in run("list").output


def test_one_letter_with_the_job_in_it(run: Run, dead: list[str]) -> None:
    shown = document(run("show", "older", "--json"))
    assert shown["dead"]["failure"]["code"] == "worker_lost"
    assert (shown["job"]["kind"], shown["job"]["nonce"]) == ("check_health", "older")
    assert '"nonce": "older"' in run("show", "older").stdout


def test_a_requeue_names_the_next_life(run: Run, dead: list[str], ledger: Ledger) -> None:
    assert document(run("requeue", "older", "--json")) == {
        "requeued": [{"job": "older", "next_life": "older~2", "refused": None}]
    }
    assert ledger.status("older~2").state is JobState.QUEUED
    assert "newer~2" in run("requeue", "--all").stdout
    assert ledger.dead_letters.newest() == []


def test_one_that_is_refused_does_not_hold_up_the_others(run: Run, dead: list[str], ledger: Ledger) -> None:
    late = json.dumps({"kind": "check_health", "deadline": datetime(2020, 1, 1, tzinfo=UTC).isoformat()})
    ledger.server.execute("HSET", f"{ledger.settings.namespace}:job:newer", "payload", late)
    result = run("requeue", "--all", "--json")
    assert result.exit_code == ExitCode.REFUSED
    newer, older = json.loads(result.stdout)["requeued"]
    assert newer["refused"].startswith("expired")
    assert older["next_life"] == "older~2"
    assert [letter.job_id for letter in ledger.dead_letters.newest()] == ["newer"]


def test_a_purge_of_some_and_of_all(run: Run, dead: list[str], ledger: Ledger) -> None:
    assert document(run("purge", "older", "never", "--json")) == {"purged": 1, "absent": ["never"]}
    assert document(run("purge", "--all", "--json")) == {"purged": 1}
    assert ledger.status("older").state is JobState.FAILED


def test_a_selection_by_kind_and_age(run: Run, dead: list[str], ledger: Ledger) -> None:
    job_id = ledger.submit(TrainEnsemble(data="d")).job_id
    while claims := ledger.claim("train", "n#1/1"):
        ledger.report_worker_lost(claims[0].job_id, claims[0].fence)
    listed = document(run("list", "--kind", "train_ensemble", "--json"))["dead"]
    assert [letter["job_id"] for letter in listed] == [job_id]
    assert document(run("purge", "--older-than", "1h", "--json")) == {"purged": 0}
    assert document(run("purge", "--kind", "train_ensemble", "--older-than", "0s", "--json")) == {"purged": 1}
    rows = document(run("requeue", "--kind", "check_health", "--json"))["requeued"]
    assert [row["next_life"] for row in rows] == ["newer~2", "older~2"]


def test_some_that_are_none_are_named(run: Run, dead: list[str]) -> None:
    rows = json.loads(run("requeue", "older", "never", "--json").stdout)["requeued"]
    assert rows[0]["next_life"] == "older~2"
    assert "never is unknown" in rows[1]["refused"]
    assert "Not in the list: never" in run("purge", "newer", "never").output


@pytest.mark.parametrize(
    "arguments",
    [["requeue"], ["purge"], ["purge", "x", "--all"], ["purge", "x", "--older-than", "1d"], ["show"]],
)
def test_wrong_usage_is_refused(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == ExitCode.REFUSED


@pytest.mark.parametrize("command", ["show", "requeue"])
def test_a_job_that_never_was(run: Run, command: str) -> None:
    assert run(command, "never", "--json").exit_code == ExitCode.UNKNOWN_JOB
