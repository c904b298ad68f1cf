"""Tokens: who may do what over HTTP, and how much."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from ledger.contracts.job_state import JobStatus
from ledger.contracts.jobs import CheckHealth, TrainEnsemble
from ledger.ledger import Ledger
from ledger.operations.tokens import CallerLimits, Role
from tests.support.gateways import GatewayProcess, refused_start, running_gateway

JSON = {"Content-Type": "application/json"}
AUDIT = {"user": "test", "reason": "a test"}


def token(ledger: Ledger, caller: str, role: Role, **options: object) -> str:
    return ledger.tokens.create(caller, role, **AUDIT, **options).text  # type: ignore[arg-type]


def submit(http: httpx.Client, job: object) -> httpx.Response:
    return http.post("/v1/jobs", content=msgspec.json.encode(job), headers=JSON)


def check() -> CheckHealth:
    return CheckHealth(model=uuid.uuid4().hex)


def test_everybody_is_the_operator_until_a_token_is_made(
    ledger: Ledger, tmp_path: Path, until: Callable[..., None]
) -> None:
    with running_gateway(ledger.settings, tmp_path) as gateway, gateway.client() as http:
        assert submit(http, check()).status_code == 201
        token(ledger, "odds", Role.READER)
        until(lambda: http.get("/v1/jobs").status_code == 401, 10)
        refused = submit(http, check())
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.headers["content-type"] == "application/problem+json"
        assert http.get("/healthz").status_code == 200


@pytest.fixture(scope="module")
def roles(gateway_ledger: Ledger, gateway: GatewayProcess) -> dict[Role, str]:
    """A token of each role, of the caller of the same name."""
    return {role: token(gateway_ledger, f"the-{role}", role) for role in Role}


def test_each_role_may_do_what_it_may(gateway: GatewayProcess, roles: dict[Role, str]) -> None:
    training = TrainEnsemble(data=f"/nowhere/{uuid.uuid4().hex}")
    allowed = {
        Role.READER: (200, 403, 403),
        Role.PRODUCER: (200, 201, 403),
        Role.OPERATOR: (200, 201, 201),
    }
    for role, statuses in allowed.items():
        with gateway.client(roles[role]) as http:
            found = (
                http.get("/v1/jobs").status_code,
                submit(http, check()).status_code,
                submit(http, training).status_code,
            )
        assert found == statuses, role


def test_who_asked_is_on_the_record(gateway: GatewayProcess, roles: dict[Role, str], gateway_ledger: Ledger) -> None:
    with gateway.client(roles[Role.PRODUCER]) as http:
        made = submit(http, check())
        status = msgspec.json.decode(http.get(made.headers["location"]).content, type=JobStatus)
        assert status.caller == "the-producer"
        listed = http.get("/v1/jobs", params={"caller": "the-producer"}).json()["jobs"]
        assert made.json()["job_id"] in [job["job_id"] for job in listed]
        assert 'caller="the-producer"' in http.get("/metrics").text
    assert '"caller": "the-producer"' in gateway.log.read_text()


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer nonsense", "Basic eDp5", "Bearer cornerman_000000000000_" + "x" * 43]
)
def test_what_is_no_token_is_401(gateway: GatewayProcess, roles: dict[Role, str], header: str) -> None:
    for path in ("/v1/jobs", "/metrics"):
        reply = httpx.get(f"{gateway.url}{path}", headers={"Authorization": header})
        assert reply.status_code == 401
        assert "nonsense" not in reply.text


def test_a_revoked_token_ends_within_seconds(
    gateway: GatewayProcess, gateway_ledger: Ledger, until: Callable[..., None]
) -> None:
    made = gateway_ledger.tokens.create("leaver", Role.READER, **AUDIT)
    with gateway.client(made.text) as http:
        assert http.get("/v1/jobs").status_code == 200
        gateway_ledger.tokens.revoke(made.record.token_id, **AUDIT)
        until(lambda: http.get("/v1/jobs").status_code == 401, 15)


def test_a_caller_above_its_rate_is_told_when_to_come_again(gateway: GatewayProcess, gateway_ledger: Ledger) -> None:
    slow = token(gateway_ledger, "slow", Role.READER, limits=CallerLimits(requests_per_second=1, burst=3))
    with gateway.client(slow) as http:
        replies = [http.get("/v1/jobs") for _ in range(6)]
        refused = [reply for reply in replies if reply.status_code == 429]
        assert len(refused) >= 2
        assert refused[0].json()["retryable"]
        time.sleep(int(refused[-1].headers["retry-after"]))
        assert http.get("/v1/jobs").status_code == 200


def test_a_caller_above_its_quota_is_told(gateway: GatewayProcess, gateway_ledger: Ledger) -> None:
    small = token(gateway_ledger, "small", Role.PRODUCER, limits=CallerLimits(jobs_per_day=2))
    with gateway.client(small) as http:
        jobs = [check() for _ in range(3)]
        assert [submit(http, job).status_code for job in jobs] == [201, 201, 429]
        assert submit(http, jobs[0]).status_code == 200  # a job that is known does not count
        refused = submit(http, jobs[2])
        assert int(refused.headers["retry-after"]) > 0


def test_no_secret_is_in_the_log(gateway: GatewayProcess, roles: dict[Role, str]) -> None:
    with gateway.client(roles[Role.READER]) as http:
        http.get("/v1/jobs")
    secrets = [text.split("_", 2)[2] for text in roles.values()]  # which may have underscores of their own
    assert not any(secret in gateway.log.read_text() for secret in secrets)


def test_other_machines_need_tokens_and_tls(ledger: Ledger, tmp_path: Path) -> None:
    everywhere = {"gateway_host": "0.0.0.0"}  # noqa: S104 - what is tested
    assert "token" in refused_start(ledger.settings, tmp_path, **everywhere)[1]
    token(ledger, "ops", Role.OPERATOR)
    code, text = refused_start(ledger.settings, tmp_path, **everywhere)
    assert (code, "CORNERMAN_GATEWAY_CERTIFICATE" in text) == (78, True)
    with running_gateway(ledger.settings, tmp_path, **everywhere, gateway_behind_proxy="127.0.0.1") as gateway:
        port = httpx.URL(gateway.url).port
        assert httpx.get(f"http://127.0.0.1:{port}/v1/jobs").status_code == 401
