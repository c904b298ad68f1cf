"""The pages for operators, without a browser: what they show, what their forms do, and what they refuse."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import httpx
import pytest

from gateway.pages.operations.runbook import TEMPLATE, runbook_html
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.models.drift_alarms import DriftAlarm
from ledger.operations.alert_table import ALERT_KINDS
from tests.support.dead_letters import dead_letter
from tests.support.evaluations import A, B, C, evaluated

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


def form(http: httpx.Client, path: str, address: str, **fields: str | list[str]) -> httpx.Response:
    """Send a form of a page, with the token that the page has."""
    found = re.search(r'name="form_token" value="([^"]+)"', page(http, path))
    assert found is not None
    return http.post(address, data={"form_token": found[1], **fields}, headers=HTML)


def test_jobs_are_searched_and_shown_with_their_whole_life(http: httpx.Client, gateway_ledger: Ledger) -> None:
    job_id = dead_letter(gateway_ledger)
    found = words(page(http, "/operations/jobs?state=failed&kind=check_health&caller=shop&since=2020-01-01"))
    assert job_id[:24] in found
    assert "worker_lost" in found
    assert "No job matches" in words(page(http, "/operations/jobs?caller=nobody"))
    reply = http.get("/operations/jobs", params={"job": job_id}, headers=HTML)
    assert (reply.status_code, reply.headers["location"]) == (303, f"/operations/jobs/{job_id}")
    html = page(http, f"/operations/jobs/{job_id}")
    text = words(html)
    assert text.count(" claimed ") == gateway_ledger.settings.max_attempts
    assert "n#1/1" in text
    assert "See why its workers died" in text
    assert f"/operations/jobs/{job_id}/replay" in html
    made = form(http, f"/operations/jobs/{job_id}", f"/operations/jobs/{job_id}/replay")
    assert made.status_code == 303
    replay = made.headers["location"]
    assert "queued" in words(page(http, replay))
    assert form(http, replay, f"{replay}/cancel").headers["location"] == replay
    assert "cancelled" in words(page(http, replay))
    assert "had already ended" in words(form(http, replay, f"/operations/jobs/{job_id}/cancel").text)
    assert "no job" in page(http, "/operations/jobs/nobody", 404) or "nobody" in page(
        http, "/operations/jobs/nobody", 404
    )
    for query in ("state=gone", "kind=nothing", "since=soon", "cursor=x"):
        page(http, f"/operations/jobs?{query}", 422)
    gateway_ledger.dead_letters.purge_all()


def test_dead_letters_are_requeued_and_purged_in_bulk(http: httpx.Client, gateway_ledger: Ledger) -> None:
    first, second, third = (dead_letter(gateway_ledger) for _ in range(3))
    path = "/operations/dead-letters"
    assert "3 dead letters" in words(page(http, path))
    assert "No dead letters of the kind predict_card" in words(page(http, f"{path}?kind=predict_card"))
    reply = form(http, path, path, action="requeue chosen", job_id=[first, "nobody"])
    assert reply.status_code == 200
    assert "1 job queued again, 1 refused" in words(unescape(reply.text))
    assert f"{first}~2" in reply.text
    assert "1 dead letter purged" in words(form(http, path, path, action="purge chosen", job_id=second).text)
    assert "1 job queued again" in words(form(http, path, path, action="requeue all", kind="check_health").text)
    assert f"{third}~2" == gateway_ledger.job_histories.get(third).requeued_as
    assert gateway_ledger.dead_letters.newest() == []
    assert "no dead letter is chosen" in form(http, path, path, action="purge chosen").text
    assert form(http, path, path, action="nothing").status_code == 422
    while claims := gateway_ledger.claim("predict", "n#1/1"):
        gateway_ledger.cancel(claims[0].job_id)


def test_a_control_is_changed_by_a_form_with_a_reason(http: httpx.Client, gateway_ledger: Ledger) -> None:
    path = "/operations/controls"
    assert form(http, path, path, name="max_threads", value="2", reason="one core").status_code == 303
    html = page(http, path)
    assert "<code>max_threads</code> = 2 threads" in html
    assert "local: one core" in words(html)
    paused = form(http, path, path, name="pause.train", value="on", expected="", reason="repairs")
    assert paused.status_code == 303
    assert "Resume train" in words(page(http, path))
    again = form(http, path, path, name="pause.train", value="on", expected="", reason="repairs")
    assert again.status_code == 409
    assert "pause.train is on by now" in again.text
    assert form(http, path, path, name="pause.train", value="", expected="on", reason="done").status_code == 303
    assert form(http, path, path, name="max_threads", value="", reason="done").status_code == 303
    assert gateway_ledger.controls.current().values == {}
    for fields in ({"name": "nothing", "value": "1"}, {"name": "max_threads", "value": "many"}, {"value": "1"}):
        assert form(http, path, path, reason="x", **fields).status_code == 422
    assert "fill in reason" in form(http, path, path, name="max_threads", value="3", reason=" ").text
    assert http.post(path, data={"name": "bootstrap", "value": "off", "reason": "x"}, headers=HTML).status_code == 403
    audit = words(page(http, "/operations/audit?name=pause.train"))
    assert audit.index("done") < audit.index("repairs")
    assert "max_threads" not in audit.split("why")[1]
    assert "No such change" in words(page(http, "/operations/audit?name=nothing"))


@pytest.mark.usefixtures("verifier")
def test_models_are_promoted_with_evidence_and_rolled_back_by_forms(
    http: httpx.Client, gateway_ledger: Ledger, alias: str
) -> None:
    job_id = evaluated(gateway_ledger, http, alias)
    refused = evaluated(gateway_ledger, http, alias, promote=False)
    path = "/operations/models"
    html = page(http, path)
    assert f"{B[:12]}: allowed, try 1, job {job_id[:12]}" in html
    assert "It has no intervals" in words(html)
    change = f"{path}/{alias}/promote"
    assert "it has no intervals" in form(http, path, change, judgement=refused, expected=A, reason="better").text
    assert form(http, path, change, judgement=job_id, expected=C, reason="better").status_code == 409
    assert form(http, path, change, expected=A, reason="better").status_code == 422
    assert "fill in reason" in form(http, path, change, judgement=job_id, expected=A).text
    assert form(http, path, change, judgement=job_id, expected=A, reason="better").status_code == 303
    assert gateway_ledger.aliases.resolve(alias) == B
    assert f"{A[:12]} to {B[:12]}, evaluated and promoted. better" in words(page(http, path))
    shown = words(page(http, f"{path}/{B}"))
    assert "Log loss -0.0024 against the champion" in shown
    back = f"{path}/{alias}/rollback"
    assert form(http, path, back, to=A, expected=A, reason="worse").status_code == 409
    assert form(http, path, back, to=A, expected=B, reason="worse").status_code == 303
    assert gateway_ledger.aliases.resolve(alias) == A
    assert form(http, path, change, model=C, force="1", expected=A, reason="I know").status_code == 303
    assert "FORCED against the gate" in words(page(http, path))
    page(http, f"{path}/nothing", 404)


def test_a_drift_alarm_is_cleared_by_a_form(http: httpx.Client, gateway_ledger: Ledger, alias: str) -> None:
    raised = DriftAlarm(model=A, findings=(), fights=9, raised_at=datetime.now(UTC), job_id="j")
    gateway_ledger.drift_alarms.raise_alarm(raised)
    path = "/operations/models"
    assert f"Drift alarm of model {A[:12]}" in words(page(http, path))
    assert form(http, path, f"{path}/{A}/clear-alarm", reason="looked at").status_code == 303
    assert gateway_ledger.drift_alarms.active() == []


PAGES = [
    "/operations",
    "/operations/jobs",
    "/operations/dead-letters",
    "/operations/controls",
    "/operations/models",
    "/operations/audit",
    "/operations/runbook",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_small_and_has_no_script_of_its_own(http: httpx.Client, path: str) -> None:
    reply = http.get(path, headers=HTML)
    assert len(reply.content) < 100_000
    assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=", reply.text)
