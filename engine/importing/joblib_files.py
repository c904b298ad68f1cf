"""Files written by joblib: a listing of their contents, and the unpickled object for files that are trusted.

Unpickling runs the program in the file. So a file is read once into memory; its bytes are scanned without unpickling
(`engine.importing.pickle_scan`), and only the same bytes are unpickled, with a lookup that accepts only the names of
scikit-learn, XGBoost, numpy and joblib that estimators consist of. The restricted lookup prevents accidents and makes
an attack hard; it does not make an untrusted file safe.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from joblib.numpy_pickle import NumpyUnpickler

from engine.errors import ValidationError
from engine.importing.pickle_scan import PickleContents, scan_pickle
from engine.importing.version_repair import explain_errors

MAX_BYTES = 4 * 2**30  # uncompressed; a few kilobytes can expand to any size

_KNOWN = re.compile(
    r"(sklearn\.(ensemble|tree|neural_network|preprocessing|impute|pipeline|_loss)(\.\w+)*\.(_?[A-Z]\w*|__pyx_unpickle_\w+)"
    r"|xgboost\.(sklearn|core|callback|compat)\.[A-Z]\w*"
    r"|joblib\.numpy_pickle\.NumpyArrayWrapper"
    r"|numpy\.(dtype|ndarray|int64|int32|float64|float32|bool_?)"
    r"|numpy\.(_core|core)\.multiarray\.(_reconstruct|scalar)"
    r"|numpy\.(_core|core)\.numeric\._frombuffer"
    r"|numpy\.random\.(_pickle\.__\w+_ctor|mtrand\.RandomState|_generator\.Generator|_mt19937\.MT19937|_pcg64\.PCG64)"
    r"|numpy\.random\.bit_generator\.(SeedSequence|__pyx_unpickle_SeedSequence)"
    r"|collections\.(OrderedDict|defaultdict)"
    r"|(builtins|__builtin__)\.(bytearray|object|set|frozenset|slice|complex|dict|list|int|float)"
    r"|(copyreg|copy_reg)\.(_reconstructor|__newobj__)|_codecs\.encode)"
)
# As XGBoost writes its version into a model: three small numbers in UBJSON, or JSON before 1.6.
_XGBOOST_VERSION = re.compile(rb'version\[#L\0{7}\x03((?:i.){3})|"version":\[(\d+,\d+,\d+)\]', re.DOTALL)


@dataclass(frozen=True, eq=False)
class JoblibFile:
    """A file written by joblib.

    Attributes
    ----------
    path : Path
        The file.
    compression : str
        Name of the compression, empty for none.
    sha256 : str
        SHA-256 of the file, in hexadecimal.
    file_bytes : int
        Size of the file.
    pickled : bytes
        The uncompressed pickle.
    """

    path: Path
    compression: str
    sha256: str
    file_bytes: int
    pickled: bytes = field(repr=False)

    @classmethod
    def from_path(cls, path: Path) -> JoblibFile:
        """Read a file and decompress it. Raises ValidationError naming the file."""
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ValidationError(f"{path} cannot be read ({error.strerror}): name a file of joblib.dump") from error
        compression, unpack = _compression(raw, path)
        try:
            pickled = unpack(raw)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise ValidationError(f"{path.name} is damaged: its {compression} data cannot be unpacked") from error
        if len(pickled) > MAX_BYTES:
            raise ValidationError(f"{path.name} unpacks to more than {MAX_BYTES / 2**30:.0f} GiB: it is no estimator")
        return cls(path, compression, hashlib.sha256(raw).hexdigest(), len(raw), pickled)

    @cached_property
    def contents(self) -> PickleContents:
        """The contents, without unpickling. Raises ValidationError naming the file."""
        try:
            return scan_pickle(io.BytesIO(self.pickled))
        except ValidationError as error:
            raise ValidationError(f"{self.path.name}: {error}") from error

    @cached_property
    def versions(self) -> dict[str, str]:
        """The versions of scikit-learn and XGBoost in the file, by library."""
        found = _XGBOOST_VERSION.search(self.pickled)
        if found is None:
            return dict(self.contents.versions)
        numbers = found[2].decode().split(",") if found[2] else [str(number) for number in found[1][1::2]]
        return {**self.contents.versions, "xgboost": ".".join(numbers)}

    @property
    def unexpected_names(self) -> list[str]:
        """Names that unpickling would look up and that are no part of an estimator."""
        return sorted(name for name in self.contents.names if not _KNOWN.fullmatch(name))

    def unpickle(self) -> Any:
        """Return the object. Only for trusted files.

        Raises
        ------
        ValidationError
            If the file needs other names than those of estimators, or this version cannot read it.
        """
        if names := self.unexpected_names:
            raise ValidationError(
                f"{self.path.name} would load {', '.join(names[:5])}, which no estimator of scikit-learn or XGBoost "
                "is made of: it is not unpickled; save the fitted estimator alone, or a Pipeline of known steps"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other versions: the comparison of predictions is the stronger check
            with explain_errors(self.path.name, self.versions):
                return _Unpickler(str(self.path), io.BytesIO(self.pickled), ensure_native_byte_order=True).load()


class _Unpickler(NumpyUnpickler):  # type: ignore[misc]  # joblib ships no types
    """Joblib's unpickler, restricted to the parts of estimators."""

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up. Raises ValidationError for a name that is no part of an estimator."""
        if "." in name or not _KNOWN.fullmatch(f"{module}.{name}"):
            raise ValidationError(f"{module}.{name} is no part of an estimator")
        return super().find_class(module, name)


def _compression(raw: bytes, path: Path) -> tuple[str, Callable[[bytes], bytes]]:
    kinds: dict[bytes, tuple[str, Callable[[bytes], bytes]]] = {
        b"\x1f\x8b": ("gzip", lambda data: zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data, MAX_BYTES + 1)),
        b"\x78": ("zlib", lambda data: zlib.decompressobj().decompress(data, MAX_BYTES + 1)),
        b"BZ": ("bz2", lambda data: bz2.BZ2Decompressor().decompress(data, MAX_BYTES + 1)),
        b"\xfd7zXZ": ("xz", lambda data: lzma.LZMADecompressor().decompress(data, MAX_BYTES + 1)),
        b"\x5d\x00": ("lzma", lambda data: lzma.LZMADecompressor().decompress(data, MAX_BYTES + 1)),
    }
    if raw.startswith((b"ZF", b"\x04\x22\x4d\x18")):
        kind = "joblib before 0.10" if raw.startswith(b"ZF") else "lz4"
        raise ValidationError(f"{path.name} was written by {kind}: load it there and save it again with joblib.dump")
    return next((kind for magic, kind in kinds.items() if raw.startswith(magic)), ("", lambda data: data))
