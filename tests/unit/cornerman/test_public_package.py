"""`import cornerman` gives every public name, loads nothing heavy, and says what to install for the engine's names."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import cornerman

HEAVY = {"redis", "asyncio", "numpy", "pandas", "scipy", "sklearn", "xgboost", "celery", "kombu", "billiard", "joblib"}
WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None  # as if it were not installed
import cornerman
try:
    cornerman.ProductionEnsembleManager
except ImportError as error:
    print(error)
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_it_loads_nothing_heavy() -> None:
    loaded = set(run("import sys, cornerman; print(*{name.partition('.')[0] for name in sys.modules})").split())
    assert {"cornerman", "producer", "ledger"} <= loaded
    assert not loaded & (HEAVY | {"engine", "workers"})


@pytest.mark.parametrize("name", cornerman.__all__)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(cornerman, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__name__ == name
        assert inspect.getdoc(value)


def test_the_names_are_sorted_and_each_stands_once() -> None:
    assert cornerman.__all__ == sorted(set(cornerman.__all__))
    assert set(cornerman.__all__) <= set(dir(cornerman))


def test_every_import_is_public() -> None:
    public = {name for name, value in vars(cornerman).items() if getattr(value, "__module__", "") != "typing"}
    own = {"TYPE_CHECKING", "annotations", "import_module", "version"}
    assert {name for name in public if not name.startswith("_")} - own <= set(cornerman.__all__)


@pytest.mark.slow
def test_a_name_of_the_engine_says_what_to_install() -> None:
    assert "pip install 'cornerman[engine]'" in run(WITHOUT_NUMPY)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Clint'"):
        _ = cornerman.Clint
