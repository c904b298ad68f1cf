"""Reading a pool's endpoints as Prometheus and a supervisor do."""

from __future__ import annotations

import http.client
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

HASTY = {
    "CORNERMAN_METRICS_INTERVAL_SECONDS": "0.2",
    "CORNERMAN_LIVENESS_PROBE_SECONDS": "0.2",
    "CORNERMAN_SELF_TEST_SECONDS": "0.2",
}

Values = dict[str, dict[frozenset[tuple[str, str]], float]]


def get(address: str, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def scrape(address: str) -> Values:
    """Every sample by name and labels."""
    found: Values = {}
    for family in text_string_to_metric_families(get(address, "/metrics")[1]):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def value(values: Values, name: str, **labels: str) -> float:
    """The sum of the series that have these labels, 0 without any."""
    wanted = set(labels.items())
    return sum(sample for found, sample in values.get(name, {}).items() if wanted <= found)


def checks(address: str, path: str = "/readyz") -> tuple[int, dict[str, bool]]:
    status, body = get(address, path)
    document: dict[str, Any] = msgspec.json.decode(body)
    assert (document["status"] == "passed") == (status == 200)
    return status, {check["name"]: check["passed"] for check in document["checks"]}
