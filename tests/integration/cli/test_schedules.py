from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.jobs import ReviewModel, kind_of
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.operations.alerts import alert_kinds, current_alerts
from producer.output.exit_codes import ExitCode

Run = Callable[..., Result]
GUIDE = Path(__file__).parents[3] / "docs/guides/operators.md"
NIGHTLY = ("nightly", "--cron", "30 2 * * *", "--zone", "Europe/Berlin", "--job", "review_model")


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments, **more: CliRunner().invoke(
        main, ["schedules", *arguments], catch_exceptions=False, **more
    )


def document(result: Result) -> Any:
    assert result.exit_code == ExitCode.OK, result.output
    return json.loads(result.stdout)


def test_a_schedule_is_put_shown_paused_run_and_removed(run: Run, ledger: Ledger) -> None:
    assert "No schedules." in run("list").output
    put = document(run("put", *NIGHTLY, "--reason", "every night", "--json"))
    assert put["schedule"] == {
        "name": "nightly",
        "cron": "30 2 * * *",
        "zone": "Europe/Berlin",
        "jobs": [{"kind": "review_model", "schema_version": 1}],
    }
    assert "nightly" in run("list").output
    shown = run("show", "nightly").output
    assert "02:30:00 Europe/Berlin" in " ".join(shown.split())
    assert document(run("pause", "nightly", "--reason", "holidays", "--json"))["schedule"]["paused"] is True
    assert "PAUSED" in run("list").output
    started = document(run("run", "nightly", "--json"))
    assert ledger.job_records.job(started["run_id"]) == ReviewModel()
    assert started["run_id"] in "".join(run("history", "nightly").output.split())
    assert "next_slot" in document(run("resume", "nightly", "--json"))
    assert [change["what"] for change in document(run("changes", "--json"))["changes"]] == [
        "resumed",
        "run",
        "paused",
        "created",
    ]
    assert "holidays" in run("changes", "--name", "nightly").output
    assert run("remove", "nightly", "--expect-revision", "1").exit_code == ExitCode.FAILED
    assert document(run("remove", "nightly", "--json")) == {"removed": "nightly"}
    assert run("show", "nightly").exit_code == ExitCode.UNKNOWN_JOB


def test_a_schedule_can_be_a_file_of_what_show_writes(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    put = document(run("put", *NIGHTLY, "--catch-up", "all", "--max-catch-up", "3", "--json"))
    file = tmp_path / "nightly.json"
    file.write_text(json.dumps(put["schedule"]))
    assert document(run("put", "nightly", "--file", str(file), "--json"))["revision"] == put["revision"]
    text = json.dumps({**put["schedule"], "zone": "UTC", "paused": True})
    changed = document(run("put", "nightly", "--file", "-", "--json", input=text))
    assert (changed["schedule"]["zone"], changed["revision"] > put["revision"]) == ("UTC", True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("n", "--cron", "61 * * * *", "--job", "review_model"), "Bad minute"),
        (("n", "--cron", "* * *", "--job", "review_model"), "Wrong number of fields"),
        (("n", "--cron", "0 0 30 2 *", "--job", "review_model"), "Bad day-of-month"),
        (("n", "--cron", "0 0 * * *", "--zone", "Europe/Nowhere", "--job", "review_model"), "Europe/Nowhere"),
        (("n", "--cron", "0 0 * * *", "--zone", "Europe", "--job", "review_model"), "no IANA time zone"),
        (("n", "--cron", "0 0 * * *", "--zone", "", "--job", "review_model"), "zone"),
        (("n", "--cron", "0 0 * * *", "--job", "{"), "neither the kind of a job nor JSON"),
        (("n", "--cron", "0 0 * * *", "--job", "train_part"), "train_part"),
        (("n", "--cron", "0 0 * * *", "--job", '{"kind": "review_model", "modle": "x"}'), "jobs[0].modle"),
        (("a b", "--cron", "0 0 * * *", "--job", "review_model"), "$.name"),
        (("n", "--cron", "0 0 * * *", "--job", "review_model", "--grace", "0.1"), "$.grace_seconds"),
        (("n", "--cron", "0 0 * * *"), "--job"),
        (("n", "--file", "-", "--paused"), "not both"),
        (("n", "--file", "-"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_refused_with_a_reason(run: Run, arguments: tuple[str, ...], why: str) -> None:
    result = run("put", *arguments, input="")
    assert result.exit_code == ExitCode.REFUSED
    assert why in result.output


def test_a_schedule_that_fails_or_is_late_is_an_alert_and_in_the_status(
    run: Run, ledger: Ledger, command_environment: None
) -> None:
    document(run("put", "hourly", "--cron", "0 * * * *", "--job", "check_health", "--json"))
    key = ledger.server.key("schedule", "hourly")
    hours_ago = round((ledger.server.time() - timedelta(hours=2).total_seconds()) * 1000)
    ledger.server.execute("HSET", key, "done", hours_ago)
    (late,) = [alert for alert in current_alerts(ledger, alert_kinds()) if alert.name.startswith("Schedule")]
    assert (late.name, late.labels, late.severity) == ("ScheduleLate", {"schedule": "hourly"}, "critical")
    assert "of schedule hourly is not submitted" in late.sentence
    status = CliRunner().invoke(main, ["status"], catch_exceptions=False).output
    assert "schedule hourly: LATE by" in status

    runs = ledger.due_runs().look().runs
    (claim,) = ledger.claim("predict", "test#1/1")
    assert claim.job_id == runs[-1].run_id
    ledger.cancel(claim.job_id)
    ledger.due_runs().note_outcomes()
    assert not {alert.name for alert in current_alerts(ledger, alert_kinds())} & {"ScheduleLate", "ScheduleFailed"}

    ledger.schedules.run_now("hourly", user="ann", reason="again")
    (claim,) = ledger.claim("predict", "test#1/1")
    ledger.settle(claim, Failure(code=FailureCode.MODEL_NOT_FOUND, message="no such model"))
    ledger.due_runs().note_outcomes()
    (failed,) = [alert for alert in current_alerts(ledger, alert_kinds()) if alert.name.startswith("Schedule")]
    assert (failed.name, failed.runbook) == ("ScheduleFailed", "docs/guides/operators.md#schedulefailed")
    assert "no such model" in failed.sentence


def test_the_schedules_of_the_operators_guide(run: Run, ledger: Ledger) -> None:
    text = GUIDE.read_text().partition("## Schedules\n")[2].partition("```\n")[2].partition("```")[0]
    commands = [shlex.split(part) for part in text.replace("\\\n", "").split("cornerman schedules ") if part]
    for words in commands:
        document(run(*words, "--json"))
        assert document(run(*words, "--json"))["revision"] == ledger.schedules.get(words[1]).revision
    kinds = {status.schedule.name: [kind_of(job) for job in status.schedule.jobs] for status in ledger.schedules.list()}
    assert kinds == {
        "results": ["update_fight_log", "settle_bets", "review_model"],
        "model": ["train_ensemble", "judge_models"],
        "bets": ["review_bets"],
        "prices": ["archive_prices"],
        "archive": ["archive_outcomes"],
        "garbage": ["collect_garbage"],
    }
    for name in kinds:
        document(run("run", name, "--json"))  # the ledger accepts the jobs
