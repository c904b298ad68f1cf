"""The operations page is complete: every knob, every alert and every check stands in it."""

from __future__ import annotations

import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from ledger.contracts.controls import COMPONENTS, CONTROLS, Control
from ledger.contracts.failures import FailureCode
from ledger.operations.alert_table import ALERT_KINDS, AlertKind
from ledger.settings import LedgerSettings, environment_variable
from producer.cli.commands.preflight import CHECKS
from producer.cli.main import main
from workers.alerts.rules import RULES
from workers.settings import WorkerSettings

PAGE = (Path(__file__).parents[3] / "docs/guides/operators.md").read_text()
SETTINGS = [entry for kind in (LedgerSettings, WorkerSettings) for entry in fields(kind) if entry.name != "ledger"]


def row_of(first: str) -> list[str]:
    """The cells of the one row that begins with a name."""
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{first}` |")]
    assert len(rows) == 1, f"{first} has {len(rows)} rows"
    return [cell.strip() for cell in rows[0].strip("|").split("|")]


@pytest.mark.parametrize("entry", SETTINGS, ids=lambda entry: entry.name)
def test_every_setting_has_its_unit_default_and_reason(entry: Field[Any]) -> None:
    _, unit, default, reason = row_of(environment_variable(entry))
    assert unit
    assert len(reason) > 10
    if entry.default in (None, ""):
        assert default in ("none", "the host's")
    else:
        assert default == f"`{entry.default}`"


def test_no_row_speaks_of_a_setting_that_is_not_there() -> None:
    assert set(re.findall(r"^\| `(CORNERMAN_\w+)`", PAGE, re.MULTILINE)) == {
        environment_variable(entry) for entry in SETTINGS
    }


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_every_control_has_its_unit_bounds_and_reason(control: Control) -> None:
    _, unit, default, bounds, reason = row_of(control.pattern)
    assert len(reason) > 10
    if control.kind is bool:
        assert (unit, default) == ("on, off", "on" if control.default else "off")
    if control.kind is int:
        assert (unit, bounds) == (control.unit, f"{control.min_value:,} to {control.max_value:,}")
    if control.choices:
        assert bounds == ", ".join(control.choices)


def test_every_component_alert_check_and_code_is_named() -> None:
    assert [name for name in COMPONENTS if name not in " ".join(row_of("log_level.COMPONENT"))] == []
    assert [rule.name for rule in RULES if not re.search(rf"\b{rule.name}\b", PAGE)] == []
    assert [name for name in CHECKS if f'"{name}"' not in PAGE] == []
    assert [code for code in FailureCode if f"`{code}`" not in PAGE] == []


@pytest.mark.parametrize("kind", ALERT_KINDS, ids=lambda kind: kind.name)
def test_every_alert_has_a_heading_of_its_own(kind: AlertKind) -> None:
    assert PAGE.splitlines().count(f"### {kind.name}") == 1


def test_every_command_on_the_page_is_there() -> None:
    named = set(re.findall(r"`cornerman ([a-z-]+)", PAGE))
    assert named
    assert named <= set(main.commands)
