"""Files of joblib are listed without running them, and run only with the parts of estimators."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from engine.errors import ValidationError
from engine.importing.joblib_files import JoblibFile, _Unpickler
from engine.importing.pickle_scan import scan_pickle
from tests.support.foreign_estimators import fights, plain_system

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Burglar:
    """What unpickling it would do."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.fixture(scope="module")
def system() -> dict[str, Any]:
    return plain_system()


@pytest.mark.slow
@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)], ids=str)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_format_is_listed_and_read(system: dict[str, Any], compress: Any, protocol: int, tmp_path: Path) -> None:
    X, _ = fights(50)
    kinds = {
        "rf": "sklearn.pipeline.Pipeline",
        "xgb": "xgboost.sklearn.XGBClassifier",
        "nn": "sklearn.pipeline.Pipeline",
    }
    for name, estimator in system.items():
        path = tmp_path / name
        joblib.dump(estimator, path, compress=compress, protocol=protocol)
        file = JoblibFile.from_path(path)
        assert file.contents.object_type == kinds[name]
        assert file.unexpected_names == []
        assert (file.compression == "") == (compress == 0)
        assert np.array_equal(file.unpickle().predict_proba(X), estimator.predict_proba(X))


def test_the_list_tells_versions_and_parts(system: dict[str, Any], tmp_path: Path) -> None:
    import sklearn

    joblib.dump(system["nn"], tmp_path / "nn")
    contents = JoblibFile.from_path(tmp_path / "nn").contents
    assert contents.versions == {"scikit-learn": sklearn.__version__}
    assert "sklearn.neural_network._multilayer_perceptron.MLPClassifier" in contents.names
    assert contents.arrays > 5
    assert contents.array_bytes > 1000


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: [b], lambda b: {"model": np.array([b], dtype=object)}])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_burglar_is_named_and_never_run(wrap: Any, protocol: int, tmp_path: Path) -> None:
    target, path = tmp_path / "burgled", tmp_path / "file"
    joblib.dump(wrap(Burglar(target)), path, protocol=protocol)
    file = JoblibFile.from_path(path)
    assert any(name.endswith(".system") for name in file.unexpected_names)
    with pytest.raises(ValidationError, match="which no estimator"):
        file.unpickle()
    assert not target.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sklearn.ensemble._forest", "threading.os.system"),  # walks from object to object
        ("sklearn.tree._export", "Integral.__class__"),
        ("sklearn.ensemble._forest", "threading"),
        ("sklearn.tree._classes", "np"),
        ("builtins", "getattr"),
        ("builtins", "eval"),
        ("numpy", "load"),
        ("joblib", "load"),
        ("sklearn.utils", "Bunch"),
    ],
)
def test_only_the_parts_of_estimators_are_known(module: str, name: str, tmp_path: Path) -> None:
    def written(text: str) -> bytes:
        return b"\x8c" + bytes([len(text)]) + text.encode()

    path = tmp_path / "file"
    path.write_bytes(b"\x80\x04" + written(module) + written(name) + b"\x93.")
    file = JoblibFile.from_path(path)
    assert len(file.unexpected_names) == 1
    with pytest.raises(ValidationError, match="which no estimator"):
        file.unpickle()
    with pytest.raises(ValidationError, match="no part of an estimator"):  # the lookup itself, behind the list
        _Unpickler("", io.BytesIO(file.pickled), ensure_native_byte_order=True).load()


def test_a_name_that_is_put_together_is_refused() -> None:
    odd = b"\x80\x04" + b"\x8c\x02os" + b"N" + b"\x93."
    with pytest.raises(ValidationError, match="a computed name"):
        scan_pickle(io.BytesIO(odd))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a readable pickle|truncated"),
        (b"hello", "not a readable pickle|opcode"),
        (b"\x1f\x8b\x08nonsense", "damaged"),
        (b"ZF0x123", "before 0.10"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (pickle.dumps(1) + b"more", "data after the end"),
        (pickle.dumps(list(range(9)))[:-3], "not a readable pickle|truncated"),
    ],
)
def test_what_is_no_file_of_joblib_is_said_to_be_none(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.joblib"
    path.write_bytes(content)
    with pytest.raises(ValidationError, match=said) as caught:
        _ = JoblibFile.from_path(path).contents
    assert "odd.joblib" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"rf\.joblib cannot be read"):
        JoblibFile.from_path(tmp_path / "rf.joblib")


def test_a_cut_array_is_noticed(system: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "rf"
    joblib.dump(np.arange(1000.0), path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ValidationError, match="truncated inside an array"):
        _ = JoblibFile.from_path(path).contents
