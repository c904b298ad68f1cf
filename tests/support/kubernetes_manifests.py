"""The manifests of deploy/kubernetes, as `kubectl apply -k` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ("sentinel", "managed")
WORKLOADS = ("Deployment", "StatefulSet")
NAME = "app.kubernetes.io/name"

Manifest = dict[str, Any]


@cache
def manifests(overlay: str) -> list[Manifest]:
    """Return the manifests that a folder with a kustomization lists; do not change them."""
    return list(_listed(FOLDER / overlay))


def documents(name: str) -> list[Manifest]:
    """Return the manifests of a file."""
    return [*yaml.safe_load_all((FOLDER / name).read_text())]


def _listed(folder: Path) -> Iterator[Manifest]:
    for resource in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
        path = (folder / resource).resolve()
        yield from _listed(path) if path.is_dir() else yaml.safe_load_all(path.read_text())


def of_kind(found: list[Manifest], *kinds: str) -> list[Manifest]:
    """Return the manifests of some kinds."""
    return [each for each in found if each["kind"] in kinds]


def workload(name: str) -> Manifest:
    """Return a deployment or stateful set by its name."""
    (found,) = (each for each in of_kind(manifests("sentinel"), *WORKLOADS) if each["metadata"]["name"] == name)
    return found


def pod_spec(workload: Manifest) -> Manifest:
    """Return the specification of a workload's pods."""
    return dict(workload["spec"]["template"]["spec"])


def pod_labels(workload: Manifest) -> Mapping[str, str]:
    """Return the labels of a workload's pods."""
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def containers(workload: Manifest) -> list[Manifest]:
    """Return the containers of a workload's pods."""
    return list(pod_spec(workload)["containers"])


def variables(container: Manifest) -> dict[str, str]:
    """Return the variables of a container that the manifest gives a value."""
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def probe_paths(name: str) -> set[str]:
    """Return the paths that the probes of a workload ask for over HTTP."""
    probes = (each for container in containers(workload(name)) for key, each in container.items() if "Probe" in key)
    return {probe["httpGet"]["path"] for probe in probes if "httpGet" in probe}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a selector has pods with these labels; a plain mapping is that of a service."""
    if not selector.keys() & {"matchLabels", "matchExpressions"}:
        return all(labels.get(key) == value for key, value in selector.items())
    asked = selector.get("matchLabels", {}).items()
    listed = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in listed)
    return all(labels.get(key) == value for key, value in asked) and all(
        labels.get(each["key"]) in each["values"] for each in listed
    )
