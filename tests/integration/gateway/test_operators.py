"""What operators do over HTTP: alerts, pools, queues, controls and models, with what each route refuses."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ledger.contracts.feeds import FeedBudget, FeedState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from ledger.models.drift_alarms import DriftAlarm
from tests.support.dead_letters import dead_letter
from tests.support.evaluations import A, B, C, evaluated


def send(http: httpx.Client, method: str, path: str, **body: Any) -> httpx.Response:
    return http.request(method, path, json=body)


def problem(reply: httpx.Response, status: int) -> str:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    return str(reply.json()["detail"])


def test_the_state_of_the_service_is_read_as_the_commands_show_it(http: httpx.Client, gateway_ledger: Ledger) -> None:
    gateway_ledger.pools.announce("n#1", {"node": "n", "queues": ["monitor"], "healthy": True}, 60.0)
    gateway_ledger.submit(CheckHealth(nonce=uuid.uuid4().hex))
    status = http.get("/v1/status").json()
    assert (
        [pool["name"] for pool in status["pools"]]
        == ["n#1"]
        == [pool["name"] for pool in http.get("/v1/pools").json()["pools"]]
    )
    queues = http.get("/v1/queues").json()
    assert queues["queues"]["predict"]["waiting"] == status["queues"]["predict"]["waiting"] >= 1
    alerts = {alert["name"]: alert for alert in http.get("/v1/alerts").json()["alerts"]}
    assert alerts["NoConsumer"]["labels"] == {"queue": "predict"}
    assert alerts["NoConsumer"]["severity"] == "critical"
    assert "cornerman worker" in alerts["NoConsumer"]["action"]
    assert alerts["NoPool"]["runbook"] == "docs/guides/operators.md#nopool"
    while claims := gateway_ledger.claim("predict", "n#1/1"):
        gateway_ledger.cancel(claims[0].job_id)


def test_feeds_are_listed_with_their_leaders_and_budgets(http: httpx.Client, gateway_ledger: Ledger) -> None:
    gateway_ledger.feeds.leases.join("ufc", "ringside#1", source="odds.example", lease_seconds=60.0)
    gateway_ledger.feeds.end_poll("ufc", FeedState(budget=FeedBudget(remaining=7)), totals={"quotes": 4})
    (feed,) = http.get("/v1/feeds").json()["feeds"]
    assert (feed["name"], feed["source"], feed["leader"]) == ("ufc", "odds.example", "ringside#1")
    assert (feed["state"]["budget"]["remaining"], feed["totals"]) == (7, {"quotes": 4})
    assert [each["name"] for each in http.get("/v1/status").json()["feeds"]] == ["ufc"]
    html = http.get("/operations", headers={"Accept": "text/html"}).text
    assert 'aria-label="Feeds"' in html
    assert "odds.example" in html
    gateway_ledger.feeds.leases.leave("ufc", "ringside#1")
    gateway_ledger.feeds.remove("ufc")


def test_a_control_is_set_with_a_reason_and_audited_under_the_caller(http: httpx.Client) -> None:
    reply = send(http, "PUT", "/v1/controls/max_threads", value=2, reason="one core is enough")
    (change,) = reply.json()["changes"]
    assert (change["who"], change["name"], change["before"], change["after"]) == ("local", "max_threads", None, "2")
    listed = {row["name"]: row for row in http.get("/v1/controls").json()["controls"]}
    assert (listed["max_threads"]["value"], listed["max_threads"]["why"]) == ("2", "one core is enough")
    assert (
        send(http, "PUT", "/v1/controls/bootstrap", value=False, reason="wide").json()["changes"][0]["after"] == "off"
    )
    assert send(http, "PUT", "/v1/controls/drain.n1", value="on", reason="repairs").status_code == 200
    conflict = send(http, "PUT", "/v1/controls/max_threads", value=4, reason="more", expected=1)
    assert "max_threads is 2 by now" in problem(conflict, 409)
    conflict = send(http, "PUT", "/v1/controls/max_threads", value=4, reason="more", expected=None)
    assert "max_threads is 2 by now" in problem(conflict, 409)
    assert send(http, "PUT", "/v1/controls/max_threads", value=4, reason="more", expected=2).status_code == 200
    assert "by now" in problem(http.delete("/v1/controls/max_threads", params={"reason": "done", "expected": "2"}), 409)
    for name in ("max_threads", "bootstrap", "drain.n1"):
        assert http.delete(f"/v1/controls/{name}", params={"reason": "done"}).status_code == 200
    changes = http.get("/v1/controls/changes", params={"name": "max_threads", "limit": 2}).json()["changes"]
    assert [(change["after"], change["why"]) for change in changes] == [(None, "done"), ("4", "more")]
    assert len(http.get("/v1/controls/changes", params={"limit": 3}).json()["changes"]) == 3


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("nothing", {"value": 1, "reason": "x"}, 404, "no control is named 'nothing'"),
        ("pause.nothing", {"value": True, "reason": "x"}, 404, "no control is named"),
        ("max_threads", {"value": 0, "reason": "x"}, 422, "from 1 to 1024"),
        ("max_threads", {"value": "many", "reason": "x"}, 422, "from 1 to 1024"),
        ("max_threads", {"value": "", "reason": "x"}, 422, "DELETE"),
        ("bootstrap", {"value": "maybe", "reason": "x"}, 422, "on or off"),
        ("max_threads", {"value": 2}, 422, "reason"),
        ("max_threads", {"value": 2, "reason": ""}, 422, "reason"),
        ("max_threads", {"value": 2.5, "reason": "x"}, 422, "value"),
        ("max_threads", {"value": 2, "reason": "x", "when": "now"}, 422, "when"),
        ("max_threads", {"reason": "x"}, 422, "value"),
        ("model.champion", {"value": "no-such-model", "reason": "x"}, 422, "no-such-model"),
    ],
)
def test_a_bad_change_of_a_control_is_refused(
    http: httpx.Client, name: str, body: dict[str, Any], status: int, words: str
) -> None:
    assert words in problem(send(http, "PUT", f"/v1/controls/{name}", **body), status)


def test_bodies_and_parameters_are_checked(http: httpx.Client) -> None:
    assert "application/json" in problem(http.put("/v1/controls/bootstrap", content=b"{}"), 415)
    headers = {"Content-Type": "application/json"}
    assert problem(http.put("/v1/controls/bootstrap", content=b"{", headers=headers), 422)
    assert problem(http.put("/v1/controls/bootstrap", content=b"\xff", headers=headers), 422)
    assert problem(http.put("/v1/controls/bootstrap", content=b"x" * 70_000, headers=headers), 413)
    assert problem(http.delete("/v1/controls/bootstrap"), 400)
    assert problem(http.delete("/v1/controls/nothing", params={"reason": "x"}), 404)
    assert problem(http.get("/v1/controls/changes", params={"limit": 0}), 400)
    assert problem(http.get("/v1/controls/changes", params={"name": "nothing"}), 404)


def test_models_are_listed_and_shown_by_any_name(http: httpx.Client, alias: str) -> None:
    assert {A, B, C} <= {model["digest"] for model in http.get("/v1/models").json()["models"]}
    shown = http.get(f"/v1/models/{alias}").json()
    assert shown["digest"] == A
    assert (shown["history"][0]["who"], shown["history"][0]["why"]) == ("ann", "the first")
    assert http.get(f"/v1/models/{'b' * 10}").json()["digest"] == B
    assert "matches no alias" in problem(http.get("/v1/models/nothing"), 404)
    assert [change["after"] for change in http.get(f"/v1/models/{alias}/history").json()["history"]] == [A]
    assert "never pointed" in problem(http.get("/v1/models/nothing/history"), 404)
    assert problem(http.get(f"/v1/models/{A}/history"), 404)


@pytest.mark.usefixtures("verifier")
def test_a_model_is_promoted_by_its_evaluation_and_rolled_back(
    http: httpx.Client, gateway_ledger: Ledger, alias: str
) -> None:
    job_id = evaluated(gateway_ledger, http, alias)
    path = f"/v1/models/{alias}/promote"
    conflict = send(http, "POST", path, model=B, judgement=job_id, reason="better", expected=C)
    assert f"model.{alias} is {A} by now" in problem(conflict, 409)
    reply = send(http, "POST", path, model=B, judgement=job_id, reason="better", expected=A)
    change = reply.json()["change"]
    assert (change["before"], change["after"], change["who"], change["why"]) == (A, B, "local", "better")
    assert (change["evidence"]["judgement"], change["evidence"]["forced"]) == (job_id, False)
    assert "already" in problem(send(http, "POST", path, model=B, judgement=job_id, reason="again"), 422)
    back = f"/v1/models/{alias}/rollback"
    assert problem(send(http, "POST", back, reason="worse", expected=A), 409)
    assert send(http, "POST", back, reason="worse", expected=B).json()["change"]["after"] == A
    assert "earlier models: none" in problem(send(http, "POST", back, reason="worse"), 422)
    history = http.get(f"/v1/models/{alias}/history").json()["history"]
    assert [(entry["after"], entry["rollback"]) for entry in history] == [(A, True), (B, False), (A, False)]


@pytest.mark.usefixtures("verifier")
def test_a_verdict_against_it_is_overridden_by_force_alone(
    http: httpx.Client, gateway_ledger: Ledger, alias: str
) -> None:
    job_id = evaluated(gateway_ledger, http, alias, promote=False)
    path = f"/v1/models/{alias}/promote"
    reply = send(http, "POST", path, model=B, judgement=job_id, reason="better")
    assert "it has no intervals" in problem(reply, 422)
    assert reply.json()["details"]["reasons"] == [{"code": "no_intervals", "message": "it has no intervals"}]
    assert gateway_ledger.aliases.resolve(alias) == A
    forced = send(http, "POST", path, model=B, judgement=job_id, reason="I know", force=True).json()["change"]
    assert (forced["after"], forced["evidence"]["forced"]) == (B, True)


def test_a_promotion_needs_evidence_a_reason_and_a_worker(
    http: httpx.Client, gateway_ledger: Ledger, alias: str
) -> None:
    path = f"/v1/models/{alias}/promote"
    assert "no comparison" in problem(send(http, "POST", path, model=B, reason="better"), 422)
    assert "reason" in problem(send(http, "POST", path, model=B), 422)
    assert "no-such" in problem(send(http, "POST", path, model="no-such", reason="x", force=True), 422)
    assert problem(send(http, "POST", path, model=B, reason="x", judgement="no-such-job"), 404)
    other = gateway_ledger.submit(CheckHealth(nonce=uuid.uuid4().hex)).job_id
    assert "evaluates no model" in problem(send(http, "POST", path, model=B, reason="x", judgement=other), 422)
    gateway_ledger.cancel(other)
    made = send(http, "POST", f"/v1/models/{alias}/evaluate", model=B, data="/log", data_digest="f" * 64).json()
    assert "has not ended" in problem(send(http, "POST", path, model=B, reason="x", judgement=made["job_id"]), 409)
    gateway_ledger.cancel(made["job_id"])
    assert "comparison failed" in problem(send(http, "POST", path, model=B, reason="x", judgement=made["job_id"]), 422)
    gateway_ledger.controls.set({"pause.predict": True}, user="ann", reason="a test")
    assert "paused" in problem(send(http, "POST", path, model=B, reason="x", force=True), 422)
    gateway_ledger.controls.set({"pause.predict": None}, user="ann", reason="a test")
    assert gateway_ledger.aliases.resolve(alias) == A


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"model": B}, "data"),
        ({"model": B, "data": "/log"}, "data_digest"),
        ({"model": B, "data": "/log", "data_digest": "short"}, "data_digest"),
        ({"model": "no-such", "data": "/log", "data_digest": "e" * 64}, "no-such"),
        ({"model": A, "data": "/log", "data_digest": "e" * 64}, "already"),
        ({"model": B, "data": "/log", "data_digest": "e" * 64, "refit_months": 0}, "refit_months"),
        ({"model": B, "data": "/log", "data_digest": "e" * 64, "tries": 1}, "tries"),
    ],
)
def test_a_bad_evaluation_is_refused(http: httpx.Client, alias: str, body: dict[str, Any], words: str) -> None:
    assert words in problem(send(http, "POST", f"/v1/models/{alias}/evaluate", **body), 422)


def test_a_drift_alarm_is_cleared_with_a_reason(http: httpx.Client, gateway_ledger: Ledger, alias: str) -> None:
    raised = DriftAlarm(model=A, findings=(), fights=9, raised_at=datetime.now(UTC), job_id="j")
    gateway_ledger.drift_alarms.raise_alarm(raised)
    assert "DriftAlarm" in {alert["name"] for alert in http.get("/v1/alerts").json()["alerts"]}
    path = f"/v1/models/{alias}/clear-alarm"
    assert "reason" in problem(send(http, "POST", path), 422)
    assert send(http, "POST", path, reason="looked at").json()["cleared"]["model"] == A
    assert "no drift alarm stands" in problem(send(http, "POST", path, reason="again"), 422)
    assert problem(send(http, "POST", "/v1/models/nothing/clear-alarm", reason="x"), 404)


def test_dead_letters_are_listed_requeued_and_purged_in_bulk(http: httpx.Client, gateway_ledger: Ledger) -> None:
    first, second, third = (dead_letter(gateway_ledger) for _ in range(3))
    listed = http.get("/v1/dead-letters", params={"kind": "check_health", "limit": 2}).json()["dead"]
    assert [letter["job_id"] for letter in listed] == [third, second]
    assert listed[0]["caller"] == "shop"
    assert http.get("/v1/dead-letters", params={"kind": "predict_card"}).json() == {"dead": []}
    assert http.get("/v1/dead-letters", params={"died_before": "2020-01-01T00:00:00Z"}).json() == {"dead": []}
    shown = http.get(f"/v1/dead-letters/{first}").json()
    assert (shown["dead"]["failure"]["code"], shown["job"]["kind"]) == ("worker_lost", "check_health")
    path = "/v1/dead-letters/requeue"
    requeued = send(http, "POST", path, job_ids=[first, "nobody"]).json()["requeued"]
    assert (requeued[0]["new_job_id"], requeued[1]["failure"]["code"]) == (f"{first}~2", "invalid_input")
    purged = send(http, "POST", "/v1/dead-letters/purge", job_ids=[first, second]).json()["purged"]
    assert [letter["purged"] for letter in purged] == [False, True]
    assert [letter["job_id"] for letter in send(http, "POST", path, all=True).json()["requeued"]] == [third]
    assert problem(http.get(f"/v1/dead-letters/{first}"), 404)
    while claims := gateway_ledger.claim("predict", "n#1/1"):
        gateway_ledger.cancel(claims[0].job_id)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "name the jobs"),
        ({"job_ids": ["x"], "all": True}, "name the jobs"),
        ({"job_ids": ["x" * 201]}, "job_ids"),
        ({"job_ids": ["x"] * 1001}, "job_ids"),
        ({"kinds": ["nothing"]}, "nothing"),
        ({"died_before": "soon"}, "died_before"),
        ({"died_before": "2020-01-01T00:00:00"}, "time zone"),
        ({"everything": True}, "everything"),
    ],
)
@pytest.mark.parametrize("action", ["requeue", "purge"])
def test_a_bad_selection_of_dead_letters_is_refused(
    http: httpx.Client, action: str, body: dict[str, Any], words: str
) -> None:
    assert words in problem(send(http, "POST", f"/v1/dead-letters/{action}", **body), 422)
