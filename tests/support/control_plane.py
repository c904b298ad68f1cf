"""A real control plane of Kubernetes on this machine: etcd, API server, controllers and scheduler, on loopback.

The programs are those of the folder `KUBEBUILDER_ASSETS`, as for `envtest`. Nodes and what a kubelet would report are
made by the tests.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socket import create_server

import httpx

from tests.support.kubernetes_manifests import Manifest

ASSETS = Path(os.environ.get("KUBEBUILDER_ASSETS") or "/usr/local/kubebuilder/bin")
TOKEN = "loopback"  # noqa: S105 - it guards nothing
START_SECONDS = 120.0
STOP_SECONDS = 20.0
NAMESPACE = "cornerman"


def lacks(*programs: str) -> str:
    """Return why tests that need programs are skipped; empty if they are there."""
    missing = [program for program in programs if not (ASSETS / program).exists()]
    return f"needs {' and '.join(missing)} in KUBEBUILDER_ASSETS (setup-envtest fills it)" if missing else ""


class ControlPlane:
    """A client of the API server, for the user of all rights."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def path(self, kind: str, api_version: str, name: str = "") -> str:
        """Return the path of an object, or without a name of all of its kind, in the namespace of the manifests."""
        root = f"/api/{api_version}" if api_version == "v1" else f"/apis/{api_version}"
        if (api_version, kind) not in self._resources:
            for each in self.get(root)["resources"]:
                if "/" not in each["name"]:
                    self._resources[api_version, each["kind"]] = each["name"], each["namespaced"]
        plural, namespaced = self._resources[api_version, kind]
        return "/".join(part for part in (root, f"namespaces/{NAMESPACE}" if namespaced else "", plural, name) if part)

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Apply a manifest as `kubectl apply --server-side` does; a warning or an unknown field is an error."""
        path = self.path(manifest["kind"], manifest["apiVersion"], manifest["metadata"]["name"])
        options = {"fieldManager": "test", "fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        reply = self.http.patch(path, params=options, content=json.dumps(manifest), headers=headers)
        assert reply.is_success, reply.text
        assert "warning" not in reply.headers, reply.headers["warning"]
        return dict(reply.json())

    def get(self, path: str, **query: str) -> Manifest:
        """Return what is at a path."""
        reply = self.http.get(path, params=query)
        assert reply.is_success, reply.text
        return dict(reply.json())

    def create(self, manifest: Manifest) -> httpx.Response:
        """Create an object."""
        return self.http.post(self.path(manifest["kind"], manifest["apiVersion"]), json=manifest)

    def merge(self, path: str, change: Manifest) -> Manifest:
        """Change an object."""
        headers = {"Content-Type": "application/merge-patch+json"}
        reply = self.http.patch(path, content=json.dumps(change), headers=headers)
        assert reply.is_success, reply.text
        return dict(reply.json())

    def pods(self, **labels: str) -> list[Manifest]:
        """Return the pods of the namespace that have labels and are not about to end, by name."""
        selector = ",".join(f"app.kubernetes.io/{key}={value}" for key, value in labels.items())
        found = self.get(self.path("Pod", "v1"), labelSelector=selector)["items"]
        living = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(living, key=lambda pod: str(pod["metadata"]["name"]))

    def evict(self, pod: Manifest) -> int:
        """Ask for the eviction of a pod, as `kubectl drain` does; return the status of the reply."""
        named = {"name": pod["metadata"]["name"], "namespace": NAMESPACE}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": named}
        return self.http.post(f"{self.path('Pod', 'v1', named['name'])}/eviction", json=eviction).status_code

    def add_node(self, name: str) -> None:
        """Add a node that is ready and has room."""
        labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{name}"}
        room = {"cpu": "16", "memory": "64Gi", "pods": "110"}
        reply = self.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        assert reply.is_success, reply.text
        path = self.path("Node", "v1", name)
        self.merge(path, {"spec": {"taints": None}})  # which a kubelet's report would take off
        ready = {"type": "Ready", "status": "True", "reason": "Test", "message": "", "lastHeartbeatTime": None}
        self.merge(f"{path}/status", {"status": {"capacity": room, "allocatable": room, "conditions": [ready]}})

    def act_as_kubelet(self) -> None:
        """Report every pod that has a node as ready, and take those away that are to end."""
        for pod in self.get(self.path("Pod", "v1"))["items"]:
            path = self.path("Pod", "v1", pod["metadata"]["name"])
            if "deletionTimestamp" in pod["metadata"]:
                self.http.request("DELETE", path, json={"gracePeriodSeconds": 0})
            elif pod["spec"].get("nodeName") and not is_ready(pod):
                conditions = [{"type": name, "status": "True"} for name in ("Ready", "ContainersReady")]
                self.merge(f"{path}/status", {"status": {"phase": "Running", "conditions": conditions}})


def is_ready(pod: Manifest) -> bool:
    """Return whether a pod was reported as ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


@contextmanager
def running_control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Run a control plane for the duration of a block, with all of its programs that are there."""
    with ExitStack() as stack:
        etcd, peers, api = (_free_port() for _ in range(3))
        _make_keys(folder)
        _run(stack, folder, "etcd", _etcd_options(folder, etcd, peers))
        server = _run(stack, folder, "kube-apiserver", _api_options(folder, etcd, api))
        certificate = folder / "certificates" / "apiserver.crt"
        _until(server, certificate.exists)
        http = stack.enter_context(
            httpx.Client(
                base_url=f"https://127.0.0.1:{api}",
                headers={"Authorization": f"Bearer {TOKEN}"},
                verify=ssl.create_default_context(cafile=str(certificate)),
                timeout=30,
                trust_env=False,
            )
        )
        _until(server, lambda: _ready(http))
        for program, options in _clients(folder, f"https://127.0.0.1:{api}", certificate):
            if (ASSETS / program).exists():
                _run(stack, folder, program, options)
        yield ControlPlane(http)


def _make_keys(folder: Path) -> None:
    key = str(folder / "accounts.key")
    request = ["openssl", "genrsa", "-traditional", "-out", key, "2048"]
    subprocess.run(request, check=True, capture_output=True)
    with (folder / "tokens.csv").open("w", newline="") as file:
        csv.writer(file).writerow([TOKEN, "admin", "1", "system:masters"])


def _etcd_options(folder: Path, port: int, peers: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]


def _api_options(folder: Path, etcd: int, port: int) -> list[str]:
    key = folder / "accounts.key"
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
    ]


def _clients(folder: Path, url: str, certificate: Path) -> Iterator[tuple[str, list[str]]]:
    cluster = {"name": "here", "cluster": {"server": url, "certificate-authority": str(certificate)}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
        "current-context": "here",
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    options = [f"--kubeconfig={file}", "--leader-elect=false", "--secure-port=0"]
    # Without a kubelet nobody renews what that controller watches.
    own = [
        "--controllers=*,-node-lifecycle-controller",
        f"--service-account-private-key-file={folder / 'accounts.key'}",
    ]
    yield "kube-controller-manager", [*options, *own]
    yield "kube-scheduler", options


def _run(stack: ExitStack, folder: Path, program: str, options: list[str]) -> subprocess.Popen[bytes]:
    with (folder / f"{program}.log").open("wb") as log:
        process = subprocess.Popen([ASSETS / program, *options], cwd=folder, stdout=log, stderr=log)
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ready(http: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return http.get("/readyz").is_success
    return False


def _until(server: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not condition():
        assert server.poll() is None, "the API server has ended: its folder has the logs"
        assert time.monotonic() < end, "the API server did not start: its folder has the logs"
        time.sleep(0.05)


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
