from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from ledger.contracts.bets import UnknownBetError
from ledger.contracts.codec import job_refused
from ledger.contracts.failures import (
    FailureCode,
    JobFailedError,
    JobRefusedError,
    LedgerUnavailableError,
    PermissionDeniedError,
    UnknownJobError,
    WaitTimeoutError,
)
from producer.cli.command_table import COMMANDS as TABLE
from producer.cli.main import main
from producer.errors import NotInstalledError
from producer.output.exit_codes import MEANINGS, ExitCode, error_document, exit_code_for
from producer.service.service_process import (
    RESTART_SECONDS,
    RESTART_SECONDS_MAX,
    STOP_SECONDS,
    restart_delay_seconds,
    stop_timeout_seconds,
)

COMMANDS = {
    "demo",
    "up",
    "worker",
    "serve",
    "relay",
    "check",
    "tokens",
    "train",
    "predict",
    "enqueue",
    "replay",
    "result",
    "follow",
    "cancel",
    "feed",
    "prices",
    "status",
    "alerts",
    "audit",
    "bets",
    "health",
    "models",
    "fight-log",
    "fight-results",
    "jobs",
    "archive",
    "chains",
    "dead-letters",
    "quarantine",
    "webhooks",
    "schedules",
    "backtest",
    "preflight",
    "set",
    "unset",
    "scale",
    "pause",
    "resume",
    "drain",
    "compression",
}


def test_every_command_is_there_and_documented() -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == ExitCode.OK
    assert set(main.commands) == COMMANDS
    for name in COMMANDS:
        assert f"  {name} " in shown.output
    assert "..." not in shown.output.partition("Commands:")[2]  # no sentence is cut off


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_summary_of_a_command_is_that_of_its_own_help(name: str) -> None:
    assert TABLE[name].summary == main.commands[name].get_short_help_str(limit=200)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_speaks_json_and_tells_its_exit_codes(name: str) -> None:
    shown = CliRunner().invoke(main, [name, "--help"])
    assert shown.exit_code == ExitCode.OK
    assert "--json" in shown.output
    for code, meaning in MEANINGS.items():
        assert f"{code.value}  {meaning}" in shown.output


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)
    # click ends with it when the usage is wrong, so no other meaning is possible.
    assert click.UsageError.exit_code == ExitCode.REFUSED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (job_refused("no"), ExitCode.REFUSED),
        (JobFailedError("j", job_refused("no", FailureCode.WORKER_LOST).failure), ExitCode.FAILED),
        (LedgerUnavailableError("no"), ExitCode.UNAVAILABLE),
        (PermissionDeniedError("no"), ExitCode.UNAVAILABLE),
        (WaitTimeoutError("no"), ExitCode.TIMEOUT),
        (UnknownJobError("no"), ExitCode.UNKNOWN_JOB),
        (UnknownBetError("no"), ExitCode.UNKNOWN_JOB),
        (NotInstalledError("no"), ExitCode.NOT_INSTALLED),
    ],
)
def test_every_error_has_its_exit_code_and_a_typed_document(error: Exception, code: ExitCode) -> None:
    assert exit_code_for(error) is code
    failure = error_document(error)["failure"]
    assert isinstance(failure, dict)
    expected = error.failure.code if isinstance(error, JobRefusedError | JobFailedError) else code.name.lower()
    assert failure["code"] == expected
    assert failure["message"] == "no"


@pytest.mark.parametrize(
    "arguments",
    [
        ["enqueue"],
        ["enqueue", "--format", "american"],
        ["enqueue", "no-such-feed.json", "--format", "american"],
        ["enqueue", "-", "--format", "fractional"],
        ["enqueue", "-"],
        ["enqueue", "-", "--format", "decimal", "--deadline", "2030-01-01T00:00:00"],
        ["enqueue", "--card", "-", "--model", "m"],
        ["train"],
        ["train", ".", "--matrix", "m.csv"],
        ["train", ".", "--weights", "0.5,0.5"],
        ["train", ".", "--out", "model", "--alias", "champion"],
        ["predict", "--model", "model"],
        ["worker", "--pool", "paint"],
        ["result"],
        ["bets", "place", "job", "fight", "--stake", "25.50"],
        ["bets", "place", "job", "fight", "--stake", "0"],
        ["feed", "run"],
        ["feed", "run", "odds-api-history"],
        ["feed", "run", "dump.json"],
        ["no-such-command"],
        ["set"],
        ["set", "bootstrap=off"],
        ["set", "bootstrap=off", "--list"],
        ["set", "--list", "--history"],
        ["unset"],
        ["scale", "2"],
        ["scale", "0", "--pool", "predict"],
        ["scale", "2", "--pool", "paint"],
        ["pause"],
        ["pause", "paint"],
        ["resume"],
        ["drain"],
    ],
)
def test_wrong_usage_is_refused_before_a_server_is_asked(arguments: list[str]) -> None:
    shown = CliRunner().invoke(main, arguments, input="[]", env={"CORNERMAN_REDIS_URL": "redis://127.0.0.1:1/0"})
    assert shown.exit_code == ExitCode.REFUSED
    assert "Error: " in shown.output
    shown = CliRunner().invoke(
        main, [*arguments, "--json"], input="[]", env={"CORNERMAN_REDIS_URL": "redis://localhost:1"}
    )
    assert shown.exit_code == ExitCode.REFUSED
    assert json.loads(shown.stdout)["failure"]["code"] == "refused"


@pytest.mark.parametrize("command", ["train", "backtest"])
def test_the_options_of_a_training_have_the_ranges_of_its_job(command: str) -> None:
    shown = CliRunner().invoke(main, [command, "--help"], terminal_width=200).output
    for option, limits in {"--folds": "3<=x<=50", "--fits": "1<=x<=50", "--forest-trees": "1<=x<=5000"}.items():
        (line,) = [line for line in shown.splitlines() if line.strip().startswith(f"{option} ")]
        assert limits in line
        refused = CliRunner().invoke(main, [command, ".", option, "0"])
        assert refused.exit_code == ExitCode.REFUSED
        assert f"0 is not in the range {limits}" in refused.output


@pytest.mark.parametrize(
    ("quick_exits", "delay_seconds"),
    [
        (0, 0.0),
        (1, 2 * RESTART_SECONDS),
        (2, 4 * RESTART_SECONDS),
        (50, RESTART_SECONDS_MAX),
        (10_000, RESTART_SECONDS_MAX),
    ],
)
def test_a_pool_that_keeps_exiting_is_restarted_ever_more_slowly(quick_exits: int, delay_seconds: float) -> None:
    assert restart_delay_seconds(quick_exits) == delay_seconds


@pytest.mark.parametrize(("text", "more"), [("", 0.0), ("30", 30.0), ("soon", 0.0)])
def test_pools_are_given_the_time_in_which_their_jobs_may_finish(
    text: str, more: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORNERMAN_SHUTDOWN_GRACE_SECONDS", text)
    assert stop_timeout_seconds() == STOP_SECONDS + more
