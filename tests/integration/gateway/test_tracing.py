"""A caller's trace over HTTP: through the gateway, a pool and a real collector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from tests.support.collectors import collector_program, running_collector
from tests.support.gateways import running_gateway
from tests.support.otlp_receiver import OtlpReceiver, tree
from tests.support.pools import StartPool

PROGRAM = collector_program()
TRACE, SUBMITTER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.skipif(PROGRAM is None, reason="needs the collector of the package rotel")
def test_a_trace_goes_from_the_caller_to_a_collector(
    ledger: Ledger, start_pool: StartPool, tmp_path: Path, until: Callable[..., None]
) -> None:
    assert PROGRAM is not None
    receiver = OtlpReceiver()
    with running_collector(PROGRAM, receiver.url, tmp_path) as collector:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        pool = start_pool(concurrency=1, **variables, OTEL_BSP_SCHEDULE_DELAY="50")
        with running_gateway(ledger.settings, tmp_path) as gateway, gateway.client() as http:
            headers = {"Content-Type": "application/json", "traceparent": f"00-{TRACE}-{SUBMITTER}-01"}
            made = http.post("/v1/jobs", content=msgspec.json.encode(CheckHealth()), headers=headers)
            assert made.status_code == 201, made.text
            outcome = http.get(f"/v1/jobs/{made.json()['job_id']}/outcome", params={"wait": 20})
            assert outcome.json()["state"] == "succeeded"
            assert f'"trace_id": "{TRACE}"' in gateway.log.read_text()
        until(lambda: len(receiver.of_trace(TRACE)) == 3)
        assert pool.stop() == 0
    receiver.close()
    assert tree(receiver.of_trace(TRACE), SUBMITTER) == {
        "submitter": ["wait predict", "process predict"],
        "process predict": ["settle predict"],
    }
