from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.errors import BundleCorruptError
from engine.model.bundle import open_bundle, write_bundle

_FILES = ["manifest.json", "forest/left.npy", "weights.npy"]


@given(file=st.sampled_from(_FILES), place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_corrupt(file: str, place: float, flip: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        arrays = {"forest/left": np.arange(9, dtype=np.int32), "weights": np.ones((2, 2))}
        bundle = write_bundle(Path(folder), arrays, {"seed": 7})
        path = bundle.folder / file
        damaged = bytearray(path.read_bytes())
        damaged[int(place * len(damaged))] ^= flip
        path.write_bytes(damaged)
        with pytest.raises(BundleCorruptError, match=file):
            open_bundle(bundle.folder)


_DTYPES = st.one_of(
    hnp.floating_dtypes(),
    hnp.integer_dtypes(),
    hnp.boolean_dtypes(),
    hnp.datetime64_dtypes(),
    hnp.unicode_string_dtypes(),
)


@given(array=hnp.arrays(_DTYPES, hnp.array_shapes(min_dims=0, min_side=0)), seed=st.integers())
def test_whatever_is_written_comes_back(array: np.ndarray, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write = (Path(folder), {"a/b": array}, {"seed": seed})
        bundle = write_bundle(*write)
        assert bundle.array("a/b").tobytes() == array.tobytes()
        assert (bundle.array("a/b").dtype, bundle.array("a/b").shape) == (array.dtype, array.shape)
        assert bundle.manifest == {"seed": seed}
        assert write_bundle(*write) == bundle
