from __future__ import annotations

from workers.observability.metrics import Metrics
from workers.pool.event_pipe import AttemptEnded, ReapEvent

NAMES = frozenset({"cornerman_jobs_total", "cornerman_reaped_jobs_total", "cornerman_queue_length"})


def test_values_of_some_names_are_those_of_all() -> None:
    metrics = Metrics(["predict"])
    events = [
        AttemptEnded("predict_card", "succeeded", 1, queue_wait_seconds=0.1, run_seconds=0.2),
        ReapEvent(1, 2, 3),
        AttemptEnded("predict_card", "released", 1),
    ]
    lengths = [{("predict",): 1.0}, {("predict",): 2.0}, {}, {("predict",): 3.0}]
    for length, event in zip(lengths, [None, *events], strict=True):
        if event is not None:
            metrics.observe(event)
        metrics.publish({"cornerman_queue_length": length})
        for _ in range(2):  # counters are read again only after an event
            every = metrics.values()
            assert metrics.values(NAMES) == {name: every[name] for name in NAMES & every.keys()}
    metrics.count_spans("sent", 2)
    assert metrics.values({"cornerman_spans_total"})["cornerman_spans_total"][("fate", "sent"),] == 2
