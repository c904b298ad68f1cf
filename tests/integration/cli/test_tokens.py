from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode

Run = Callable[..., Result]


@pytest.fixture
def run(command_environment: None) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["tokens", *arguments], catch_exceptions=False)


def document(result: Result) -> Any:
    assert result.exit_code == ExitCode.OK, result.output
    return json.loads(result.stdout)


def test_the_text_of_a_token_is_all_that_stdout_gets_and_only_once(run: Run, ledger: Ledger) -> None:
    made = run("create", "odds-east", "--role", "producer", "--days", "30", "--reason", "new feed")
    text = made.stdout.strip()
    found = ledger.tokens.verify(text)
    assert found is not None
    assert (found.caller, found.role) == ("odds-east", "producer")
    secret = text.split("_", 2)[2]
    assert secret not in made.stderr
    for command in (("list",), ("list", "--json"), ("history",), ("history", "--json")):
        shown = run(*command)
        assert secret not in shown.output
        assert found.token_id in shown.output


def test_a_token_is_listed_limited_and_revoked(run: Run, ledger: Ledger) -> None:
    assert "No tokens" in run("list").output
    options = ("--rate", "5", "--jobs-per-day", "100", "--json")
    made = document(run("create", "odds-east", "--role", "reader", *options))
    assert made["token"]["limits"] == {"requests_per_second": 5.0, "burst": 5, "jobs_per_day": 100}
    assert document(run("limit", "odds-east", "--rate", "2", "--burst", "7", "--json"))["limits"] == {
        "requests_per_second": 2.0,
        "burst": 7,
    }
    (listed,) = document(run("list", "--json"))["tokens"]
    assert listed["limits"] == {"requests_per_second": 2.0, "burst": 7}
    assert document(run("limit", "odds-east", "--json"))["limits"] == {}
    token_id = made["token"]["token_id"]
    assert document(run("revoke", token_id, "--json")) == {"revoked": [{"token": token_id, "revoked": True}]}
    assert document(run("revoke", token_id, "--json")) == {"revoked": [{"token": token_id, "revoked": False}]}
    assert ledger.tokens.verify(made["text"]) is None
    assert "revoked" in run("list").output
    assert [change["what"] for change in document(run("history", "--json"))["changes"]] == [
        "revoked",
        "limited",
        "limited",
        "limited",
        "created",
    ]


def test_what_is_asked_for_wrongly_is_refused(command_environment: None, ledger: Ledger) -> None:
    for arguments in (
        ("create", "two words", "--role", "reader"),
        ("create", "odds-east"),
        ("create", "odds-east", "--role", "king"),
        ("create", "odds-east", "--role", "reader", "--burst", "3"),
        ("revoke", "0123456789ab"),
    ):
        assert CliRunner().invoke(main, ["tokens", *arguments]).exit_code != ExitCode.OK
    assert not ledger.tokens.exist()
