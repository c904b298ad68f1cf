from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from ledger.settings import environment_variable
from workers.settings import WorkerSettings


def test_every_value_comes_from_its_variable() -> None:
    given = {
        "CORNERMAN_DATA": "/data",
        "CORNERMAN_CONCURRENCY": "3",
        "CORNERMAN_QUEUE_SLICE_SECONDS": "2.5",
        "CORNERMAN_NODE": "ringside",
        "CORNERMAN_LOG_FILE": "/log",
        "CORNERMAN_LEASE_SECONDS": "7",
        "CORNERMAN_SHUTDOWN_GRACE_SECONDS": " ",
    }
    settings = WorkerSettings.from_env(given)
    assert (settings.data, settings.concurrency, settings.queue_slice_seconds) == (Path("/data"), 3, 2.5)
    assert (settings.node_name, settings.log_file) == ("ringside", Path("/log"))
    assert settings.ledger.lease_seconds == 7.0
    assert settings.shutdown_grace_seconds == 5.0  # an empty variable counts as absent
    assert settings.models_folder == Path("/data/models")


def test_every_setting_says_what_it_means() -> None:
    assert all(entry.metadata["help"] for entry in fields(WorkerSettings) if entry.name != "ledger")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORNERMAN_CONCURRENCY", "-1"),
        ("CORNERMAN_CONCURRENCY", "two"),
        ("CORNERMAN_SUPERVISOR_INTERVAL_SECONDS", "0"),
        ("CORNERMAN_SUPERVISOR_INTERVAL_SECONDS", "6"),  # half a lease and more
        ("CORNERMAN_LIVENESS_PROBE_SECONDS", "30"),  # as long as its patience
        ("CORNERMAN_MAX_JOBS_PER_CLAIM", "0"),
        ("CORNERMAN_QUEUE_SLICE_SECONDS", "nan"),
        ("CORNERMAN_LOG_LEVEL", "loud"),
        ("CORNERMAN_HTTP_PORT", "65534"),  # the pool of the queue `monitor` takes the second one after it
        ("CORNERMAN_WEBHOOK_URL", "file:///etc/passwd"),
        ("CORNERMAN_NODE", "a/b"),
        ("CORNERMAN_MAX_ATTEMPTS", "0"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        WorkerSettings.from_env({name: value})


def test_only_some_numbers_may_be_zero() -> None:
    may_be_zero = {environment_variable(entry) for entry in fields(WorkerSettings) if entry.metadata.get("zero")}
    assert may_be_zero == {
        "CORNERMAN_CONCURRENCY",
        "CORNERMAN_CHILD_MAX_MEMORY_MB",
        "CORNERMAN_POOL_MAX_MEMORY_MB",
        "CORNERMAN_MIN_CHILDREN",
        "CORNERMAN_SPARE_MEMORY_MB",
        "CORNERMAN_THREADS",
        "CORNERMAN_SHUTDOWN_GRACE_SECONDS",
        "CORNERMAN_HTTP_PORT",
        "CORNERMAN_CELERY_EVENTS",
    }


@pytest.mark.slow
def test_the_parent_of_a_pool_loads_no_numerics_and_makes_no_app_at_import() -> None:
    code = (
        "import sys, workers.app, workers.__main__\n"
        "heavy = {'numpy', 'pandas', 'sklearn', 'xgboost', 'joblib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'app' not in vars(workers.app)\n"
        "app = workers.app.app\n"
        "assert app is workers.app.app and 'cornerman.doorbell' in app.tasks\n"
        "assert sorted(app.conf.task_queues, key=str)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3], timeout=60)
