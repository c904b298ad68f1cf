"""The tables of docs/reference/metrics-alerts.md say what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter, Histogram

from ledger.contracts.controls import COMPONENTS
from ledger.operations.alert_table import ALERT_KINDS, AlertKind
from producer.operations.alerts import COMPUTED
from workers.alerts.evaluation import AlertRule, promql_duration
from workers.alerts.rules import RULES
from workers.logs.schema import LogLine
from workers.observability.metrics import GAUGES, Metrics
from workers.observability.readiness import PoolSnapshot, readiness
from workers.pool.event_pipe import SelfTestResult

DOCUMENT = (Path(__file__).parents[3] / "docs/reference/metrics-alerts.md").read_text()
LINES = DOCUMENT.splitlines()


def metric_rows() -> Iterator[str]:
    """A row for each metric, counted ones first."""
    registry = Metrics(["predict"]).registry
    for metric in registry._collector_to_names:
        if isinstance(metric, Counter | Histogram):
            (family,) = metric.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            yield metric_row(name, family.type, metric._labelnames, family.documentation)
    yield metric_row(
        "cornerman_interval_width", "summary", ("level",), "Mean width of a card's intervals of this level"
    )
    for name, gauge in GAUGES.items():
        yield metric_row(name, "gauge", gauge.labels, gauge.help)


def metric_row(name: str, kind: str, labels: tuple[str, ...], meaning: str) -> str:
    unit = next((unit for unit in ("seconds", "bytes") if name.endswith(f"_{unit}")), "")
    return f"| `{name}` | {kind} | {', '.join(labels)} | {unit} | {meaning} |"


def alert_row(rule: AlertRule) -> str:
    condition = rule.promql().replace("|", "\\|")
    link = f"[`{rule.name}`](../guides/operators.md#{rule.name.lower()})"
    return f"| {link} | `{condition}` | {promql_duration(rule.for_seconds)} | {rule.severity} | {rule.action} |"


@pytest.mark.parametrize("row", [*metric_rows()], ids=lambda row: row.split("`")[1])
def test_every_metric_has_its_line(row: str) -> None:
    assert row in LINES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_alert_has_its_line(rule: AlertRule) -> None:
    assert alert_row(rule) in LINES


COMPUTED_ONLY = [kind for kind in ALERT_KINDS if kind.name not in {rule.name for rule in RULES}]


@pytest.mark.parametrize("kind", COMPUTED_ONLY, ids=lambda kind: kind.name)
def test_every_alert_of_the_ledger_alone_has_its_line(kind: AlertKind) -> None:
    (line,) = [
        line
        for line in LINES
        if line.startswith(f"| {kind.severity} | [`{kind.name}`](../guides/operators.md#{kind.name.lower()}) |")
    ]
    assert line.endswith(f"| {kind.action} |")
    assert kind.name in COMPUTED


def test_no_line_speaks_of_what_is_not_there() -> None:
    told = set(re.findall(r"^\| `(\w+)` \| (?:gauge|counter|histogram|summary) ", DOCUMENT, re.MULTILINE))
    assert told == {row.split("`")[1] for row in metric_rows()}
    assert len(
        [line for line in LINES if line.startswith("| [`") and ("| warning |" in line or "| critical |" in line)]
    ) == len(RULES)


def test_checks_parts_and_fields_are_named() -> None:
    everything = PoolSnapshot(predicts=True, self_test_age_seconds=0.0, self_test=SelfTestResult([]))
    names = {check.name for check in readiness(everything)} | {"model_loaded", "prediction"}
    assert set(re.findall(r"^\| `(\w+)` \| [^|]* \|$", DOCUMENT, re.MULTILINE)) >= names
    assert all(f"`{component}`" in DOCUMENT for component in COMPONENTS)
    assert all(f"`{field}`" in DOCUMENT for field in LogLine.__struct_fields__)
