"""XGBoost's shared library, called through its C interface: what a training needs, without the Python package.

`import xgboost` also loads scikit-learn with large parts of SciPy, 66 MB for classes that a training does not use. The
library is the one that the package installs, found by the package's own search, and both may be used in one process.

References
----------
XGBoost documentation, "XGBoost C Package".
"""

from __future__ import annotations

import ctypes
import json
import math
import weakref
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_Handle = ctypes.c_void_p
_Reset = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Next = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_MARGIN = 1  # the type of a prediction before the logistic function


class XGBoostLibraryError(Exception):
    """XGBoost has refused a call; the message is its own, without its stack trace."""


class HasHandle(Protocol):
    """A matrix of the library, made by this module or by the package `xgboost`."""

    handle: Any


@cache
def _library() -> ctypes.CDLL:
    """Load the shared library. Raises ModuleNotFoundError if XGBoost is not installed."""
    package = find_spec("xgboost")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("xgboost is not installed: install the extra 'engine'", name="xgboost")
    search = spec_from_file_location("_xgboost_libpath", Path(package.submodule_search_locations[0]) / "libpath.py")
    if search is None or search.loader is None:
        raise ModuleNotFoundError("xgboost has no module libpath: install the version of constraints.txt")
    libpath = module_from_spec(search)
    search.loader.exec_module(libpath)
    library = ctypes.CDLL(libpath.find_lib_path()[0])
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the library. Raises XGBoostLibraryError if it fails."""
    library = _library()
    if getattr(library, name)(*arguments):
        reason = library.XGBGetLastError().decode(errors="replace")
        raise XGBoostLibraryError(reason.partition("\nStack trace")[0])


def library_version() -> str:
    """Return the version of the library."""
    parts = [ctypes.c_int() for _ in range(3)]
    _library().XGBoostVersion(*map(ctypes.byref, parts))
    return ".".join(str(part.value) for part in parts)


class QuantileMatrix:
    """Rows cut into bins, as `xgboost.QuantileDMatrix`.

    Parameters
    ----------
    values
        Rows, float32 (n, f), contiguous; NaN = missing.
    label, weight
        Labels and weights, (n,), or None.
    ref
        A matrix whose bins are used; by default they are chosen for these rows.
    max_bin
        Largest number of bins of a feature.
    n_jobs
        Threads.

    Raises
    ------
    XGBoostLibraryError
        If XGBoost refuses the rows.
    """

    def __init__(
        self,
        values: NDArray[np.float32],
        label: NDArray[Any] | None = None,
        weight: NDArray[Any] | None = None,
        *,
        ref: HasHandle | None = None,
        max_bin: int,
        n_jobs: int,
    ) -> None:
        fields = {"label": label, "weight": weight}
        meta = {name: np.asarray(field, np.float32) for name, field in fields.items() if field is not None}
        proxy, self.handle = _Handle(), _Handle()
        _call("XGProxyDMatrixCreate", ctypes.byref(proxy))
        batch = _OneBatch(proxy, values, meta)
        try:
            _call(
                "XGQuantileDMatrixCreateFromCallback",
                None,
                proxy,
                None if ref is None else ref.handle,
                _Reset(batch.reset),
                _Next(batch.next),
                json.dumps({"nthread": n_jobs, "missing": math.nan, "max_bin": max_bin}).encode(),
                ctypes.byref(self.handle),
            )
        except XGBoostLibraryError as error:
            raise XGBoostLibraryError(batch.refusal or str(error)) from None
        finally:
            _library().XGDMatrixFree(proxy)
        weakref.finalize(self, _library().XGDMatrixFree, self.handle).atexit = False

    def get_quantile_cut(self) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Return where the cuts of each feature start, (f + 1,), and all cuts; the name is XGBoost's."""
        starts, cuts = ctypes.c_char_p(), ctypes.c_char_p()
        _call("XGDMatrixGetQuantileCut", self.handle, b"{}", ctypes.byref(starts), ctypes.byref(cuts))
        return _array_at(starts.value), _array_at(cuts.value)


