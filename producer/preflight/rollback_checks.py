"""Preflight checks that change controls: two workers, each drained in turn, and the migration guide's rollback.

After each check the prediction must be identical to the one before, to the byte.
"""

from __future__ import annotations

import statistics
import time

from ledger.contracts.job_state import State
from ledger.contracts.reports import FightReport
from producer.client import report_of
from producer.preflight.check import require
from producer.preflight.environment import SECOND_NODE, Rehearsal, card_report

ACT_SECONDS = 2.0
"""Time within which a control takes effect."""
SLOW_SECONDS = 5.0
"""The migration guide's limit for the processing of a card."""
ASKED = 10
FEWEST = 10


def same_over_workers(rehearsal: Rehearsal) -> str:
    """Check that two workers, each used while the other is drained, predict the same bytes."""
    with rehearsal.second_node():
        (here,) = rehearsal.nodes() - {SECOND_NODE}
        answers = []
        for drained in (SECOND_NODE, here):
            rehearsal.turn({f"drain.{drained}": True})
            answers.append(rehearsal.ask())
            rehearsal.turn({f"drain.{drained}": None})
    require(answers[0] == answers[1], f"{here} and {SECOND_NODE} predict the same card differently")
    return f"{here} and {SECOND_NODE} predict the same {len(answers[0]):,} bytes"


def processing_time(rehearsal: Rehearsal) -> str:
    """Check the median time to predict a card."""
    took = []
    for _ in range(ASKED):
        started_seconds = time.monotonic()
        rehearsal.ask()
        took.append(time.monotonic() - started_seconds)
    middle, slowest = statistics.median(took), max(took)
    found = f"{len(rehearsal.card.fights)} fights: median {middle:.3f} s, slowest of {ASKED} {slowest:.3f} s"
    require(middle < SLOW_SECONDS, f"{found}; the limit of the median is {SLOW_SECONDS:g} s")
    return found


def switches(rehearsal: Rehearsal) -> str:
    """Check that each switch changes the prediction and the report as expected, and that switching back undoes it."""
    before = rehearsal.ask()
    rehearsal.turn({"bootstrap": False})
    _check_switched(rehearsal.ask(), "bootstrap=off", reason="switched_off")
    rehearsal.turn({"bootstrap": None, "max_replicas": FEWEST})
    _check_switched(rehearsal.ask(), f"max_replicas={FEWEST}", reason=None)
    rehearsal.turn({"max_replicas": None, "max_threads": 1, "max_batch_size": 5})
    require(rehearsal.ask() == before, "one thread and batches of 5 replicas change the prediction")
    rehearsal.turn({"max_threads": None, "max_batch_size": None})
    require(rehearsal.ask() == before, "with every switch reset the prediction is not what it was")
    return f"bootstrap off, {FEWEST} replicas, one thread, batches of 5: each as expected, then the same bytes again"


def other_model(rehearsal: Rehearsal) -> str:
    """Check that moving the alias to another model and back restores the prediction."""
    first, second = rehearsal.models
    before = rehearsal.ask()
    rehearsal.turn({"model.champion": second})
    answered = card_report(rehearsal.ask()).model
    rehearsal.turn({"model.champion": first})
    require(answered == second, f"with the alias moved to {second[:12]}, {answered[:12]} predicts")
    require(rehearsal.ask() == before, "with the alias moved back the prediction is not what it was")
    return f"champion moved from {first[:12]} to {second[:12]}, then the same bytes again"


def pause(rehearsal: Rehearsal) -> str:
    """Check that a paused queue holds a card, and that resuming it releases the card."""
    rehearsal.turn({"pause.predict": True})
    job_id = rehearsal.enqueue()
    time.sleep(ACT_SECONDS)
    state = rehearsal.service.client.status(job_id).state
    rehearsal.turn({"pause.predict": None})
    resumed_seconds = time.monotonic()
    require(state is State.QUEUED, f"a card that was submitted to a paused queue is {state}")
    report_of(rehearsal.service.wait(job_id, rehearsal.on_progress))
    took = time.monotonic() - resumed_seconds
    require(took < ACT_SECONDS + SLOW_SECONDS, f"a card was predicted only {took:.1f} s after the pause")
    return f"a card waited during the pause and was predicted {took:.1f} s after it"


def _check_switched(report: bytes, switch: str, *, reason: str | None) -> None:
    """Check that a report names the switch and the reason why sampling intervals are missing, or has them."""
    card = card_report(report)
    require(card.switches == (switch,), f"under {switch} the report names the switches {card.switches}")
    for fight in card.fights:
        if isinstance(fight, FightReport):
            found = (fight.fighters[0].sampling_interval is None, fight.sampling_reason)
            require(found == (reason is not None, reason), f"under {switch} fight {fight.id} has no interval: {found}")
