"""Webhooks over HTTP, against a real gateway that delivers them itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from tests.support.claims import OWNER, REPORT
from tests.support.gateways import GatewayProcess, running_gateway
from tests.support.webhook_receiver import Reply, WebhookReceiver

PATIENCE_SECONDS = 60.0
URL = "https://example.com/hook"


@pytest.fixture(scope="module")
def gateway(gateway_ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    settings = {
        "webhook_allowed_hosts": "127.0.0.1",
        "webhook_give_up_seconds": 0.2,
        "webhook_first_retry_seconds": 0.1,
    }
    with running_gateway(gateway_ledger.settings, tmp_path_factory.mktemp("gateway"), **settings) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as running:
        yield running


def create(http: httpx.Client, **fields: Any) -> dict[str, Any]:
    done = http.post("/v1/webhooks", json={"url": URL, **fields})
    assert done.status_code == 201, done.text
    created: dict[str, Any] = done.json()
    assert done.headers["location"] == f"/v1/webhooks/{created['webhook']['id']}"
    return created


def settle(ledger: Ledger, name: str) -> None:
    ledger.submit(CheckHealth(nonce=name), key=name)
    (claim,) = ledger.claim("predict", OWNER)
    assert ledger.settle(claim, REPORT)


def test_a_webhook_from_its_creation_to_its_end(
    http: httpx.Client, gateway_ledger: Ledger, receiver: WebhookReceiver, until: Callable[..., None]
) -> None:
    created = create(http, url=receiver.url, kinds=["check_health"], description="the shop's")
    path = f"/v1/webhooks/{created['webhook']['id']}"
    receiver.secrets.append(created["secret"])
    settle(gateway_ledger, "one")
    until(lambda: http.get(path).json().get("delivered") == 1, PATIENCE_SECONDS)
    (post,) = receiver.posts
    assert (post.job, post.verified) == ("one", True)
    (attempt,) = http.get(f"{path}/deliveries").json()["deliveries"]
    assert (attempt["result"], attempt["job_id"], attempt["message_id"]) == ("delivered", "one", post.message_id)

    rotated = http.post(f"{path}/rotate-secret", json={"overlap_seconds": 0}).json()
    assert rotated["secret"] != created["secret"]
    receiver.secrets[:] = [rotated["secret"]]
    message_id = http.post(f"{path}/test").json()["message_id"]
    until(lambda: receiver.posts[-1].message_id == message_id, PATIENCE_SECONDS)
    assert receiver.posts[-1].verified

    receiver.answer = lambda post, before: Reply(500)
    settle(gateway_ledger, "two")
    until(lambda: http.get(f"{path}/dead-letters").json()["dead_letters"], PATIENCE_SECONDS)
    (letter,) = http.get(f"{path}/dead-letters").json()["dead_letters"]
    assert (letter["job_id"], letter["error"]) == ("two", "HTTP 500")
    receiver.answer = lambda post, before: Reply(204)
    assert http.post(f"{path}/dead-letters/replay", json={"ids": [letter["id"]]}).json() == {"replayed": 1}
    until(lambda: http.get(path).json()["delivered"] == 3, PATIENCE_SECONDS)
    assert http.post(f"{path}/dead-letters/purge", json={"all": True}).json() == {"purged": 0}

    changed = http.patch(path, json={"enabled": False, "decision": "bet"})
    assert changed.json()["enabled"] is False
    assert changed.json()["disabled_reason"] == "switched off by an operator"
    assert changed.json()["decision"] == "bet"
    assert [each["id"] for each in http.get("/v1/webhooks").json()["webhooks"]] == [created["webhook"]["id"]]
    assert "secret" not in http.get("/v1/webhooks").text
    assert http.delete(path).status_code == 204
    assert http.get(path).status_code == 404


def test_its_metrics_are_shown(http: httpx.Client, until: Callable[..., None]) -> None:
    until(lambda: "cornerman_webhook_relays 1.0" in http.get("/metrics").text, PATIENCE_SECONDS)
    text = http.get("/metrics").text
    assert 'cornerman_webhook_attempts_total{result="delivered"}' in text
    assert "cornerman_webhook_oldest_seconds" in text


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "url"),
        ({"url": "http://example.com"}, "CORNERMAN_WEBHOOK_ALLOWED_HOSTS"),
        ({"url": "https://169.254.169.254/latest"}, "link-local"),
        ({"url": URL, "kinds": ["nothing"]}, "kinds"),
        ({"url": URL, "states": ["running"]}, "states"),
        ({"url": URL, "after": "yesterday"}, "no place"),
        ({"url": URL, "secret": "mine"}, "secret"),
        ({"url": URL, "cards": [""]}, "cards"),
        ([], "body"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, body: Any, named: str) -> None:
    done = http.post("/v1/webhooks", json=body)
    assert (done.status_code, done.headers["content-type"]) == (422, "application/problem+json")
    assert named in done.json()["detail"]
    assert done.json()["code"] == "invalid_input"
    assert http.get("/v1/webhooks").json() == {"webhooks": []}


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"enabled": True}),
        ("DELETE", "", None),
        ("POST", "/rotate-secret", {}),
        ("POST", "/test", None),
        ("GET", "/deliveries", None),
        ("GET", "/dead-letters", None),
        ("POST", "/dead-letters/replay", {"all": True}),
        ("POST", "/dead-letters/purge", {"all": True}),
    ],
)
def test_an_unknown_one_is_not_found(http: httpx.Client, method: str, suffix: str, body: Any) -> None:
    done = http.request(method, f"/v1/webhooks/wh_none{suffix}", json=body)
    assert (done.status_code, "wh_none" in done.json()["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("suffix", "body"),
    [
        ("", {"enabled": "no"}),
        ("", {"id": "another"}),
        ("", {"url": "ftp://example.com"}),
        ("/rotate-secret", {"overlap_seconds": -1}),
        ("/rotate-secret", {"overlap_seconds": 1e9}),
        ("/dead-letters/replay", {}),
        ("/dead-letters/replay", {"all": True, "ids": ["1"]}),
        ("/dead-letters/replay", {"ids": ["one"]}),
        ("/dead-letters/purge", {"all": False}),
    ],
)
def test_a_wrong_change_changes_nothing(http: httpx.Client, suffix: str, body: Any) -> None:
    path = f"/v1/webhooks/{create(http)['webhook']['id']}"
    before = http.get(path).json()
    done = http.request("POST" if suffix else "PATCH", f"{path}{suffix}", json=body)
    assert done.status_code == 422, done.text
    assert {**http.get(path).json(), "relay": before.get("relay")} == {**before, "relay": before.get("relay")}
    http.delete(path)


def test_a_gateway_can_leave_deliveries_to_others(gateway_ledger: Ledger, tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    with running_gateway(gateway_ledger.settings, tmp_path, gateway_relay="off") as gateway, gateway.client() as http:
        assert http.get("/healthz").status_code == 200
        assert "cornerman_webhook_relays" not in http.get("/metrics").text
    assert "relay starts" not in log.read_text()
