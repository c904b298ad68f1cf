"""The files of deploy/: checked by the tools of their ecosystems where those are installed, and by the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.observability.metrics import GAUGES, Metrics

DEPLOY = Path(__file__).parents[3] / "deploy"
PROMTOOL = shutil.which("promtool") or ""
SYSTEMD_ANALYZE = shutil.which("systemd-analyze") or ""
UNITS = ("cornerman@predict", "cornerman@train", "cornerman@monitor", "cornerman-gateway", "cornerman-feed")
MOST_EXPOSED = 25  # of 100, as systemd-analyze counts


def served() -> set[str]:
    """Every name that a query can use."""
    names = {"up", "ALERTS"}
    for family in Metrics(["predict", "train", "monitor"]).registry._names_to_collectors:
        names.add(family)
    return names


def dashboard_queries() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana/cornerman.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [query.replace("$__rate_interval", "1m").replace("$job", "cornerman") for query in queries]


def queries() -> Iterator[tuple[str, str]]:
    """Each PromQL expression of the rule file, the dashboard and KEDA, with the file that has it."""
    for query in dashboard_queries():
        yield "dashboard", query
    for query in re.findall(r'^ +expr: (".*")$', (DEPLOY / "prometheus/cornerman.rules.yml").read_text(), re.MULTILINE):
        yield "rules", json.loads(query)
    for query in re.findall(r"^ +query: (.*)$", (DEPLOY / "kubernetes/keda.yaml").read_text(), re.MULTILINE):
        yield "keda", query


def test_every_metric_that_is_asked_for_is_one_of_ours() -> None:
    asked = {name for _, query in queries() for name in re.findall(r"\b(cornerman_\w+|up|ALERTS)\b", query)}
    assert asked - served() == set()
    assert {source for source, _ in queries()} == {"dashboard", "rules", "keda"}


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for query in dashboard_queries() for name in re.findall(r"cornerman_\w+", query)}
    counted = {
        family.name for family in Metrics(["predict"]).registry.collect() if family.name.startswith("cornerman_")
    }
    suffix = re.compile("_(total|bucket|sum|count)$")
    assert (counted | set(GAUGES)) - {suffix.sub("", name) for name in shown} == {
        "cornerman_telemetry_dropped",
        "cornerman_ledger_up",  # an alert
        "cornerman_server_evicts",  # an alert
        "cornerman_pool_info",  # in the variable that chooses the fleet
    }


@pytest.mark.skipif(not PROMTOOL, reason="needs promtool (Debian: prometheus)")
def test_prometheus_accepts_its_configuration_and_every_query(tmp_path: Path) -> None:
    rules = tmp_path / "queries.yml"
    records = [
        f"    - {{record: 'q{number}', expr: {json.dumps(query)}}}" for number, (_, query) in enumerate(queries())
    ]
    rules.write_text("\n".join(["groups:", "- name: queries", "  rules:", *records]))
    shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    (tmp_path / "prometheus" / "gateway-token").write_text("a token")  # which operators make
    for command in (["check", "config", str(tmp_path / "prometheus/prometheus.yml")], ["check", "rules", str(rules)]):
        done = subprocess.run([PROMTOOL, *command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not SYSTEMD_ANALYZE, reason="needs systemd-analyze")
@pytest.mark.parametrize(
    "name", ["cornerman@predict", "cornerman@train", "cornerman@monitor", "cornerman-gateway", "cornerman-feed"]
)
def test_systemd_accepts_the_unit_and_finds_it_closed(name: str, tmp_path: Path) -> None:
    template = re.sub("@.*", "@", name)
    text = (DEPLOY / f"systemd/{template}.service").read_text()
    assert "/opt/cornerman/bin/cornerman" in text
    unit = tmp_path / f"{name}.service"
    unit.write_text(text.replace("/opt/cornerman/bin/cornerman", sys.executable))  # which is there
    verified = subprocess.run([SYSTEMD_ANALYZE, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    security = ["security", "--offline=yes", f"--threshold={MOST_EXPOSED}", str(unit)]
    found = subprocess.run([SYSTEMD_ANALYZE, *security], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stdout
