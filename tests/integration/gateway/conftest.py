"""A gateway for the tests of a file."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import httpx
import pytest

from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.ledger import Ledger
from ledger.models.verification import MODEL_CHECKS
from ledger.server.embedded_server import EmbeddedServer
from ledger.settings import LedgerSettings
from tests.support.evaluations import A, B, C
from tests.support.gateways import GatewayProcess, running_gateway

CHECKS = tuple(HealthCheck(name=name, passed=True, detail="") for name in MODEL_CHECKS)
SOUND = HealthReport(status="healthy", checks=CHECKS, memory_mb=1.0)


@pytest.fixture(scope="module")
def gateway_ledger(valkey: EmbeddedServer) -> Iterator[Ledger]:
    """The ledger behind the file's gateway."""
    with_name = LedgerSettings(redis_url=valkey.url, namespace=f"gateway-{uuid.uuid4().hex}")
    opened = Ledger.connect(with_name)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def gateway(gateway_ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that the tests of a file share."""
    with running_gateway(gateway_ledger.settings, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def http(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    """An HTTP client of the file's gateway."""
    with gateway.client() as client:
        yield client


@pytest.fixture
def alias(gateway_ledger: Ledger) -> str:
    """An alias of this test alone, that points to the model A."""
    for digest in (A, B, C):
        gateway_ledger.models.register(digest, {"data": {"digest": "d" * 64}})
    name = f"alias-{uuid.uuid4().hex[:8]}"
    gateway_ledger.aliases.set(name, A, user="ann", reason="the first")
    return name


@pytest.fixture
def verifier(gateway_ledger: Ledger) -> Iterator[None]:
    """A worker that finds every model sound, and leaves other jobs alone."""
    over = threading.Event()

    def answer() -> None:
        ledger = Ledger.connect(gateway_ledger.settings)
        while not over.wait(0.01):
            for claim in ledger.claim("predict", "verifier#1/1"):
                ledger.settle(claim, SOUND)
        ledger.close()

    thread = threading.Thread(target=answer)
    thread.start()
    yield
    over.set()
    thread.join()
