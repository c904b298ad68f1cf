from __future__ import annotations

import os
import select

import pytest

from workers.observability.metrics import OTHER_KIND, Metrics
from workers.pool.event_pipe import (
    AttemptEnded,
    CardMetrics,
    ChildKilled,
    DroppedEvents,
    Event,
    EventPipe,
    together,
)


def received(event_pipe: EventPipe) -> list[Event]:
    events: list[Event] = []
    while more := event_pipe.receive(0):
        events += more
    return events


def test_what_a_child_tells_arrives_whole_even_if_it_dies_at_once() -> None:
    event_pipe = EventPipe()
    sent: list[Event] = [
        AttemptEnded("predict_card", "succeeded", 1, 0.5, 0.25),
        ChildKilled("time limit"),
    ]
    if (child := os.fork()) == 0:
        for event in sent:
            event_pipe.send(event)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert received(event_pipe) == sent


def test_nobody_waits_for_a_main_process_that_stands_still() -> None:
    event_pipe = EventPipe()
    for number in range(200_000):
        event_pipe.send(ChildKilled(f"reason {number}"))
    events = received(event_pipe)
    assert 0 < len(events) < 200_000
    event_pipe.send(ChildKilled("after"))
    assert received(event_pipe) == [DroppedEvents(200_000 - len(events)), ChildKilled("after")]


def test_what_is_too_long_for_one_piece_is_dropped_and_counted() -> None:
    event_pipe = EventPipe()
    event_pipe.send(ChildKilled("x" * select.PIPE_BUF))
    event_pipe.send(ChildKilled("short"))
    assert received(event_pipe) == [DroppedEvents(1), ChildKilled("short")]


def test_many_are_told_in_few_pieces_and_one_too_long_takes_no_other_along() -> None:
    event_pipe = EventPipe()
    sent: list[Event] = [ChildKilled(f"reason {number}") for number in range(1_000)]
    event_pipe.send(*sent[:500], ChildKilled("x" * 2**17), *sent[500:])
    assert received(event_pipe) == sent
    event_pipe.send(ChildKilled("after"))
    assert received(event_pipe) == [DroppedEvents(1), ChildKilled("after")]


def test_the_largest_card_is_short_enough() -> None:
    many = [0.123456789] * 64
    levels = {"0.8": 64, "0.95": 64}
    figures = CardMetrics(
        64, {f"reason_{n}": 64 for n in range(10)}, 64, {"unknown_fighter": 64}, many, {}, levels, levels
    )
    event_pipe = EventPipe()
    event_pipe.send(AttemptEnded("predict_card", "succeeded", 3, 1e9, 1e9, figures))
    assert len(received(event_pipe)) == 1


def test_small_attempts_are_counted_together_as_they_are_one_by_one() -> None:
    figures = CardMetrics(1, {}, 0, {}, [0.2], {}, {}, {})
    attempts = [AttemptEnded("check_health", "succeeded", 1, number / 100, number / 1000) for number in range(500)]
    attempts += [
        AttemptEnded("check_health", "internal", 1, 0.5, 0.25),
        AttemptEnded("check_health", "released", 1, None, 0.25),
        AttemptEnded("predict_card", "succeeded", 1, 0.5, 0.25, figures),
        AttemptEnded("check_health", "succeeded", 1, 0.5, 0.25, None, ("0" * 32, "0" * 16)),
    ]
    one_by_one, counted_together = Metrics(["predict"]), Metrics(["predict"])
    for attempt in attempts:
        one_by_one.observe(attempt)
    event_pipe = EventPipe()
    event_pipe.send(*together(attempts))
    events = received(event_pipe)
    for event in events:
        counted_together.observe(event)
    assert len(events) < 10
    for name, values in one_by_one.values().items():
        if name.startswith(("cornerman_jobs", "cornerman_attempts", "cornerman_queue_wait", "cornerman_run_seconds")):
            assert counted_together.values()[name] == pytest.approx(values)


def test_a_kind_of_a_callers_making_gets_no_series_of_its_own() -> None:
    metrics = Metrics(["predict"])
    metrics.observe(AttemptEnded("made_up", "internal", 1))
    counted = metrics.values()["cornerman_jobs_total"]
    assert counted[(("kind", OTHER_KIND), ("outcome", "internal"))] == 1
    assert not [labels for labels in counted if ("kind", "made_up") in labels]
