"""A gateway for the tests of a file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from ledger.settings import LedgerSettings
from tests.support.gateways import GatewayProcess, running_gateway


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
