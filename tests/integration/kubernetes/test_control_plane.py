"""The manifests in a real control plane: what the API server admits, and what controllers and scheduler make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support.control_plane import ControlPlane, is_ready, lacks, running_control_plane
from tests.support.kubernetes_manifests import Manifest, manifests, workload

LACKS_API = lacks("etcd", "kube-apiserver")
LACKS_CONTROLLERS = LACKS_API or lacks("kube-controller-manager", "kube-scheduler")
pytestmark = pytest.mark.skipif(bool(LACKS_API), reason=LACKS_API or "never")
with_controllers = pytest.mark.skipif(bool(LACKS_CONTROLLERS), reason=LACKS_CONTROLLERS or "never")

Until = Callable[..., None]
PATIENCE_SECONDS = 60.0
PODS = {"cornerman": 3, "cornerman-gateway": 2, "cornerman-relay": 2, "cornerman-feed": 2, "valkey": 3}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with three nodes and volumes, to which the manifests were applied."""
    with running_control_plane(tmp_path_factory.mktemp("plane")) as running:
        for name in ("one", "two", "three"):
            running.add_node(name)
        for number, mode in enumerate(["ReadWriteMany", *["ReadWriteOnce"] * 3]):
            assert running.create(volume(number, mode)).is_success
        for manifest in manifests("sentinel"):
            running.apply(manifest)
        yield running


def volume(number: int, mode: str) -> Manifest:
    spec = {"capacity": {"storage": "10Gi"}, "accessModes": [mode], "hostPath": {"path": f"/volumes/{number}"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"volume-{number}"}, "spec": spec}


@pytest.fixture
def settled(plane: ControlPlane, until: Until) -> ControlPlane:
    """The control plane when every pod runs and is ready."""

    def all_run() -> bool:
        plane.act_as_kubelet()
        found = plane.pods()
        return Counter(pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in found) == PODS and all(
            is_ready(pod) for pod in found
        )

    until(all_run, PATIENCE_SECONDS)
    return plane


def live(plane: ControlPlane, kind: str, api_version: str, name: str) -> Manifest:
    return plane.get(plane.path(kind, api_version, name))


@pytest.mark.parametrize("overlay", ["sentinel", "managed"])
def test_every_manifest_is_admitted_without_a_warning(plane: ControlPlane, overlay: str) -> None:
    for manifest in manifests(overlay):
        plane.apply(manifest, dry_run=True)


def test_a_second_apply_changes_nothing(plane: ControlPlane) -> None:
    for manifest in manifests("sentinel"):
        before = live(plane, manifest["kind"], manifest["apiVersion"], manifest["metadata"]["name"])
        after = plane.apply(manifest)
        assert after["metadata"].get("generation") == before["metadata"].get("generation")
        assert after.get("spec") == before.get("spec")
        assert after.get("data") == before.get("data")


def test_what_a_manifest_leaves_out_is_as_it_was_meant(plane: ControlPlane) -> None:
    predict = live(plane, "Deployment", "apps/v1", "cornerman-predict")["spec"]
    assert predict["replicas"] >= 1
    assert predict["strategy"]["type"] == "RollingUpdate"
    assert predict["template"]["spec"]["restartPolicy"] == "Always"
    (container,) = predict["template"]["spec"]["containers"]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["resources"]["requests"]["memory"] == "1Gi"
    server = live(plane, "StatefulSet", "apps/v1", "valkey")["spec"]
    assert server.get("minReadySeconds", 0) == 0
    (claim,) = server["volumeClaimTemplates"]
    assert claim["spec"]["volumeMode"] == "Filesystem"
    assert "storageClassName" not in claim["spec"]  # the cluster's own default
    gateway = live(plane, "Service", "v1", "cornerman-gateway")["spec"]
    assert gateway["type"] == "ClusterIP"
    for policy in plane.get(plane.path("NetworkPolicy", "networking.k8s.io/v1"))["items"]:
        for rule in [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]:
            assert {port["protocol"] for port in rule["ports"]} <= {"TCP", "UDP"}


@pytest.mark.parametrize(("part", "field"), [("pod", {"hostNetwork": True}), ("container", {"securityContext": {}})])
def test_a_pod_that_asks_for_more_rights_is_refused(settled: ControlPlane, part: str, field: Manifest) -> None:
    template = workload("cornerman-relay")["spec"]["template"]
    spec = {**template["spec"], **(field if part == "pod" else {})}
    if part == "container":
        spec["containers"] = [{**spec["containers"][0], **field}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "greedy", "labels": {}}, "spec": spec}
    reply = settled.create(pod)
    assert reply.status_code == 403
    assert 'violates PodSecurity "restricted' in reply.json()["message"]


