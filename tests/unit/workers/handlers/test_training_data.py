from __future__ import annotations

import pytest

from ledger.contracts.jobs import TrainEnsemble
from workers.handlers.training.training_data import training_config, with_memory_limit


@pytest.mark.parametrize(
    ("asked", "limit", "granted"), [(4096.0, 3584, 3584.0), (512.0, 3584, 512.0), (512.0, 0, 512.0)]
)
def test_a_job_gets_no_more_memory_than_its_child(asked: float, limit: float, granted: float) -> None:
    assert with_memory_limit(TrainEnsemble(data="d", max_memory_mb=asked), limit).max_memory_mb == granted


def test_a_job_is_trained_on_as_many_threads_as_it_is_given() -> None:
    plan = TrainEnsemble(data="d")
    assert training_config(plan, 60.0).n_jobs == -1
    assert training_config(plan, 60.0, 1).n_jobs == 1
