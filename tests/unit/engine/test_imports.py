from __future__ import annotations

import subprocess
import sys

import pytest

TRAINING_LIBRARIES = {"joblib", "sklearn", "scipy.optimize", "xgboost"}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["engine.ensemble", "engine.bootstrap"])
def test_prediction_loads_neither_simulation_nor_training(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert module in loaded
    assert not [name for name in loaded if name.startswith(("engine.simulation", "engine.training", "engine.selftest"))]
    assert not TRAINING_LIBRARIES & set(loaded)
