"""Preflight checks that change controls: two workers, each drained in turn, and the migration guide's rollback.

After each check the prediction must be identical to the one before, to the byte.
"""

from __future__ import annotations

import statistics
import time

from ledger.contracts.job_state import JobState
from ledger.contracts.reports import FightReport
from producer.client import require_report
from producer.preflight.check import expect
from producer.preflight.environment import SECOND_NODE, PreflightEnvironment, decode_card_report

CONTROL_DELAY_SECONDS = 2.0
"""Time within which a control takes effect."""
MAX_PROCESSING_SECONDS = 5.0
"""The migration guide's limit for the processing of a card."""
REPEATS = 10
MIN_REPLICAS = 10


def check_same_over_workers(environment: PreflightEnvironment) -> str:
    """Check that two workers, each used while the other is drained, predict the same bytes."""
    with environment.second_node():
        (here,) = environment.nodes() - {SECOND_NODE}
        answers = []
        for drained in (SECOND_NODE, here):
            environment.set_controls({f"drain.{drained}": True})
            answers.append(environment.predict())
            environment.set_controls({f"drain.{drained}": None})
    expect(answers[0] == answers[1], f"{here} and {SECOND_NODE} predict the same card differently")
    return f"{here} and {SECOND_NODE} predict the same {len(answers[0]):,} bytes"


def check_processing_time(environment: PreflightEnvironment) -> str:
    """Check the median time to predict a card."""
    took = []
    for _ in range(REPEATS):
        started_seconds = time.monotonic()
        environment.predict()
        took.append(time.monotonic() - started_seconds)
    middle, slowest = statistics.median(took), max(took)
    found = f"{len(environment.card.fights)} fights: median {middle:.3f} s, slowest of {REPEATS} {slowest:.3f} s"
    expect(middle < MAX_PROCESSING_SECONDS, f"{found}; the limit of the median is {MAX_PROCESSING_SECONDS:g} s")
    return found


def check_switches(environment: PreflightEnvironment) -> str:
    """Check that each switch changes the prediction and the report as expected, and that switching back undoes it."""
    before = environment.predict()
    environment.set_controls({"bootstrap": False})
    _check_switched(environment.predict(), "bootstrap=off", reason="switched_off")
    environment.set_controls({"bootstrap": None, "max_replicas": MIN_REPLICAS})
    _check_switched(environment.predict(), f"max_replicas={MIN_REPLICAS}", reason=None)
    environment.set_controls({"max_replicas": None, "max_threads": 1, "max_batch_size": 5})
    expect(environment.predict() == before, "one thread and batches of 5 replicas change the prediction")
    environment.set_controls({"max_threads": None, "max_batch_size": None})
    expect(environment.predict() == before, "with every switch reset the prediction is not what it was")
    return (
        f"bootstrap off, {MIN_REPLICAS} replicas, one thread, batches of 5: each as expected, then the same bytes again"
    )


def check_other_model(environment: PreflightEnvironment) -> str:
    """Check that moving the alias to another model and back restores the prediction."""
    first, second = environment.models
    before = environment.predict()
    environment.set_controls({"model.champion": second})
    answered = decode_card_report(environment.predict()).model
    environment.set_controls({"model.champion": first})
    expect(answered == second, f"with the alias moved to {second[:12]}, {answered[:12]} predicts")
    expect(environment.predict() == before, "with the alias moved back the prediction is not what it was")
    return f"champion moved from {first[:12]} to {second[:12]}, then the same bytes again"


def check_pause(environment: PreflightEnvironment) -> str:
    """Check that a paused queue holds a card, and that resuming it releases the card."""
    environment.set_controls({"pause.predict": True})
    job_id = environment.enqueue()
    time.sleep(CONTROL_DELAY_SECONDS)
    state = environment.service.client.status(job_id).state
    environment.set_controls({"pause.predict": None})
    resumed_seconds = time.monotonic()
    expect(state is JobState.QUEUED, f"a card that was submitted to a paused queue is {state}")
    require_report(environment.service.wait(job_id, environment.on_progress))
    took = time.monotonic() - resumed_seconds
    expect(
        took < CONTROL_DELAY_SECONDS + MAX_PROCESSING_SECONDS, f"a card was predicted only {took:.1f} s after the pause"
    )
    return f"a card waited during the pause and was predicted {took:.1f} s after it"


def _check_switched(report: bytes, switch: str, *, reason: str | None) -> None:
    """Check that a report names the switch and the reason why sampling intervals are missing, or has them."""
    card = decode_card_report(report)
    expect(card.switches == (switch,), f"under {switch} the report names the switches {card.switches}")
    for fight in card.fights:
        if isinstance(fight, FightReport):
            found = (fight.fighters[0].sampling_interval is None, fight.sampling_reason)
            expect(found == (reason is not None, reason), f"under {switch} fight {fight.id} has no interval: {found}")
