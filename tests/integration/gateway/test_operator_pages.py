"""The pages for operators, without a browser: what they show, what their forms do, and what they refuse."""

from __future__ import annotations

import re
import uuid
from html import unescape
from pathlib import Path

import httpx
import pytest

from gateway.pages.operations.runbook import TEMPLATE, runbook_html
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.operations.alert_table import ALERT_KINDS

GUIDE = Path(__file__).parents[3] / "docs/guides/operators.md"
HTML = {"Accept": "text/html"}


def page(http: httpx.Client, path: str, status: int = 200) -> str:
    reply = http.get(path, headers=HTML)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"].startswith("text/html")
    return unescape(reply.text)


def words(html: str) -> str:
    """The text of a page, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_the_overview_names_what_is_wrong_and_what_to_do(http: httpx.Client, gateway_ledger: Ledger) -> None:
    gateway_ledger.submit(CheckHealth(nonce=uuid.uuid4().hex))
    gateway_ledger.controls.set({"pause.train": True}, user="ann@desk", reason="repairs <b>")
    html = page(http, "/operations")
    text = words(html)
    assert "1 critical alert and" in text
    assert "What to do: start a pool for the queue: cornerman worker --pool QUEUE" in text
    assert 'href="/operations/runbook#noconsumer"' in html
    assert "The queue train is paused by ann@desk (repairs <b>)" in html
    assert "(repairs &lt;b&gt;)" in http.get("/operations", headers=HTML).text
    assert html.index("NoConsumer") < html.index("QueuePaused")
    gateway_ledger.controls.set({"pause.train": None}, user="ann@desk", reason="done")
    while claims := gateway_ledger.claim("predict", "n#1/1"):
        gateway_ledger.cancel(claims[0].job_id)


def test_the_overview_shows_pools_with_their_memory_against_its_limit(
    http: httpx.Client, gateway_ledger: Ledger
) -> None:
    about = {"node": "ringside", "healthy": True, "children": 3, "busy": 1, "version": "1.2", "uptime_seconds": 90.0}
    memory = {"memory_mb": 950.0, "memory_limit_mb": 1000.0}
    gateway_ledger.models.register("a" * 64, {})
    gateway_ledger.aliases.set("champion", "a" * 64)
    gateway_ledger.pools.announce("ringside#1", {**about, **memory, "queues": ["predict", "train", "monitor"]}, 60.0)
    html = page(http, "/operations")
    assert "Nothing is wrong" in words(html), words(html)
    assert 'class="share bad" role="img" aria-label="95% of its memory limit"' in html
    assert "ringside#1 predict, train, monitor working 1 of 3 950 of 1,000 MB" in words(html)
    gateway_ledger.pools.announce("ringside#1", {**about, "queues": ["predict"], "healthy": False}, 60.0)
    assert "unhealthy" in words(page(http, "/operations"))
    gateway_ledger.server.execute("DEL", gateway_ledger.server.key("pool", "ringside#1"))


def test_the_runbook_has_a_heading_for_each_alert_and_is_that_of_the_guide(http: httpx.Client) -> None:
    html = page(http, "/operations/runbook")
    assert [kind.name for kind in ALERT_KINDS if f'<h2 id="{kind.name.lower()}">' not in html] == []
    anchors = set(re.findall(r'id="([^"]+)"', html))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= anchors
    assert TEMPLATE.read_text() == runbook_html(GUIDE.read_text()), (
        "run python -m gateway.pages.operations.runbook docs/guides/operators.md"
    )


@pytest.mark.parametrize("path", ["/operations", "/operations/runbook"])
def test_a_page_is_small_and_has_no_script_of_its_own(http: httpx.Client, path: str) -> None:
    reply = http.get(path, headers=HTML)
    assert len(reply.content) < 100_000
    assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=", reply.text)
