from __future__ import annotations

import os
import select

from workers.observability.metrics import OTHER_KIND, Metrics
from workers.pool.event_pipe import (
    AttemptEnded,
    CardMetrics,
    ChildKilled,
    DroppedEvents,
    Event,
    EventPipe,
    SupervisorTick,
)


def heard(telemetry: EventPipe) -> list[Event]:
    events: list[Event] = []
    while more := telemetry.receive(0):
        events += more
    return events


def test_what_a_child_tells_arrives_whole_even_if_it_dies_at_once() -> None:
    telemetry = EventPipe()
    told: list[Event] = [
        AttemptEnded("predict_card", "succeeded", 1, 0.5, 0.25),
        ChildKilled("time limit"),
        SupervisorTick(None, True),
    ]
    if (child := os.fork()) == 0:
        for event in told:
            telemetry.send(event)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert heard(telemetry) == told


def test_nobody_waits_for_a_main_process_that_stands_still() -> None:
    telemetry = EventPipe()
    for number in range(200_000):
        telemetry.send(ChildKilled(f"reason {number}"))
    events = heard(telemetry)
    assert 0 < len(events) < 200_000
    telemetry.send(ChildKilled("after"))
    assert heard(telemetry) == [DroppedEvents(200_000 - len(events)), ChildKilled("after")]


def test_what_is_too_long_for_one_piece_is_dropped_and_counted() -> None:
    telemetry = EventPipe()
    telemetry.send(ChildKilled("x" * select.PIPE_BUF))
    telemetry.send(ChildKilled("short"))
    assert heard(telemetry) == [DroppedEvents(1), ChildKilled("short")]


def test_many_are_told_in_few_pieces_and_one_too_long_takes_no_other_along() -> None:
    telemetry = EventPipe()
    told: list[Event] = [ChildKilled(f"reason {number}") for number in range(1_000)]
    telemetry.send(*told[:500], ChildKilled("x" * 2**17), *told[500:])
    assert heard(telemetry) == told
    telemetry.send(ChildKilled("after"))
    assert heard(telemetry) == [DroppedEvents(1), ChildKilled("after")]


def test_the_largest_card_is_short_enough() -> None:
    many = [0.123456789] * 64
    levels = {"0.8": 64, "0.95": 64}
    figures = CardMetrics(
        64, {f"reason_{n}": 64 for n in range(10)}, 64, {"unknown_fighter": 64}, many, {}, levels, levels
    )
    telemetry = EventPipe()
    telemetry.send(AttemptEnded("predict_card", "succeeded", 3, 1e9, 1e9, figures))
    assert len(heard(telemetry)) == 1


def test_a_kind_of_a_callers_making_gets_no_series_of_its_own() -> None:
    metrics = Metrics(["predict"])
    metrics.observe(AttemptEnded("made_up", "internal", 1))
    counted = metrics.values()["cornerman_jobs_total"]
    assert counted[(("kind", OTHER_KIND), ("outcome", "internal"))] == 1
    assert not [labels for labels in counted if ("kind", "made_up") in labels]