@with_controllers
def test_the_pods_are_spread_over_the_nodes(settled: ControlPlane) -> None:
    assert len({pod["spec"]["nodeName"] for pod in settled.pods(name="valkey")}) == 3
    for name in ("cornerman-gateway", "cornerman-relay", "cornerman-feed"):
        assert len({pod["spec"]["nodeName"] for pod in settled.pods(name=name)}) == 2
    volumes = [volume for pod in settled.pods(name="valkey") for volume in pod["spec"]["volumes"]]
    claims = {each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each}
    assert claims == {"data-valkey-0", "data-valkey-1", "data-valkey-2"}


@with_controllers
@pytest.mark.parametrize(
    ("name", "expected", "healthy"),
    [
        ("valkey", 3, 2),
        ("cornerman-gateway", 2, 1),
        ("cornerman-relay", 2, 1),
        ("cornerman-feed", 2, 1),
        ("cornerman-predict", 1, 0),
    ],
)
def test_a_drain_takes_one_pod_of_each_at_a_time(
    settled: ControlPlane, until: Until, name: str, expected: int, healthy: int
) -> None:
    labels = {"component": "predict"} if name == "cornerman-predict" else {"name": name}
    path = settled.path("PodDisruptionBudget", "policy/v1", name)
    until(lambda: settled.get(path)["status"].get("disruptionsAllowed") == 1, PATIENCE_SECONDS)
    status = settled.get(path)["status"]
    assert (status["expectedPods"], status["desiredHealthy"]) == (expected, healthy)
    first, *others = settled.pods(**labels)
    assert settled.evict(first) == 201
    if others:
        assert settled.evict(others[0]) == 429  # until the first has been replaced


@with_controllers
@pytest.mark.parametrize("name", ["cornerman-gateway", "cornerman-relay", "cornerman-feed"])
def test_a_new_version_takes_no_ready_pod_away_before_the_next_is_ready(
    settled: ControlPlane, until: Until, name: str
) -> None:
    path = settled.path("Deployment", "apps/v1", name)
    before = {pod["metadata"]["name"] for pod in settled.pods(name=name)}
    change = {"metadata": {"annotations": {"release": "next"}}}
    settled.merge(path, {"spec": {"template": change}})
    fewest, most = 99, 0

    def replaced() -> bool:
        nonlocal fewest, most
        found = settled.pods(name=name)
        fewest = min(fewest, sum(is_ready(pod) for pod in found))
        most = max(most, len(found))
        settled.act_as_kubelet()
        return len(found) == 2 and not before & {pod["metadata"]["name"] for pod in found}

    until(replaced, PATIENCE_SECONDS)
    assert (fewest, most) == (2, 3)


@with_controllers
def test_a_new_version_of_the_server_replaces_one_pod_after_the_other(settled: ControlPlane, until: Until) -> None:
    before = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in settled.pods(name="valkey")}
    change = {"metadata": {"annotations": {"release": "next"}}}
    settled.merge(settled.path("StatefulSet", "apps/v1", "valkey"), {"spec": {"template": change}})
    order: list[str] = []
    fewest = 99

    def replaced() -> bool:
        nonlocal fewest
        found = settled.pods(name="valkey")
        fewest = min(fewest, sum(is_ready(pod) for pod in found))
        names = [pod["metadata"]["name"] for pod in found if pod["metadata"]["uid"] != before[pod["metadata"]["name"]]]
        order.extend(name for name in names if name not in order)
        settled.act_as_kubelet()
        return len(found) == 3 and len(names) == 3

    until(replaced, PATIENCE_SECONDS)
    assert order == ["valkey-2", "valkey-1", "valkey-0"]
    assert fewest == 2


@with_controllers
def test_an_autoscaler_scales_the_predicting_pods_and_an_apply_leaves_its_number(
    settled: ControlPlane, until: Until
) -> None:
    path = settled.path("Deployment", "apps/v1", "cornerman-predict")
    scale = settled.get(f"{path}/scale")
    assert scale["status"]["selector"] == ("app.kubernetes.io/component=predict,app.kubernetes.io/name=cornerman")
    settled.merge(f"{path}/scale", {"spec": {"replicas": 4}})
    until(lambda: len(settled.pods(component="predict")) == 4, PATIENCE_SECONDS)
    assert len(settled.pods(component="train")) == len(settled.pods(component="monitor")) == 1
    settled.apply(workload("cornerman-predict"))
    assert settled.get(f"{path}/scale")["spec"]["replicas"] == 4
    settled.merge(f"{path}/scale", {"spec": {"replicas": 1}})
