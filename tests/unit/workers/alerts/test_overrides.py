from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.operations.alert_overrides import apply_overrides
from workers.alerts.rules import RULES, rule_file
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[4]


def test_without_changes_the_table_stands() -> None:
    assert apply_overrides(RULES, "") == apply_overrides(RULES, " , ") == RULES


def test_what_is_named_is_changed_and_all_else_stays() -> None:
    changed = {
        rule.name: rule for rule in apply_overrides(RULES, "HighUncertainty=0.5, OldestJobWaits = 120/5 ,PoolDown=off")
    }
    before = {rule.name: rule for rule in RULES}
    assert (changed["HighUncertainty"].threshold, changed["HighUncertainty"].for_seconds) == (0.5, 0.0)
    assert (changed["OldestJobWaits"].threshold, changed["OldestJobWaits"].for_seconds) == (120.0, 5.0)
    assert before.keys() - changed.keys() == {"PoolDown"}
    assert {name for name, rule in changed.items() if rule != before[name]} == {"HighUncertainty", "OldestJobWaits"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ("NoSuchAlert=1", "there is no alert 'NoSuchAlert', only HighMemory, "),
        ("HighMemory", "write a threshold"),
        ("HighMemory=much", "invalid override 'HighMemory=much'"),
        ("HighMemory=0.8/soon", "write a threshold"),
        ("HighMemory=nan", "write a threshold"),
        ("HighMemory=0.8/-1", "write a threshold"),
        ("HighMemory=0.8,HighMemory=0.7", "twice"),
    ],
)
def test_what_changes_nothing_is_refused_before_a_pool_starts(changes: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        WorkerSettings.from_env({"CORNERMAN_ALERTS": changes})


def test_prometheus_is_given_the_table_as_changed() -> None:
    changes = "OldestJobWaits=120/5,PoolDown=off"
    printed = subprocess.run(
        [sys.executable, "-m", "workers.alerts.rules"],
        cwd=ROOT,
        env={**os.environ, "CORNERMAN_ALERTS": changes},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert printed == rule_file(apply_overrides(RULES, changes))
    assert '{queue=\\"predict\\"}) > 120"\n        for: 5s' in printed
    assert "PoolDown" not in printed
