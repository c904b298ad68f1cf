"""Checks of the preflight that turn controls: two workers, each drained in turn, and the migration guide's rollback.

After each of them the answer must be what it was before, to the byte.
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
"""Within which a control acts."""
SLOW_SECONDS = 5.0
"""The migration guide's threshold for the processing of a card."""
ASKED = 10
FEWEST = 10


def same_over_workers(rehearsal: Rehearsal) -> str:
    """Ask the same of two workers, each while the other is drained."""
    with rehearsal.second_node():
        (here,) = rehearsal.nodes() - {SECOND_NODE}
        answers = []
        for drained in (SECOND_NODE, here):
            rehearsal.turn({f"drain.{drained}": True})
            answers.append(rehearsal.ask())
            rehearsal.turn({f"drain.{drained}": None})
    require(answers[0] == answers[1], f"{here} and {SECOND_NODE} answer the same card differently")
    return f"{here} and {SECOND_NODE} answer with the same {len(answers[0]):,} bytes"


def processing_time(rehearsal: Rehearsal) -> str:
    """Ask for a card again and again."""
    took = []
    for _ in range(ASKED):
        started_seconds = time.monotonic()
        rehearsal.ask()
        took.append(time.monotonic() - started_seconds)
    middle, slowest = statistics.median(took), max(took)
    said = f"{len(rehearsal.card.fights)} fights: median {middle:.3f} s, slowest of {ASKED} {slowest:.3f} s"
    require(middle < SLOW_SECONDS, f"{said}; the median may be {SLOW_SECONDS:g} s")
    return said


def switches(rehearsal: Rehearsal) -> str:
    """Turn each switch and back: the answer changes as it must, and says so."""
    before = rehearsal.ask()
    rehearsal.turn({"bootstrap": False})
    _check_switched(rehearsal.ask(), "bootstrap=off", reason="switched_off")
    rehearsal.turn({"bootstrap": None, "max_replicas": FEWEST})
    _check_switched(rehearsal.ask(), f"max_replicas={FEWEST}", reason=None)
    rehearsal.turn({"max_replicas": None, "max_threads": 1, "max_batch_size": 5})
    require(rehearsal.ask() == before, "one thread and batches of 5 replicas change the answer")
    rehearsal.turn({"max_threads": None, "max_batch_size": None})
    require(rehearsal.ask() == before, "with every switch back the answer is not what it was")
    return f"bootstrap off, {FEWEST} replicas, one thread, batches of 5: each as it must be, then the same bytes again"


def other_model(rehearsal: Rehearsal) -> str:
    """Move the alias to another model and back."""
    first, second = rehearsal.models
    before = rehearsal.ask()
    rehearsal.turn({"model.champion": second})
    answered = card_report(rehearsal.ask()).model
    rehearsal.turn({"model.champion": first})
    require(answered == second, f"with the alias moved to {second[:12]}, {answered[:12]} answers")
    require(rehearsal.ask() == before, "with the alias back the answer is not what it was")
    return f"champion moved from {first[:12]} to {second[:12]}, then the same bytes again"


def pause(rehearsal: Rehearsal) -> str:
    """Pause the queue and resume it."""
    rehearsal.turn({"pause.predict": True})
    job_id = rehearsal.enqueue()
    time.sleep(ACT_SECONDS)
    state = rehearsal.service.client.status(job_id).state
    rehearsal.turn({"pause.predict": None})
    resumed_seconds = time.monotonic()
    require(state is State.QUEUED, f"a card that was submitted to a paused queue is {state}")
    report_of(rehearsal.service.wait(job_id, rehearsal.on_progress))
    took = time.monotonic() - resumed_seconds
    require(took < ACT_SECONDS + SLOW_SECONDS, f"a card was answered only {took:.1f} s after the pause")
    return f"a card waited while paused and was answered {took:.1f} s after the pause"


def _check_switched(report: bytes, switch: str, *, reason: str | None) -> None:
    """Check that a report says under which switch it was made, and why there are no sampling intervals, if so."""
    card = card_report(report)
    require(card.switches == (switch,), f"under {switch} the report names the switches {card.switches}")
    for fight in card.fights:
        if isinstance(fight, FightReport):
            found = (fight.fighters[0].sampling_interval is None, fight.sampling_reason)
            require(found == (reason is not None, reason), f"under {switch} fight {fight.id} has no interval: {found}")
