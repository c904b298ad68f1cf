"""The files of deploy/: checked by the tools of their ecosystems where those are installed, and by the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def documents(name: str) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML, which comes with kubernetes-validate")
    return [*yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())]


@pytest.mark.parametrize("name", ["cornerman.yaml", "feed.yaml", "gateway.yaml"])
def test_kubernetes_accepts_the_manifests(name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    for document in documents(name):
        validate.validate(document, "1.30", strict=True)


def test_the_gateway_is_probed_and_reached_where_it_listens() -> None:
    deployment, service, ingress, _ = documents("gateway.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    settings = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert container["args"] == ["serve"]
    assert container["ports"] == [{"name": "api", "containerPort": int(settings["CORNERMAN_GATEWAY_PORT"] or 0)}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "api"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "api"}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    assert service["spec"]["ports"][0]["targetPort"] == "api"
    (rule,) = ingress["spec"]["rules"]
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == service["metadata"]["name"]
    # The alert rules and KEDA select the job of the pools, which must not have the gateways.
    pools = {
        found["metadata"]["labels"]["app.kubernetes.io/name"]
        for found in documents("cornerman.yaml")
        if "labels" in found["metadata"]
    }
    assert labels["app.kubernetes.io/name"] not in pools


def test_feed_runners_are_scraped_where_they_serve() -> None:
    (deployment,) = documents("feed.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["feed", "run", "odds-api", "--metrics-port", "9467"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 9467}]
    compose = (DEPLOY.parent / "docker-compose.yml").read_text()
    assert '"--metrics-port", "9467"' in compose
    assert re.search(r"names: \[feed\]\n +type: A\n +port: 9467", (DEPLOY / "prometheus/prometheus.yml").read_text())


@pytest.mark.parametrize(("pool", "port"), [("predict", 9464), ("train", 9465)])
def test_pods_are_probed_where_their_pool_serves(pool: str, port: int) -> None:
    deployments = [found for found in documents("cornerman.yaml") if found["kind"] == "Deployment"]
    (deployment,) = (found for found in deployments if found["metadata"]["name"] == f"cornerman-{pool}")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"][:3] == ["worker", "--pool", pool]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    settings = {variable["name"]: variable.get("value") for variable in container["env"]}
    children = int(container["args"][container["args"].index("--concurrency") + 1])
    limit_gb = int(container["resources"]["limits"]["memory"].removesuffix("Gi"))
    assert children * int(settings["CORNERMAN_CHILD_MAX_MEMORY_MB"] or 0) + 256 <= limit_gb * 1024


def test_keda_scales_what_is_deployed_by_the_age_of_the_backlog() -> None:
    (scaled,) = documents("keda.yaml")
    deployments = {found["metadata"]["name"] for found in documents("cornerman.yaml") if found["kind"] == "Deployment"}
    assert scaled["spec"]["scaleTargetRef"]["name"] in deployments
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "prometheus"
    assert "cornerman_queue_oldest_age_seconds" in trigger["metadata"]["query"]
    assert all(isinstance(value, str) for value in trigger["metadata"].values())  # KEDA takes nothing else
    (scrape,) = documents("prometheus-scrape.yml")
    assert f'job="{scrape["scrape_configs"][0]["job_name"]}"' in trigger["metadata"]["query"]
