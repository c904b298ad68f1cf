"""The commands `models list`, `show`, `diff`, `history`, `rollback`: what they show, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger.ledger import Ledger
from producer.cli.main import main
from producer.output.exit_codes import ExitCode

A, B = "a" * 64, "ab" * 32
BY = {"user": "ann@desk", "reason": "a test"}
WHY = ("--reason", "worse on Saturday")

pytestmark = pytest.mark.usefixtures("command_environment")


def summary(seed: int, log_loss: float) -> dict[str, Any]:
    return {
        "data": {"digest": "d" * 64, "cutoff": "2024-12-14", "fights": 900, "events": 80},
        "config": {"seed": seed, "fits": 5, "model_weights": {"xgboost": 0.35}},
        "metrics": {"log_loss": log_loss},
        "versions": {"numpy": "2.0"},
        "bootstrap_samples": 100,
    }


@pytest.fixture
def book(ledger: Ledger) -> Ledger:
    for digest, known in ((A, summary(1, 0.65)), (B, summary(2, 0.64))):
        ledger.models.register(digest, known)
    for digest in (A, B):
        ledger.aliases.set("champion", digest, user="ann@desk", reason=f"to {digest[:2]}")
    audit = {"user": "job 7", "reason": "trained", "evidence": {"training": "7"}}
    ledger.aliases.move("challenger", A, verify=lambda _: None, **audit)
    return ledger


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments], catch_exceptions=False)


def document(*arguments: str, code: ExitCode = ExitCode.OK) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_without_a_word_and_with_list_the_models_are_listed(book: Ledger) -> None:
    assert document() == document("list") == {"models": book.models.all()}
    shown = run()
    assert shown.exit_code == ExitCode.OK
    assert all(text in shown.stdout for text in (A[:12], B[:12], "champion", "2024-12-14", "0.65"))
    assert "d" * 64 not in shown.stdout


def test_an_empty_registry_says_what_to_do(ledger: Ledger) -> None:
    assert document("list") == {"models": []}
    assert "cornerman train" in run().stderr
    assert "no alias" in document("show", "champion", code=ExitCode.REFUSED)["failure"]["message"]


@pytest.mark.parametrize("name", ["champion", B, B[:3]])
def test_a_model_is_shown_by_any_of_its_names(book: Ledger, name: str) -> None:
    shown = document("show", name)
    assert (shown["digest"], shown["aliases"]) == (B, ["champion"])
    assert shown["summary"] == summary(2, 0.64)
    assert [change["after"] for change in shown["history"]] == [B]
    text = run("show", name).stdout
    assert all(part in text for part in (B, "config.model_weights.xgboost", "versions.numpy", "to ab"))


def test_what_names_several_models_names_none(book: Ledger) -> None:
    message = document("show", "a", code=ExitCode.REFUSED)["failure"]["message"]
    assert "2 models' digests" in message
    assert A[:12] in message


def test_the_difference_of_two_models_is_what_differs(book: Ledger) -> None:
    found = document("diff", "challenger", "champion")
    assert (found["one"], found["other"]) == (A, B)
    assert found["differences"] == {"config.seed": [1, 2], "metrics.log_loss": [0.65, 0.64]}
    assert "metrics.log_loss" in run("diff", A, B).stdout
    assert "No difference" in run("diff", A, "challenger").stderr


def test_the_history_is_of_one_alias_or_of_all(book: Ledger) -> None:
    book.controls.set({"bootstrap": False}, **BY)
    assert [entry["name"] for entry in document("history")["history"]] == ["model.challenger", *["model.champion"] * 2]
    entries = document("history", "champion")["history"]
    assert [(entry["before"], entry["after"]) for entry in entries] == [(A, B), (None, A)]
    assert len(document("history", "--limit", "1")["history"]) == 1
    assert document("history", "challenger")["history"][0]["evidence"] == {"training": "7"}
    assert all(text in run("history").stdout for text in ("by its training", "set by hand", "job 7"))
    assert "has never named a model" in run("history", "nobody").stderr


@pytest.mark.usefixtures("prover")
def test_a_rollback_goes_back_and_says_so(book: Ledger, until: Callable[..., None]) -> None:
    change = document("rollback", *WHY)["change"]
    assert (change["before"], change["after"], change["why"]) == (B, A, "worse on Saturday")
    assert book.aliases.resolve("champion") == A
    assert "rolled back" in run("history", "champion").stdout
    failure = document("rollback", *WHY, code=ExitCode.REFUSED)["failure"]
    assert "its earlier models: none" in failure["message"]
    failure = document("rollback", "--alias", "challenger", "--to", B[:4], *WHY, code=ExitCode.REFUSED)["failure"]
    assert "models promote" in failure["message"]


def test_a_rollback_says_why_and_needs_a_worker(book: Ledger) -> None:
    assert run("rollback").exit_code == ExitCode.REFUSED
    failure = document("rollback", *WHY, "--timeout", "0.2", code=ExitCode.TIMEOUT)["failure"]
    assert "cornerman up" in failure["message"]
    assert book.aliases.resolve("champion") == B
