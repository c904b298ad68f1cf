"""Schedules over HTTP, and the page of operators."""

from __future__ import annotations

import re
from html import unescape

import httpx

from ledger.contracts.jobs import ReviewModel
from ledger.ledger import Ledger

NIGHTLY = {"cron": "30 2 * * *", "zone": "Europe/Berlin", "jobs": [{"kind": "review_model"}]}
HTML = {"Accept": "text/html"}


def test_a_schedule_over_http(http: httpx.Client, gateway_ledger: Ledger) -> None:
    url = "/v1/schedules/nightly"
    assert http.get(url).status_code == 404
    made = http.put(url, json={"schedule": NIGHTLY, "reason": "every night", "expected_revision": 0})
    assert made.status_code == 200, made.text
    revision = made.json()["revision"]
    assert http.get(url).json()["schedule"]["zone"] == "Europe/Berlin"
    again = http.put(url, json={"schedule": NIGHTLY, "reason": "x", "expected_revision": 0})
    assert (again.status_code, "nothing was changed" in again.json()["detail"]) == (409, True)
    assert http.post(f"{url}/pause", json={"reason": "holidays"}).json()["schedule"]["paused"] is True
    run = http.post(f"{url}/run", json={"reason": "now"})
    assert run.status_code == 202
    assert gateway_ledger.job_records.job(run.json()["run_id"]) == ReviewModel()
    assert [each["run_id"] for each in http.get(f"{url}/runs").json()["runs"]] == [run.json()["run_id"]]
    assert http.post(f"{url}/resume", json={"reason": "back"}).json()["revision"] > revision
    assert "nightly" in {each["schedule"]["name"] for each in http.get("/v1/schedules").json()["schedules"]}
    assert "nightly" in {each["schedule"]["name"] for each in http.get("/v1/status").json()["schedules"]}
    changes = http.get("/v1/schedules/changes", params={"name": "nightly"}).json()["changes"]
    assert [(each["what"], each["why"]) for each in changes][1:3] == [("run", "now"), ("paused", "holidays")]
    assert http.delete(url, params={"reason": "over"}).status_code == 204
    assert http.get(url).status_code == 404


def test_what_is_wrong_is_a_problem_that_names_it(http: httpx.Client) -> None:
    for change, why in (
        ({"cron": "99 * * * *"}, "Bad minute"),
        ({"zone": "Moon/Base"}, "Moon/Base"),
        ({"jobs": [{"kind": "review_model", "modle": "x"}]}, "jobs[0].modle"),
        ({"crom": "x"}, "crom"),
        ({"name": "other"}, "not 'nightly'"),
    ):
        reply = http.put("/v1/schedules/nightly", json={"schedule": {**NIGHTLY, **change}, "reason": "x"})
        assert (reply.status_code, why in reply.json()["detail"]) == (422, True), reply.text
    assert http.put("/v1/schedules/nightly", json={"schedule": NIGHTLY}).status_code == 422


def form(http: httpx.Client, path: str, **fields: str) -> httpx.Response:
    page = http.get("/operations/schedules", headers=HTML).text
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token is not None
    return http.post(path, data={"form_token": token[1], **fields}, headers=HTML)


def test_operators_have_a_page(http: httpx.Client, gateway_ledger: Ledger) -> None:
    given = {"name": "weekly", "cron": "0 5 * * 1", "zone": "America/New_York", "jobs": '{"kind": "collect_garbage"}'}
    assert form(http, "/operations/schedules", **given, catch_up="skip", reason="tidy").status_code == 303
    change = "/operations/schedules/change"
    assert form(http, change, name="weekly", action="run", reason="once").status_code == 303
    assert form(http, change, name="weekly", action="pause", reason="wait").status_code == 303
    text = unescape(http.get("/operations/schedules", headers=HTML).text)
    assert re.search(r"weekly\s*<span class=\"badge warn\">paused", text)
    assert "0 5 * * 1" in text
    assert "run by hand" in text
    assert form(http, change, name="weekly", action="resume", reason="on").status_code == 303
    assert gateway_ledger.schedules.get("weekly").schedule.paused is False
    wrong = form(http, "/operations/schedules", **{**given, "cron": "a b"}, reason="x")
    assert (wrong.status_code, "Wrong number of fields" in wrong.text) == (422, True)
    assert form(http, change, name="weekly", action="remove", reason="over").status_code == 303
    assert form(http, change, name="weekly", action="run", reason="x").status_code == 404
