"""Cards enqueued and outcomes read over HTTP, against Flower's API with plain Celery.

    python -m benchmarks.gateway.throughput [--json]

Cards of 12 fights, over 32 connections that are kept open. The workers of both sides, two processes each, are stopped
while cards are enqueued and at work or idle otherwise. The clients run on the same two cores.
"""

from __future__ import annotations

import secrets
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks.gateway import servers
from benchmarks.gateway.http_load import Load, request_bytes, run_load
from benchmarks.gateway.servers import HttpServer
from benchmarks.queue.cards import card
from benchmarks.queue.competitors import wait_until
from benchmarks.queue.environment import QueueEnvironment, queue_environment
from benchmarks.results import Row, run_command

COMMAND = "python -m benchmarks.gateway.throughput"
WANTED_CARDS, WANTED_OUTCOMES = 1500, 1000  # a second


def measure(*, repeats: int = 3, cards: int = 2000, naive_cards: int = 200) -> list[Row]:
    """Measure both sides alternately."""
    enqueued: dict[str, list[float]] = {"naive": [], "ours": []}
    read: dict[str, list[float]] = {"naive": [], "ours": []}
    with ExitStack() as stack:
        environment = stack.enter_context(queue_environment())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        gateway = stack.enter_context(servers.our_gateway(environment.ledger.settings, folder))
        flower = stack.enter_context(servers.flower(environment.url, folder))
        for turn in range(repeats + 1):
            sent, outcomes = _naive(environment, flower, naive_cards)
            made, answers = _ours(environment, gateway, cards)
            if turn:  # the first one warms up
                enqueued["naive"].append(sent.per_second)
                read["naive"].append(outcomes.per_second)
                enqueued["ours"].append(made.per_second)
                read["ours"].append(answers.per_second)
    return [
        Row(
            "cards of 12 fights enqueued over HTTP against Flower's API",
            "cards/s",
            tuple(enqueued["naive"]),
            tuple(enqueued["ours"]),
            5.0,
            True,
            f"{WANTED_CARDS:,} wanted; {COMMAND}",
        ),
        Row(
            "outcomes of such cards read over HTTP against Flower's API",
            "outcomes/s",
            tuple(read["naive"]),
            tuple(read["ours"]),
            5.0,
            True,
            f"{WANTED_OUTCOMES:,} wanted; {COMMAND}",
        ),
    ]


def _naive(environment: QueueEnvironment, flower: HttpServer, cards: int) -> tuple[Load, Load]:
    bodies = [msgspec.json.encode({"args": [msgspec.to_builtins(card(secrets.token_hex(8)))]}) for _ in range(cards)]
    requests = [request_bytes(flower.url, "POST", "/api/task/send-task/answer_card", body) for body in bodies]
    with environment.celery.paused():
        sent = run_load(flower.url, requests)
    ids = [msgspec.json.decode(body)["task-id"] for body in sent.bodies]
    wait_until(lambda: all(environment.tasks["answer_card"].AsyncResult(name).ready() for name in ids), "plain Celery")
    return sent, run_load(flower.url, [request_bytes(flower.url, "GET", f"/api/task/result/{name}") for name in ids])


def _ours(environment: QueueEnvironment, gateway: HttpServer, cards: int) -> tuple[Load, Load]:
    bodies = [msgspec.json.encode(card(secrets.token_hex(8))) for _ in range(cards)]
    requests = [request_bytes(gateway.url, "POST", "/v1/jobs", body) for body in bodies]
    with environment.ours.paused():
        made = run_load(gateway.url, requests)
    ids = [msgspec.json.decode(body)["job_id"] for body in made.bodies]
    wait_until(lambda: all(environment.ledger.status(job_id).state.final for job_id in ids), "our pool")
    reads = [request_bytes(gateway.url, "GET", f"/v1/jobs/{job_id}/outcome") for job_id in ids]
    answers = run_load(gateway.url, reads)
    if not all(b'"card_report"' in body for body in answers.bodies):
        raise RuntimeError("an outcome has no report")
    return made, answers


if __name__ == "__main__":
    run_command(measure, __doc__ or "")
