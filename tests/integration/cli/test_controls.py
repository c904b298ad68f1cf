from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.contracts.controls import CONTROLS, Controls
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode

Run = Callable[..., Result]
WHY = ("--reason", "a test")
OLD, NEW = "a" * 64, "ab" * 32


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, [*arguments], catch_exceptions=False)


def document(result: Result, code: ExitCode = ExitCode.OK) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_a_control_is_set_listed_told_of_and_unset(run: Run, ledger: Ledger) -> None:
    (change,) = document(run("set", "bootstrap=off", *WHY, "--json"))["changes"]
    assert (change["name"], change["before"], change["after"], change["why"]) == ("bootstrap", None, "off", "a test")
    assert change["who"] == f"{getpass.getuser()}@{socket.gethostname()}"
    listed = {row["name"]: row for row in document(run("set", "--list", "--json"))["controls"]}
    assert (listed["bootstrap"]["value"], listed["bootstrap"]["default"]) == ("off", "on")
    assert listed["bootstrap"]["set_by"] == change["who"]
    assert {control.pattern for control in CONTROLS} == set(listed)
    document(run("unset", "bootstrap", "--user", "bob", "--json"))
    assert ledger.controls.current() == Controls()
    history = document(run("set", "--history", "--json"))["changes"]
    assert [(entry["who"], entry["after"]) for entry in history] == [("bob", None), (change["who"], "off")]
    shown = run("set", "--history").stdout
    assert all(text in shown for text in ("bob", "bootstrap", "off", "a test"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["set", "speed=1", *WHY], "pause.QUEUE"),
        (["set", "max_threads", *WHY], "NAME=VALUE"),
        (["set", "max_threads=0", *WHY], "from 1 to"),
        (["set", "bootstrap=off", "speed=1", *WHY], "no control is named 'speed'"),
        (["set", "min_children.predict=4", "max_children.predict=2", *WHY], "above max_children"),
        (["set", "model.champion=abc", *WHY], "0 models' digests; the models are none"),
        (["unset", "speed"], "no control is named 'speed'"),
        (["unset", "model.champion"], "has no default"),
        (["drain", "nowhere"], "no pool is alive at 'nowhere'"),
        (["resume", "two words"], "no control is named"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    run: Run, ledger: Ledger, arguments: list[str], message: str
) -> None:
    failure = document(run(*arguments, "--json"), ExitCode.REFUSED)["failure"]
    assert failure["code"] == "invalid_input"
    assert message in failure["message"]
    assert (ledger.controls.current(), ledger.controls.changes()) == (Controls(), [])


def test_a_change_that_expects_something_else_fails(run: Run, ledger: Ledger) -> None:
    document(run("set", "max_threads=2", "--expect", "max_threads=", *WHY, "--json"))
    failure = document(run("set", "max_threads=1", "--expect", "max_threads=", *WHY, "--json"), ExitCode.FAILED)
    assert "max_threads is 2 by now" in failure["failure"]["message"]
    document(run("set", "max_threads=1", "--expect", "max_threads=2", *WHY, "--json"))
    assert ledger.controls.current().number("max_threads") == 1


@pytest.mark.usefixtures("prover")
def test_an_alias_is_moved_to_the_one_model_that_begins_so(run: Run, ledger: Ledger) -> None:
    for digest in (OLD, NEW):
        ledger.models.register(digest, {})
    ledger.aliases.set("champion", OLD)
    document(run("set", "model.champion=ab", *WHY, "--json"))
    assert ledger.aliases.resolve("champion") == NEW
    failure = document(run("set", "model.champion=a", *WHY, "--json"), ExitCode.REFUSED)["failure"]
    assert "2 models' digests" in failure["message"]
    assert NEW[:12] in failure["message"]
    listed = {row["name"]: row["value"] for row in document(run("set", "--list", "--json"))["controls"]}
    assert listed["model.champion"] == NEW
    assert NEW[:12] in run("set", "--history").stdout


def test_scale_pause_and_resume_are_controls_too(run: Run, ledger: Ledger) -> None:
    document(run("scale", "3", "--pool", "predict", "--json"))
    document(run("pause", "train", "--json"))
    given = {"min_children.predict": 3, "max_children.predict": 3, "pause.train": True}
    assert ledger.controls.current() == Controls(dict(given))
    assert {change.why for change in ledger.controls.changes()} == {"not given"}
    document(run("resume", "train", *WHY, "--json"))
    assert not ledger.controls.current().flag("pause.train")
    again = run("resume", "train", "--json")
    assert document(again) == {"changes": []}
    assert "neither paused nor drained" in again.stderr


def test_a_drain_waits_for_what_runs(
    run: Run, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    start_pool(concurrency=1, CORNERMAN_NODE="a", CORNERMAN_HEARTBEAT_SECONDS="0.2")
    running = ledger.submit(CheckHealth(nonce="until_gate")).job_id
    until(lambda: ledger.status(running).progress)
    until(lambda: any(pool["busy"] == 1 for pool in ledger.pools.alive()))
    late = document(run("drain", "predict@a", "--wait", "--timeout", "0.1", "--json"), ExitCode.TIMEOUT)
    assert "jobs still run in a#" in late["failure"]["message"]
    ledger.submit(CheckHealth(nonce="gate"), key="gate")
    (change,) = document(run("drain", "predict@a", "--wait", "--json"))["changes"]
    assert change["name"] == "drain.predict@a"
    assert ledger.status(running).state.final
    document(run("resume", "predict@a", "--json"))
    assert ledger.wait("gate", 30).attempt == 1
