"""Who may do what operators do: a reader reads, a producer too, and both change nothing."""

from __future__ import annotations

import httpx
import pytest

from ledger.ledger import Ledger
from ledger.operations.tokens import Role
from tests.support.gateways import GatewayProcess

CHANGES = [
    ("PUT", "/v1/controls/max_threads"),
    ("DELETE", "/v1/controls/max_threads?reason=x"),
    ("POST", "/v1/models/champion/evaluate"),
    ("POST", "/v1/models/champion/promote"),
    ("POST", "/v1/models/champion/rollback"),
    ("POST", "/v1/models/champion/clear-alarm"),
    ("POST", "/v1/dead-letters/requeue"),
    ("POST", "/v1/dead-letters/purge"),
    ("PUT", "/v1/schedules/x"),
    ("DELETE", "/v1/schedules/x?reason=x"),
    ("POST", "/v1/schedules/x/pause"),
    ("POST", "/v1/schedules/x/resume"),
    ("POST", "/v1/schedules/x/run"),
]
READ = [
    "/v1/status",
    "/v1/alerts",
    "/v1/feeds",
    "/v1/pools",
    "/v1/queues",
    "/v1/controls",
    "/v1/controls/changes",
    "/v1/models",
    "/v1/dead-letters",
    "/v1/schedules",
    "/v1/schedules/changes",
]
PAGES = [
    "",
    "/jobs",
    "/jobs/x",
    "/dead-letters",
    "/controls",
    "/schedules",
    "/models",
    "/models/x",
    "/audit",
    "/runbook",
]
FORMS = [
    "/jobs/x/cancel",
    "/jobs/x/replay",
    "/dead-letters",
    "/controls",
    "/schedules",
    "/schedules/change",
    "/models/x/promote",
    "/models/x/rollback",
    "/models/x/clear-alarm",
]


@pytest.fixture(scope="module")
def tokens(gateway_ledger: Ledger) -> dict[Role, str]:
    audit = {"user": "test", "reason": "a test"}
    return {role: gateway_ledger.tokens.create(f"the-{role}", role, **audit).text for role in Role}


@pytest.mark.parametrize("role", [Role.READER, Role.PRODUCER])
def test_readers_and_producers_read_and_change_nothing(
    gateway: GatewayProcess, gateway_ledger: Ledger, tokens: dict[Role, str], role: Role
) -> None:
    before = gateway_ledger.controls.changes()
    with gateway.client(tokens[role]) as http:
        assert [(path, http.get(path).status_code) for path in READ] == [(path, 200) for path in READ]
        for method, path in CHANGES:
            reply = http.request(method, path, json={"value": 2, "reason": "x"})
            assert (path, reply.status_code) == (path, 403)
            assert "this needs operator" in reply.json()["detail"]
        for path in PAGES:
            assert (path, http.get(f"/operations{path}").status_code) == (path, 403)
        for path in FORMS:
            assert (path, http.post(f"/operations{path}", data={"reason": "x"}).status_code) == (path, 403)
        assert "/operations" not in http.get("/record", headers={"Accept": "text/html"}).text
    assert gateway_ledger.controls.changes() == before


def test_without_a_token_nothing_is_shown(gateway: GatewayProcess, tokens: dict[Role, str]) -> None:
    assert len(tokens) == len(Role)
    with gateway.client() as http:
        for path in (*READ, *(f"/operations{page}" for page in PAGES)):
            assert (path, http.get(path).status_code) == (path, 401)


def test_a_change_is_audited_under_the_name_of_the_token(gateway: GatewayProcess, tokens: dict[Role, str]) -> None:
    with gateway.client(tokens[Role.OPERATOR]) as http:
        changed = http.put("/v1/controls/max_threads", json={"value": 2, "reason": "a test"}).json()["changes"]
        assert changed[0]["who"] == "the-operator"
        assert_page(http)


def assert_page(http: httpx.Client) -> None:
    page = http.get("/operations/controls", headers={"Accept": "text/html"}).text
    assert "the-operator: a test" in page
