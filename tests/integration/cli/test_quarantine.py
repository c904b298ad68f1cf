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
    return lambda *arguments: CliRunner().invoke(main, ["quarantine", *arguments], catch_exceptions=False)


def document(result: Result) -> Any:
    assert result.exit_code == ExitCode.OK, result.output
    return json.loads(result.stdout)


def test_odd_items_are_shown_without_their_effects_and_purged(run: Run, ledger: Ledger) -> None:
    assert document(run("list", "--json")) == {"quarantine": []}
    assert "The quarantine is empty" in run("list").output
    ledger.quarantine.add("predict", b"\x1b[2Jcos\nsystem")
    ledger.quarantine.add("train", b"x" * 5000)
    listed = document(run("list", "--json"))["quarantine"]
    assert [(row["queue"], row["bytes"]) for row in listed] == [("predict", 14), ("train", 5000)]
    assert listed[0]["item"] == r"b'\x1b[2Jcos\nsystem'"
    shown = run("list").output
    assert "\x1b[2J" not in shown
    assert len(shown) < 3000
    assert document(run("purge", "--json")) == {"purged": 2}
    assert ledger.quarantine.items("predict") == ledger.quarantine.items("train") == []
    assert "0 purged" in run("purge").output
