from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workers.jobs.registry import UNUSED_LIBRARIES, find_handler, import_handler, is_imported


def test_a_named_handler_is_imported_once_its_module_is(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = {"named": "this:authors", "given": len, "two": "this:s"}
    monkeypatch.delitem(sys.modules, "this", raising=False)
    assert [is_imported(kind, registry) for kind in ("named", "given", "unknown")] == [False, True, True]
    find_handler("two", registry)
    assert is_imported("named", registry)


def test_a_handler_of_another_may_import_what_ours_do_not_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_handler.py").write_text(f"import {UNUSED_LIBRARIES[-1]}\n\ndef answer(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, UNUSED_LIBRARIES[-1], raising=False)
    import_handler("predict_card", {"predict_card": "some_handler:answer"})
    assert is_imported("predict_card", {"predict_card": "some_handler:answer"})
    monkeypatch.delitem(sys.modules, "some_handler")


def loaded_by(call: str) -> set[str]:
    """Return the modules that a new interpreter has after a call of the registry."""
    code = f"import sys; from workers.jobs.registry import *; {call}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.slow
def test_predicting_loads_no_library_that_it_does_not_use() -> None:
    loaded = loaded_by("warm_up(['predict'], HANDLERS)")
    assert "numba" in loaded
    assert not loaded & {*UNUSED_LIBRARIES, "sklearn", "xgboost", "matplotlib"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["train_ensemble", "train_part", "backtest", "backtest_part", "judge_models", "update_model", "retrain"]
)
def test_training_loads_xgboost_s_library_and_no_package_that_it_does_not_use(kind: str) -> None:
    loaded = loaded_by(f"import_handler('{kind}', HANDLERS)")
    assert "engine.resources.xgboost_library" in loaded
    assert not loaded & {*UNUSED_LIBRARIES, "sklearn", "scipy.stats", "xgboost", "matplotlib"}


@pytest.mark.slow
def test_the_archive_has_pyarrow_whatever_was_imported_before() -> None:
    loaded = loaded_by("import_handler('review_model', HANDLERS); import_handler('archive_outcomes', HANDLERS)")
    assert {"pandas", "pyarrow"} <= loaded