class LibraryBooster:
    """An XGBoost model, as `xgboost.Booster`, whose names its methods have.

    Parameters
    ----------
    params
        Parameters of XGBoost.
    matrix
        The rows to train on.
    """

    def __init__(self, params: Mapping[str, Any], matrix: HasHandle) -> None:
        handle = _Handle()
        _call("XGBoosterCreate", (_Handle * 1)(matrix.handle), ctypes.c_uint64(1), ctypes.byref(handle))
        self._own(handle)
        for name, value in params.items():
            _call("XGBoosterSetParam", self.handle, name.encode(), str(value).encode())

    def _own(self, handle: ctypes.c_void_p) -> None:
        self.handle = handle
        weakref.finalize(self, _library().XGBoosterFree, handle).atexit = False

    def update(self, matrix: HasHandle, iteration: int) -> None:
        """Train one more round, number `iteration`, counted from 0."""
        _call("XGBoosterUpdateOneIter", self.handle, ctypes.c_int(iteration), matrix.handle)

    def __getitem__(self, rounds: slice) -> LibraryBooster:
        """Return a model of some rounds."""
        start, stop, handle = rounds.start or 0, rounds.stop or 0, _Handle()  # 0 is the last round
        _call(
            "XGBoosterSlice",
            self.handle,
            ctypes.c_int(start),
            ctypes.c_int(stop),
            ctypes.c_int(1),
            ctypes.byref(handle),
        )
        sliced = object.__new__(LibraryBooster)
        sliced._own(handle)
        return sliced

    def num_features(self) -> int:
        """Return the number of features."""
        number = ctypes.c_uint64()
        _call("XGBoosterGetNumFeature", self.handle, ctypes.byref(number))
        return number.value

    def save_raw(self, raw_format: str) -> bytes:
        """Return the model as XGBoost writes it: `json` or `ubj`."""
        length, start = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_char)()
        config = json.dumps({"format": raw_format}).encode()
        _call("XGBoosterSaveModelToBuffer", self.handle, config, ctypes.byref(length), ctypes.byref(start))
        return ctypes.string_at(start, length.value)

    def margins_after_first_round(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the margin of each row, float32 (n,), by the trees of the first round alone.

        Parameters
        ----------
        values
            Rows, float32 (n, f), contiguous; NaN = missing.
        """
        config = {
            "type": _MARGIN,
            "training": False,
            "iteration_begin": 0,
            "iteration_end": 1,
            "missing": math.nan,
            "strict_shape": False,
            "cache_id": 0,
        }
        shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
        result = ctypes.POINTER(ctypes.c_float)()
        _call(
            "XGBoosterPredictFromDense",
            self.handle,
            _interface(values),
            json.dumps(config).encode(),
            None,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(result),
        )
        return np.ctypeslib.as_array(result, (len(values),)).copy()


class _OneBatch:
    """The iterator that XGBoost takes rows from: one batch, as often as it starts again."""

    def __init__(
        self, proxy: ctypes.c_void_p, values: NDArray[np.float32], meta: Mapping[str, NDArray[np.float32]]
    ) -> None:
        self.refusal = ""
        self._proxy, self._values, self._meta = proxy, values, meta
        self._is_given = False

    def reset(self, _: Any) -> None:
        """Start again."""
        self._is_given = False

    def next(self, _: Any) -> int:
        """Give the batch and return 1; return 0 behind it, or if XGBoost refuses it."""
        if self._is_given:
            return 0
        self._is_given = True
        try:
            _call("XGProxyDMatrixSetDataDense", self._proxy, _interface(self._values))
            for name, field in self._meta.items():
                _call("XGDMatrixSetInfoFromInterface", self._proxy, name.encode(), _interface(field))
        except XGBoostLibraryError as error:  # no exception passes through XGBoost
            self.refusal = str(error)
            return 0
        return 1


def _interface(array: NDArray[Any]) -> bytes:
    """Return numpy's description of an array, as XGBoost reads it."""
    return json.dumps(array.__array_interface__).encode()


def _array_at(described: bytes | None) -> NDArray[Any]:
    """Return a copy of the array that XGBoost describes."""
    interface = json.loads(described or b"{}")
    address, size = interface["data"][0], interface["shape"][0]
    dtype = np.dtype(interface["typestr"])
    return np.frombuffer(ctypes.string_at(address, size * dtype.itemsize), dtype)
