"""The engine's loops are compiled ahead: a training and a prediction find their machine code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine import machine_code
from engine.machine_code import SOURCES, are_compiled, main

LATER = {"coalition_kernels", "growth_kernels"}
"""The loops of contributions and of stakes, which are compiled when they are first needed."""


@pytest.mark.timeout(600)
def test_a_training_and_a_prediction_find_their_loops_compiled(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "engine.machine_code"], env=environment, check=True)
    ahead = _compiled(tmp_path)
    assert {name.partition(".")[0] for name in ahead} == {Path(source).stem for source in SOURCES}
    subprocess.run([sys.executable, "-m", "engine.selftest", "ensemble"], env=environment, check=True)
    assert {name.partition(".")[0] for name in _compiled(tmp_path) - ahead} == LATER


def test_nothing_is_loaded_if_all_is_compiled_and_nothing_is_taken_for_it_that_is_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_code, "__file__", str(tmp_path / "machine_code.py"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    sources = [tmp_path / source for source in SOURCES]
    for number, source in enumerate(sources):
        cache = source.parent / "__pycache__"
        cache.mkdir(parents=True, exist_ok=True)
        source.touch()
        os.utime(source, (100, 100))
        assert not are_compiled(SOURCES[: number + 1])
        (cache / f"{source.stem}.loop-1.py311.nbi").touch()
        assert are_compiled(SOURCES[: number + 1])
    monkeypatch.setitem(sys.modules, "engine.loop_calls", None)  # an import of it would fail
    assert main() == 0
    os.utime(sources[-1])
    os.utime(next(sources[-1].parent.glob(f"__pycache__/{sources[-1].stem}.*")), (100, 100))
    assert not are_compiled(SOURCES)


def test_machine_code_elsewhere_is_for_numba_to_find(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert not are_compiled(SOURCES)


def _compiled(cache: Path) -> set[str]:
    return {path.name for path in cache.rglob("*.nbc")}
