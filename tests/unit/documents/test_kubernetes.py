"""The manifests of deploy/kubernetes: by the schemas, by a linter, with each other, and with the code that they run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.__main__ import SHUTDOWN_SECONDS
from gateway.settings import GatewaySettings
from gateway.webhooks.relay import STOP_SECONDS as RELAY_STOP_SECONDS
from ledger.settings import LedgerSettings, environment_variable
from producer.cli.main import main
from producer.feed_runner.settings import FeedSettings
from producer.service.service_process import STOP_SECONDS
from tests.support.kubernetes_manifests import (
    FOLDER,
    NAME,
    OVERLAYS,
    WORKLOADS,
    Manifest,
    containers,
    documents,
    manifests,
    of_kind,
    pod_labels,
    pod_spec,
    probe_paths,
    selects,
    variables,
    workload,
)
from tests.support.node import NODE, NODE_MODULES
from workers.settings import WorkerSettings

CHECKOV = shutil.which("checkov") or str(FOLDER.parents[1] / "build" / "checkov" / "bin" / "checkov")
KUBECTL = shutil.which("kubectl") or ""
GUIDE = (FOLDER.parents[1] / "docs" / "guides" / "kubernetes.md").read_text()
SETTINGS = (LedgerSettings, WorkerSettings, GatewaySettings, FeedSettings)
UNWANTED = {
    "CKV_K8S_11": "limits of the processor would slow down a pool that has an idle node to itself; requests share it",
    "CKV_K8S_15": "the tag of an image is never moved",
    "CKV_K8S_35": "settings, and so the server's URL, are environment variables",
    "CKV_K8S_43": "the digest depends on who builds the image",
}
"""Checks of the linter that are left out, and why."""

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def workloads(overlay: str = "sentinel") -> list[Manifest]:
    return of_kind(manifests(overlay), *WORKLOADS)


def of_the_ledger() -> list[Manifest]:
    """Workloads that are connected with the server."""
    return of_kind(manifests("managed"), *WORKLOADS)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_the_schemas_of_kubernetes_accept_the_manifests(version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    for manifest in [*manifests("sentinel"), *documents("managed/network.yaml")]:
        validate.validate(manifest, version, strict=True)


@pytest.mark.slow
@pytest.mark.skipif(not Path(CHECKOV).exists(), reason="needs checkov, in build/checkov: see .ci/run")
def test_the_linter_finds_nothing() -> None:
    options = ["--framework", "kubernetes", "--compact", "--quiet", "--skip-download", "--output", "json"]
    asked = [CHECKOV, "--directory", str(FOLDER), *options, "--skip-check", ",".join(UNWANTED)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    report = json.loads(done.stdout)
    found = [(each["check_id"], each["resource"]) for each in report["results"]["failed_checks"]]
    assert (found, report["summary"]["parsing_errors"]) == ([], 0)
    assert report["summary"]["passed"] > 100


@pytest.mark.skipif(
    not (NODE and (NODE_MODULES / "@kubernetes-models" / "keda").exists()),
    reason="needs node, and @kubernetes-models/keda from npm in build/node: see .ci/run",
)
def test_the_schema_of_keda_accepts_the_scaled_object() -> None:
    program = (
        'import {readFileSync} from "node:fs";'
        'import {ScaledObject} from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";'
        "new ScaledObject(JSON.parse(readFileSync(0))).validate()"
    )
    (scaled,) = documents("keda.yaml")
    asked = [NODE, "--input-type=module", "--eval", program]
    done = subprocess.run(
        asked, input=json.dumps(scaled), cwd=NODE_MODULES, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not KUBECTL, reason="needs kubectl")
@every_overlay
def test_kubectl_applies_what_these_tests_read(overlay: str) -> None:
    yaml = pytest.importorskip("yaml")
    done = subprocess.run([KUBECTL, "kustomize", str(FOLDER / overlay)], capture_output=True, check=True, timeout=60)

    def in_order(found: Iterator[Manifest] | list[Manifest]) -> list[Manifest]:
        return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))

    assert in_order(yaml.safe_load_all(done.stdout)) == in_order(manifests(overlay))


@every_overlay
def test_everything_is_in_the_namespace_which_refuses_privileges(overlay: str) -> None:
    (namespace,) = of_kind(manifests(overlay), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    named = {each["metadata"].get("namespace") for each in manifests(overlay) if each is not namespace}
    assert named - {None} == {namespace["metadata"]["name"]}


@every_overlay
def test_every_selector_selects_pods_that_have_the_named_ports(overlay: str) -> None:
    def chosen(selector: Manifest) -> list[Manifest]:
        return [each for each in workloads(overlay) if selects(selector, pod_labels(each))]

    def ports(selector: Manifest) -> set[str]:
        return {
            port["name"] for each in chosen(selector) for container in containers(each) for port in container["ports"]
        }

    for each in workloads(overlay):
        assert [found["metadata"]["name"] for found in chosen(each["spec"]["selector"])] == [each["metadata"]["name"]]
    for service in of_kind(manifests(overlay), "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports(service["spec"]["selector"])
    for policy in of_kind(manifests(overlay), "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        assert not selector or chosen(selector)
        for rule in policy["spec"].get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= ports(selector)
    for budget in of_kind(manifests(overlay), "PodDisruptionBudget"):
        assert [found["metadata"]["name"] for found in chosen(budget["spec"]["selector"])] == [
            budget["metadata"]["name"]
        ]


def test_probes_ask_for_paths_that_are_served() -> None:
    """Tests of the pools, the gateway, the relay and the feed runner ask real ones for these paths."""
    for name in ("predict", "train", "monitor", "gateway", "relay"):
        assert probe_paths(f"cornerman-{name}") == {"/healthz", "/readyz"}
    assert probe_paths("cornerman-feed") == {"/metrics"}


@every_overlay
def test_probes_ask_at_ports_of_their_container(overlay: str) -> None:
    for each in workloads(overlay):
        for container in containers(each):
            probes = [container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
            asked = {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe}
            assert asked <= {port["name"] for port in container["ports"]}


def test_more_than_one_pod_is_protected_from_being_evicted_at_once() -> None:
    budgets = {each["metadata"]["name"] for each in of_kind(manifests("sentinel"), "PodDisruptionBudget")}
    (scaled,) = documents("keda.yaml")
    several = {each["metadata"]["name"] for each in workloads() if each["spec"].get("replicas", 1) > 1}
    assert budgets == several | {scaled["spec"]["scaleTargetRef"]["name"]}


def test_what_is_read_from_elsewhere_is_there_or_the_guide_says_how_it_is_made() -> None:
    found = manifests("sentinel")
    maps = {each["metadata"]["name"] for each in of_kind(found, "ConfigMap")}
    claims = {each["metadata"]["name"] for each in of_kind(found, "PersistentVolumeClaim")}
    assert not of_kind(found, "Secret")
    for each in workloads():
        for volume in pod_spec(each)["volumes"]:
            assert volume.get("configMap", {"name": "cornerman"})["name"] in maps
            assert volume.get("persistentVolumeClaim", {"claimName": "cornerman-models"})["claimName"] in claims
            for item in volume.get("secret", {}).get("items", []):
                assert_in_guide(volume["secret"]["secretName"], item["key"])
        for container in containers(each):
            for source in container.get("envFrom", []):
                assert source["configMapRef"]["name"] in maps
            for variable in container["env"]:
                if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                    assert_in_guide(secret["name"], secret["key"])


def assert_in_guide(secret: str, key: str) -> None:
    command = re.search(rf"create secret generic {secret} (.*?)\n(?! )", GUIDE, re.DOTALL)
    assert command is not None, secret
    assert re.search(rf"--from-(literal|file)={key}[= ]", command.group(1)), (secret, key)


def test_every_variable_is_a_setting_and_has_a_value_that_works() -> None:
    known = {environment_variable(entry) for settings in SETTINGS for entry in fields(settings)}
    (shared,) = (each["data"] for each in of_kind(manifests("managed"), "ConfigMap"))
    for each in of_the_ledger():
        for container in containers(each):
            named = {variable["name"] for variable in container["env"]} | shared.keys()
            assert named - known == set()
            for settings in SETTINGS:
                settings.from_env(shared | variables(container))


def test_every_pod_runs_a_command_that_there_is() -> None:
    for each in of_the_ledger():
        for container in containers(each):
            assert CliRunner().invoke(main, [*container["args"], "--help"]).exit_code == 0
            assert CliRunner().invoke(main, [*container["args"], "--bad", "--help"]).exit_code == 2


@pytest.mark.parametrize(("pool", "port"), [("predict", 9464), ("train", 9465), ("monitor", 9466)])
def test_pools_are_probed_where_they_serve_and_keep_within_their_memory(pool: str, port: int) -> None:
    (container,) = containers(workload(f"cornerman-{pool}"))
    assert container["args"][:3] == ["worker", "--pool", pool]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    settings = WorkerSettings.from_env(variables(container))
    children = int(container["args"][container["args"].index("--concurrency") + 1])
    limit_mb = int(container["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024
    assert children * settings.child_max_memory_mb + settings.spare_memory_mb <= limit_mb


def test_gateway_relay_and_feed_serve_where_they_are_reached() -> None:
    (gateway,), (relay,), (feed,) = (containers(workload(f"cornerman-{name}")) for name in ("gateway", "relay", "feed"))
    settings = GatewaySettings.from_env(variables(gateway) | variables(relay))
    assert gateway["ports"] == [{"name": "api", "containerPort": settings.gateway_port}]
    assert relay["ports"] == [{"name": "http", "containerPort": settings.relay_http_port}]
    assert feed["ports"] == [{"name": "metrics", "containerPort": int(feed["args"][-1])}]
    assert feed["args"][:-1] == ["feed", "run", "odds-api", "--metrics-port"]
    assert settings.gateway_relay == "off"  # the relays have the way out, the gateways have none
    compose = (FOLDER.parents[1] / "docker-compose.yml").read_text()
    assert f'"--metrics-port", "{feed["args"][-1]}"' in compose
    prometheus = (FOLDER.parent / "prometheus" / "prometheus.yml").read_text()
    assert re.search(rf"names: \[feed\]\n +type: A\n +port: {feed['args'][-1]}", prometheus)


def test_the_ingress_leads_to_the_gateway() -> None:
    (ingress,) = of_kind(manifests("sentinel"), "Ingress")
    (service,) = (each for each in of_kind(manifests("sentinel"), "Service") if "clusterIP" not in each["spec"])
    (rule,) = ingress["spec"]["rules"]
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": service["metadata"]["name"], "port": {"name": service["spec"]["ports"][0]["name"]}}
    assert selects(service["spec"]["selector"], pod_labels(workload("cornerman-gateway")))


def grace_seconds(name: str) -> int:
    return int(pod_spec(workload(name))["terminationGracePeriodSeconds"])


def test_every_pod_has_the_time_that_it_needs_to_end() -> None:
    for pool in ("predict", "train", "monitor"):
        settings = WorkerSettings.from_env(variables(*containers(workload(f"cornerman-{pool}"))))
        assert grace_seconds(f"cornerman-{pool}") > settings.shutdown_grace_seconds + STOP_SECONDS
    (gateway,) = containers(workload("cornerman-gateway"))
    before_seconds = gateway["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert grace_seconds("cornerman-gateway") > before_seconds + SHUTDOWN_SECONDS
    assert grace_seconds("cornerman-relay") > RELAY_STOP_SECONDS + GatewaySettings().webhook_timeout_seconds
    (scripts,) = (each["data"] for each in of_kind(documents("sentinel/scripts.yaml"), "ConfigMap"))
    (hand_over_seconds,) = re.findall(r"date \+%s\) \+ (\d+)\)\)", scripts["hand-over.sh"])
    shutdown_timeout_seconds = 10  # the server's own default, which the configuration leaves alone
    assert "shutdown-timeout" not in scripts["valkey.conf"]
    assert grace_seconds("valkey") >= int(hand_over_seconds) + shutdown_timeout_seconds


@every_overlay
def test_a_new_version_replaces_pods_without_a_gap_where_callers_wait(overlay: str) -> None:
    for each in workloads(overlay):
        labels = pod_labels(each)
        if each["kind"] == "StatefulSet":
            assert each["spec"]["updateStrategy"] == {"type": "RollingUpdate"}
        elif labels.get("app.kubernetes.io/component") in ("train", "monitor"):
            assert each["spec"]["strategy"] == {"type": "Recreate"}
        else:
            assert each["spec"]["strategy"] == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


@every_overlay
def test_only_what_is_listed_comes_in_or_goes_out(overlay: str) -> None:
    policies = of_kind(manifests(overlay), "NetworkPolicy")
    (nothing,) = (each["spec"] for each in policies if each["metadata"]["name"] == "nothing")
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ways_to_server = [
        each["spec"]["podSelector"]
        for each in policies
        if any(to_server(rule) for rule in each["spec"].get("egress", []))
    ]
    world = {each["metadata"]["name"]: each["spec"]["podSelector"] for each in policies}["https"]
    for each in of_the_ledger():
        assert any(selects(selector, pod_labels(each)) for selector in ways_to_server)
        assert selects(world, pod_labels(each)) == (pod_labels(each)[NAME] in ("cornerman-relay", "cornerman-feed"))


def to_server(rule: Manifest) -> bool:
    (target,) = rule["to"]
    return target in ({"podSelector": {"matchLabels": {NAME: "valkey"}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}})


def test_no_two_pods_of_the_server_share_a_node_and_each_has_a_volume() -> None:
    server = workload("valkey")
    (apart,) = pod_spec(server)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    assert selects(apart["labelSelector"], pod_labels(server))
    (claim,) = server["spec"]["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/data"} in containers(server)[0]["volumeMounts"]
    (service,) = (each for each in of_kind(manifests("sentinel"), "Service") if each["metadata"]["name"] == "valkey")
    assert server["spec"]["serviceName"] == service["metadata"]["name"]
    peers = variables(containers(server)[0])["PEERS"].split()
    namespace = server["metadata"]["namespace"]
    assert peers == [f"valkey-{number}.valkey.{namespace}.svc" for number in range(server["spec"]["replicas"])]
    assert service["spec"]["publishNotReadyAddresses"]  # else a pod that starts could not ask the others


def test_a_full_server_leaves_room_for_the_rewriting_of_its_file() -> None:
    (scripts,) = (each["data"] for each in of_kind(documents("sentinel/scripts.yaml"), "ConfigMap"))
    limit = containers(workload("valkey"))[0]["resources"]["limits"]["memory"]
    (maxmemory_gb,) = re.findall(r"^maxmemory (\d+)gb$", scripts["valkey.conf"], re.MULTILINE)
    assert 2 * int(maxmemory_gb) <= int(limit.removesuffix("Gi"))


def test_keda_scales_what_is_deployed_by_the_age_of_the_backlog() -> None:
    (scaled,) = documents("keda.yaml")
    target = workload(scaled["spec"]["scaleTargetRef"]["name"])
    assert "replicas" not in target["spec"]  # or each `apply` would undo the scaling
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "prometheus"
    assert "cornerman_queue_oldest_age_seconds" in trigger["metadata"]["query"]
    assert all(isinstance(value, str) for value in trigger["metadata"].values())  # KEDA takes nothing else
    (scrape,) = documents("prometheus-scrape.yml")
    assert f'job="{scrape["scrape_configs"][0]["job_name"]}"' in trigger["metadata"]["query"]


def test_every_pod_with_metrics_is_scraped_and_only_pools_by_the_job_of_the_rules() -> None:
    (scrape,) = documents("prometheus-scrape.yml")
    jobs: dict[str, Any] = {}
    for config in scrape["scrape_configs"]:
        kept = [rule["regex"] for rule in config["relabel_configs"] if rule.get("action") == "keep"]
        jobs[kept[0]] = config["job_name"]
    assert jobs == {pod_labels(each)[NAME]: pod_labels(each)[NAME] for each in of_the_ledger()}
