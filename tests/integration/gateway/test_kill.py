"""A gateway that is killed at any moment: what it answered with 201 is in the ledger, the rest can be sent again."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from tests.support.gateways import GatewayProcess, running_gateway

JSON = {"Content-Type": "application/json"}


def submit_until_it_is_gone(gateway: GatewayProcess, sent: dict[str, int]) -> None:
    """Submit jobs under keys of their own and note each answer, 0 for none."""
    with gateway.client() as http:
        while True:
            key = uuid.uuid4().hex
            sent[key] = 0
            try:
                reply = http.post("/v1/jobs", content=job(key), headers={**JSON, "Idempotency-Key": key})
            except httpx.TransportError:
                return
            sent[key] = reply.status_code


def job(key: str) -> bytes:
    return msgspec.json.encode(CheckHealth(nonce=key))


@pytest.mark.parametrize("after_answers", [1, 300])
def test_what_was_answered_is_there_and_the_rest_is_sent_again(
    ledger: Ledger, tmp_path: Path, until: Callable[..., None], after_answers: int
) -> None:
    sent: dict[str, int] = {}
    with running_gateway(ledger.settings, tmp_path) as gateway:
        callers = [threading.Thread(target=submit_until_it_is_gone, args=(gateway, sent)) for _ in range(6)]
        for caller in callers:
            caller.start()
        until(lambda: list(sent.values()).count(201) >= after_answers)
        gateway.stop(signal.SIGKILL)
        for caller in callers:
            caller.join(30)
    answered = [key for key, status in sent.items() if status == 201]
    unanswered = [key for key, status in sent.items() if status == 0]
    assert answered
    assert unanswered
    assert all(ledger.status(key).state is JobState.QUEUED for key in answered)
    with running_gateway(ledger.settings, tmp_path) as gateway, gateway.client() as http:
        for key in (*unanswered, *answered[:5]):
            again = http.post("/v1/jobs", content=job(key), headers={**JSON, "Idempotency-Key": key})
            assert again.status_code in ((200, 201) if key in unanswered else (200,))
    assert ledger.queue_stats.depths()["predict"] == len(answered) + len(unanswered)  # none twice
