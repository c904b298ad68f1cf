from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from ledger.contracts import codec
from ledger.contracts.jobs import CheckHealth
from workers.handlers.check_health import check_health
from workers.jobs.context import JobContext
from workers.models.model_cache import ModelCache, load_manager
from workers.models.model_store import Store


def test_health_loads_the_model_and_answers_its_canary(context: JobContext) -> None:
    with threadpool_limits(limits=1):  # as in a child of a pool
        report = check_health(CheckHealth(), context)
    assert report.status == "healthy"
    assert [check.name for check in report.checks] == ["model_loaded", "prediction", "memory", "threads"]
    assert codec.decode_report(codec.encode(report)) == report


def test_health_says_what_is_wrong(context: JobContext) -> None:
    report = check_health(CheckHealth(model="nobody"), context)
    assert report.status == "unhealthy"
    assert "nobody" in next(check.detail for check in report.checks if not check.passed)


def test_the_models_folder_is_named_when_a_bundle_is_not_there(context: JobContext, tmp_path: Path) -> None:
    empty = ModelCache(
        Store(tmp_path).fetch, {"champion": "0" * 64}.get, lambda folder: load_manager(folder, max_memory_mb=4096.0)
    )
    report = check_health(CheckHealth(), replace(context, models=empty))
    assert str(tmp_path) in report.checks[0].detail


def test_a_store_that_is_away_is_told_by_a_health_check(context: JobContext, tmp_path: Path) -> None:
    away = Store(tmp_path, "ftp://127.0.0.1:1/models")
    models = ModelCache(away.fetch, {"champion": "0" * 64}.get, lambda folder: load_manager(folder, max_memory_mb=1.0))
    report = check_health(CheckHealth(), replace(context, models=models))
    assert (report.status, report.checks[0].code) == ("unhealthy", "model_not_found")
    assert "127.0.0.1:1/models cannot be used" in report.checks[0].detail
