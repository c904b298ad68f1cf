from __future__ import annotations

import os

import pytest

from ledger.contracts.controls import Controls, ControlValue
from workers.jobs.operator_overrides import ReplicaSelection, limit_batch_size, limit_threads, select_replicas

OFF, CAPPED = ("bootstrap=off",), ("max_replicas=20",)


@pytest.mark.parametrize(
    ("given", "wanted", "n_replicas", "expected"),
    [
        ({}, None, 100, ReplicaSelection(100)),
        ({}, 30, 100, ReplicaSelection(30)),
        ({"bootstrap": True}, None, 100, ReplicaSelection(100)),
        ({"bootstrap": False}, None, 100, ReplicaSelection(0, OFF)),
        ({"bootstrap": False, "max_replicas": 20}, None, 100, ReplicaSelection(0, OFF)),
        ({"bootstrap": False}, 0, 100, ReplicaSelection(0)),  # the job asked for none: the switch changes nothing
        ({"bootstrap": False}, None, 0, ReplicaSelection(0)),  # a model without replicas
        ({"bootstrap": False}, 101, 100, ReplicaSelection(101)),  # wrong, whatever is switched
        ({"max_replicas": 20}, None, 100, ReplicaSelection(20, CAPPED)),
        ({"max_replicas": 20}, 30, 100, ReplicaSelection(20, CAPPED)),
        ({"max_replicas": 20}, 20, 100, ReplicaSelection(20)),
        ({"max_replicas": 20}, 10, 100, ReplicaSelection(10)),
        ({"max_replicas": 20}, None, 12, ReplicaSelection(12)),
        ({"max_replicas": 20}, 101, 100, ReplicaSelection(101)),
    ],
)
def test_how_a_card_is_sampled(
    given: dict[str, ControlValue], wanted: int | None, n_replicas: int, expected: ReplicaSelection
) -> None:
    assert select_replicas(Controls(given), wanted, n_replicas) == expected


@pytest.mark.parametrize(
    ("maximum", "n_jobs", "expected"),
    [(None, -1, -1), (None, 3, 3), (1, -1, 1), (1, 4, 1), (8, 4, 4), (1024, -1, len(os.sched_getaffinity(0)))],
)
def test_threads_are_only_ever_made_fewer(maximum: int | None, n_jobs: int, expected: int) -> None:
    assert limit_threads(Controls({} if maximum is None else {"max_threads": maximum}), n_jobs) == expected


@pytest.mark.parametrize(("maximum", "expected"), [(None, 25), (5, 5), (50, 25)])
def test_batches_are_only_ever_made_smaller(maximum: int | None, expected: int) -> None:
    assert limit_batch_size(Controls({} if maximum is None else {"max_batch_size": maximum}), 25) == expected
