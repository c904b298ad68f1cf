from __future__ import annotations

import os
import select

from workers.observability.metrics import OTHER, Metrics
from workers.pool.event_pipe import Attempt, Dropped, Event, Figures, Kill, Look, Telemetry


def heard(telemetry: Telemetry) -> list[Event]:
    events: list[Event] = []
    while more := telemetry.listen(0):
        events += more
    return events


def test_what_a_child_tells_arrives_whole_even_if_it_dies_at_once() -> None:
    telemetry = Telemetry()
    told: list[Event] = [Attempt("predict_card", "succeeded", 1, 0.5, 0.25), Kill("time limit"), Look(None, True)]
    if (child := os.fork()) == 0:
        for event in told:
            telemetry.tell(event)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert heard(telemetry) == told


def test_nobody_waits_for_a_main_process_that_stands_still() -> None:
    telemetry = Telemetry()
    for number in range(200_000):
        telemetry.tell(Kill(f"reason {number}"))
    events = heard(telemetry)
    assert 0 < len(events) < 200_000
    telemetry.tell(Kill("after"))
    assert heard(telemetry) == [Dropped(200_000 - len(events)), Kill("after")]


def test_what_is_too_long_for_one_piece_is_dropped_and_counted() -> None:
    telemetry = Telemetry()
    telemetry.tell(Kill("x" * select.PIPE_BUF))
    telemetry.tell(Kill("short"))
    assert heard(telemetry) == [Dropped(1), Kill("short")]


def test_many_are_told_in_few_pieces_and_one_too_long_takes_no_other_along() -> None:
    telemetry = Telemetry()
    told: list[Event] = [Kill(f"reason {number}") for number in range(1_000)]
    telemetry.tell(*told[:500], Kill("x" * 2**17), *told[500:])
    assert heard(telemetry) == told
    telemetry.tell(Kill("after"))
    assert heard(telemetry) == [Dropped(1), Kill("after")]


def test_the_largest_card_is_short_enough() -> None:
    many = [0.123456789] * 64
    levels = {"0.8": 64, "0.95": 64}
    figures = Figures(64, {f"reason_{n}": 64 for n in range(10)}, 64, {"unknown_fighter": 64}, many, {}, levels, levels)
    telemetry = Telemetry()
    telemetry.tell(Attempt("predict_card", "succeeded", 3, 1e9, 1e9, figures))
    assert len(heard(telemetry)) == 1


def test_a_kind_of_a_callers_making_gets_no_series_of_its_own() -> None:
    metrics = Metrics(["predict"])
    metrics.observe(Attempt("made_up", "internal", 1))
    counted = metrics.values()["cornerman_jobs_total"]
    assert counted[(("kind", OTHER), ("outcome", "internal"))] == 1
    assert not [labels for labels in counted if ("kind", "made_up") in labels]
