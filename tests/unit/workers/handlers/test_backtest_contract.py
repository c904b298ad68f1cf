from __future__ import annotations

import json

import pytest

from ledger.contracts.codec import decode_job, encode
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import ROUTES, Backtest, kind_of
from ledger.jobs.job_entries import time_limit_seconds
from workers.jobs.registry import HANDLERS, find_handler


def test_a_backtest_travels_and_keeps_its_days() -> None:
    payload = b'{"kind": "backtest", "data": "/fights", "first_day": "2016-01-01", "last_day": "2024-12-31"}'
    job = decode_job(payload)
    assert isinstance(job, Backtest)
    assert decode_job(encode(job)) == job
    assert (job.first_day and job.first_day.isoformat(), job.refit_months, job.bootstrap_samples) == (
        "2016-01-01",
        12,
        20,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ""}, "data"),
        ({"data_digest": "ab"}, "data_digest"),
        ({"refit_months": 0}, "refit_months"),
        ({"first_day": "2016"}, "first_day"),
        ({"fits": 51}, "fits"),
        ({"bootstrap_samples": 10_001}, "bootstrap_samples"),
        ({"max_training_time_seconds": 0}, "max_training_time_seconds"),
        ({"model_weights": {"random_forest": 0.5, "xgboost": 0.5, "neural_network": 0.5}}, "must sum to 1, not 1.5"),
        ({"schema_version": 99}, "schema version 99"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_door(changes: dict[str, object], message: str) -> None:
    with pytest.raises(JobRefusedError, match=message):
        decode_job(json.dumps({"kind": "backtest", "data": "/fights", **changes}).encode())


def test_it_runs_in_the_training_pool_within_its_own_limit() -> None:
    job = Backtest(data="/fights", max_training_time_seconds=600.0)
    assert ROUTES[kind_of(job)].queue == "train"
    assert 600.0 < time_limit_seconds(job) < 700.0
    assert find_handler("backtest", HANDLERS).__module__ == "workers.handlers.training.backtest"
