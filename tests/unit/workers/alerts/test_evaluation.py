from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.alert_situations import MINUTES, SITUATIONS, Situation
from workers.alerts.evaluation import (
    AlertEvaluator,
    AlertRule,
    AlertTransition,
    Gauge,
    Increase,
    Labels,
    MetricHistory,
    Series,
    metric_names,
    promql_duration,
)
from workers.alerts.rules import RULES, rule_file

ROOT = Path(__file__).parents[4]
RULE_FILE = ROOT / "deploy/prometheus/cornerman.rules.yml"
PROMTOOL = shutil.which("promtool") or ""
TARGET = {"job": "cornerman", "instance": "ringside:9464"}  # what Prometheus adds to what it reads


def split(series: str) -> tuple[str, dict[str, str]]:
    name, _, labels = series.partition("{")
    return name, dict(re.findall(r'(\w+)="([^"]*)"', labels))


def readings(situation: Situation) -> list[dict[str, dict[Labels, float]]]:
    minutes: list[dict[str, dict[Labels, float]]] = [defaultdict(dict) for _ in range(MINUTES)]
    for series, course in situation.series.items():
        name, labels = split(series)
        if name == "up":
            labels = labels | TARGET  # a series of Prometheus' own
        for reading, value in zip(minutes, course, strict=True):
            reading[name][tuple(sorted(labels.items()))] = value
    return minutes


def fired(situation: Situation) -> list[str]:
    judge = AlertEvaluator(RULES)
    for minute, reading in enumerate(readings(situation)):
        judge.evaluate(reading, 60.0 * minute)
    return judge.firing


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda s: f"{s.alert}-{'fires' if s.fires else 'keeps still'}")
def test_the_pool_judges_as_it_should(situation: Situation) -> None:
    assert (situation.alert in fired(situation)) == situation.fires


def test_every_rule_has_situations_in_which_it_fires_and_keeps_still() -> None:
    for fires in (True, False):
        assert {situation.alert for situation in SITUATIONS if situation.fires is fires} == {
            rule.name for rule in RULES
        }


def test_the_rule_file_is_the_table() -> None:
    assert RULE_FILE.read_text() == rule_file(RULES), "python -m workers.alerts.rules > deploy/prometheus/..."
    printed = subprocess.run(
        [sys.executable, "-m", "workers.alerts.rules"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert printed.stdout == rule_file(RULES)


@pytest.mark.slow
@pytest.mark.skipif(not PROMTOOL, reason="needs promtool (Debian: prometheus)")
def test_prometheus_accepts_the_rules_and_judges_as_the_pool_does(tmp_path: Path) -> None:
    subprocess.run([PROMTOOL, "check", "rules", str(RULE_FILE)], check=True, capture_output=True, timeout=60)
    lines = [f"rule_files: [{RULE_FILE}]", "evaluation_interval: 1m", "tests:"]
    for situation in SITUATIONS:
        lines += ["  - interval: 1m", "    input_series:"]
        for series, course in situation.series.items():
            name, labels = split(series)
            pairs = ",".join(f'{key}="{value}"' for key, value in (labels | TARGET).items())
            lines.append(
                f"      - {{series: '{name}{{{pairs}}}', values: '{' '.join(f'{value:g}' for value in course)}'}}"
            )
        lines.append("    promql_expr_test:")
        count = 1 if situation.fires else 0
        alerts = f'count(ALERTS{{alertname="{situation.alert}",alertstate="firing"}}) or vector(0)'
        lines.append(f"      - {{expr: '{alerts}', eval_time: {MINUTES - 1}m, exp_samples: [{{value: {count}}}]}}")
    file = tmp_path / "situations.yml"
    file.write_text("\n".join(lines))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rule(for_seconds: float) -> AlertRule:
    return AlertRule(
        name="Waits",
        expression=Gauge(Series("waiting"), ("job", "queue")),
        threshold=5,
        for_seconds=for_seconds,
        severity="warning",
        summary="it waits",
        action="help",
    )


def waiting(**queues: float) -> dict[str, dict[Labels, float]]:
    return {"waiting": {(("queue", name),): value for name, value in queues.items()}}


def said(changes: list[AlertTransition]) -> list[tuple[str, bool, float]]:
    return [(dict(change.labels)["queue"], change.firing, change.value) for change in changes]


def test_an_alert_is_told_once_when_it_begins_and_once_when_it_is_over() -> None:
    judge = AlertEvaluator([rule(for_seconds=60)])
    assert judge.evaluate(waiting(a=6, b=1), 0) == []  # pending
    assert judge.evaluate(waiting(a=4, b=1), 30) == []  # over before it fired
    assert judge.evaluate(waiting(a=6, b=1), 60) == []
    assert said(judge.evaluate(waiting(a=7, b=9), 120)) == [("a", True, 7)]
    assert judge.firing == ["Waits"]
    assert said(judge.evaluate(waiting(a=8, b=9), 180)) == [("b", True, 9)]
    assert said(judge.evaluate(waiting(a=1, b=9), 240)) == [("a", False, 8)]
    assert said(judge.evaluate({}, 300)) == [("b", False, 9)]  # nothing is known any more
    assert judge.firing == []


def test_what_fires_says_what_to_do_and_nothing_secret() -> None:
    (change,) = AlertEvaluator([rule(for_seconds=0)]).evaluate(waiting(a=6), 0)
    assert change.fields() == {
        "alert": "Waits",
        "severity": "warning",
        "value": 6,
        "threshold": 5,
        "labels": {"queue": "a"},
        "summary": "it waits",
        "action": "help",
    }


def test_a_window_begins_with_the_pool_and_moves_on() -> None:
    history = MetricHistory(["jobs"])
    grown = Increase(Series("jobs"), ("job",), 600.0)
    for minute in range(61):
        history.add(60.0 * minute, {"jobs": {(): float(minute)}})
        assert grown.value(history) == {(): min(minute, 10)}


def test_a_day_is_remembered_in_steps_of_ten_minutes() -> None:
    history = MetricHistory(["jobs"])
    for minute in range(30 * 60):
        history.add(60.0 * minute, {"jobs": {(): float(minute)}, "others": {(): 1.0}})
    before = history.oldest_within(86_400.0)
    assert 30 * 60 - 24 * 60 - 1 <= before["jobs"][()] <= 30 * 60 - 24 * 60 + 10
    assert set(before) == {"jobs"}
    assert len(history._fine) + len(history._coarse) < 61 + 145


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (30, "30s"), (60, "1m"), (900, "15m"), (5400, "90m")])
def test_times_are_spelled_for_prometheus(seconds: float, text: str) -> None:
    assert promql_duration(seconds) == text


def test_rules_have_names_of_their_own_and_read_metrics() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all([*metric_names(rule.expression)] for rule in RULES)
