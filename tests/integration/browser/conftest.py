"""A browser and a stocked site, shared by the tests of a file, and a page for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ledger.ledger import LedgerSettings
from ledger.server.embedded_server import EmbeddedServer
from tests.support.browsers import Visit, running_browser, visiting
from tests.support.fork_server import ForkServer
from tests.support.stocked_site import Site, stocked_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(
    browser: Browser, valkey: EmbeddedServer, engine_server: ForkServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    settings = LedgerSettings(redis_url=valkey.url, namespace=f"site-{uuid.uuid4().hex}")
    with stocked_site(settings, tmp_path_factory.mktemp("site"), engine_server) as stocked:
        yield stocked


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    """A page without cookies; at the end of the test it has done nothing wrong and asked nothing of another host."""
    with visiting(browser, site.url) as opened:
        yield opened
