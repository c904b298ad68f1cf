"""What a pool loads before it forks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.model.bundle import MANIFEST, Bundle
from engine.model.trained_ensemble import save_ensemble
from engine.simulation.league import LeagueConfig, simulate_league
from engine.training.train import TrainingConfig, train_ensemble
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import CheckHealth, CollectGarbage
from ledger.contracts.reports import GarbageReport, HealthReport
from ledger.ledger import Ledger
from workers.app import CANNOT_START

pytestmark = pytest.mark.new_interpreter

WAIT_SECONDS = 60
SMALL = MemberParams(forest=ForestParams(trees=5))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    matrix = build_matrix(simulate_league(LeagueConfig(fights=450, seed=11)).log).select(MODEL_COLUMNS)
    config = TrainingConfig(bootstrap_samples=0, fits=1, folds=3, members=SMALL, replica_members=SMALL)
    return save_ensemble(train_ensemble(matrix, config), tmp_path_factory.mktemp("models"))


@pytest.fixture
def models(trained: Bundle, ledger: Ledger, tmp_path: Path) -> Iterator[Path]:
    """The folder of models of the pool that `start_pool` starts, with a champion in it."""
    folder = tmp_path / "models"
    shutil.copytree(trained.folder, folder / trained.digest)
    ledger.models.register(trained.digest, {})
    ledger.aliases.set("champion", trained.digest)
    return folder


@contextmanager
def hidden(folder: Path) -> Iterator[None]:
    """Take a folder away for a while."""
    away = folder.with_name("away")
    folder.rename(away)
    yield
    away.rename(folder)


def ask(ledger: Ledger, nonce: str) -> dict[str, str]:
    """Ask a pool for its health; return what it says of each check that passed."""
    report = ledger.wait(ledger.submit(CheckHealth(nonce=nonce)).job_id, WAIT_SECONDS).report
    assert isinstance(report, HealthReport)
    return {check.name: check.detail for check in report.checks if check.passed}


def test_children_and_those_that_take_their_place_find_the_default_model_open(
    models: Path, trained: Bundle, ledger: Ledger, start_pool: Callable[..., Any], until: Callable[..., None]
) -> None:
    pool = start_pool(concurrency=1, real=True)
    with hidden(models):
        assert ask(ledger, "first")["model_loaded"] == trained.digest
        (child,) = pool.children()
        child.kill()
        until(lambda: pool.children() not in ([], [child]))
        assert ask(ledger, "its successor")["model_loaded"] == trained.digest


def test_a_model_that_cannot_be_loaded_stops_no_pool(
    models: Path, trained: Bundle, ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    manifest = models / trained.digest / MANIFEST
    text = manifest.read_bytes()
    manifest.write_bytes(b"{}")
    pool = start_pool(concurrency=1, real=True)
    assert "preloading failed" in pool.log.read_text()
    assert "model_loaded" not in ask(ledger, "corrupt")
    manifest.write_bytes(text)
    assert ask(ledger, "mended")["model_loaded"] == trained.digest


def libraries(pid: int) -> set[str]:
    """Return which of the large libraries a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in ("numpy", "pandas", "scipy", "llvmlite", "xgboost", "sklearn") if f"/{name}/" in maps}


def test_a_single_child_imports_a_handler_with_its_first_job_and_its_main_process_never(
    ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    pool = start_pool(concurrency=1, real=True, queue="train")
    (child,) = pool.children()
    assert libraries(pool.pid) == libraries(child.pid) == set()
    report = ledger.wait(ledger.submit(CollectGarbage()).job_id, WAIT_SECONDS).report
    assert isinstance(report, GarbageReport)
    assert pool.children() == [child]
    assert "numpy" in libraries(child.pid)
    assert libraries(pool.pid) == set()


def test_several_children_share_what_their_main_process_imported(start_pool: Callable[..., Any]) -> None:
    pool = start_pool(concurrency=2, real=True, queue="monitor", CORNERMAN_MIN_CHILDREN="1")
    assert {"numpy", "pandas"} <= libraries(pool.pid)


def test_a_pool_that_cannot_import_a_handler_gives_the_job_back_and_ends(
    ledger: Ledger, start_pool: Callable[..., Any]
) -> None:
    broken = json.dumps({"collect_garbage": "no_such_module:handler"})
    pool = start_pool(concurrency=1, queue="train", script="named_handlers.py", HANDLERS=broken)
    job_id = ledger.submit(CollectGarbage()).job_id
    assert pool.process.wait(WAIT_SECONDS) == CANNOT_START
    status = ledger.status(job_id)
    assert (status.state, status.attempt) == (JobState.QUEUED, 0)  # no attempt is used up
    assert "No module named 'no_such_module'" in pool.log.read_text()


def test_what_is_loaded_before_a_fork_starts_no_thread_and_leaves_threads_nothing_to_import(
    models: Path, ledger: Ledger, tmp_path: Path
) -> None:
    code = """
import os
import sys
from contextlib import closing
from pathlib import Path
from ledger.ledger import Ledger
from ledger.ledger_parts import PARTS
from ledger.server.lua_scripts import Scripts, script_text
from workers.jobs.registry import HANDLERS
from workers.pool.pool import WorkerPool
from workers.supervisor.preload import preload
from workers.settings import WorkerSettings
pool = WorkerPool(WorkerSettings.from_env(), HANDLERS)
preload(pool, ["predict", "train"])
names = [Path("/proc/self/task", task, "comm").read_text().strip() for task in os.listdir("/proc/self/task")]
imported, parsed = set(sys.modules), script_text.cache_info().misses
Scripts()["claim"], Scripts()["settle"]
assert script_text.cache_info().misses == parsed, "each child would parse the scripts that it calls"
with closing(Ledger.connect(pool.settings.ledger)) as ledger:
    for part in PARTS:
        getattr(ledger, part)
assert imported == set(sys.modules), "a thread would import it, and a child forked then would wait for ever"
# pyarrow's allocator has one, and brings it back in the child by itself.
print(len([name for name in names if name != "jemalloc_bg_thd"]), *pool.preloaded_models)
"""
    variables = {
        "CORNERMAN_REDIS_URL": str(ledger.settings.redis_url),
        "CORNERMAN_NAMESPACE": ledger.settings.namespace,
        "CORNERMAN_MODELS": str(models),
    }
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    threads, *digests = run.stdout.split()
    assert threads == "1"
    assert digests == [ledger.aliases.resolve("champion")]


def test_what_exists_is_frozen_before_the_first_fork_and_not_before_later_ones() -> None:
    code = """
import gc
from workers.supervisor.preload import freeze_before_fork
garbage = []
garbage.append(garbage)
del garbage
freeze_before_fork(["a child"])
assert gc.get_freeze_count() == 0
freeze_before_fork([])
print(gc.get_freeze_count(), gc.collect())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    frozen, collected = map(int, run.stdout.split())
    assert frozen > 1000
    assert collected == 0  # the garbage is collected before, and not frozen
