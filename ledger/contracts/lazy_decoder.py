"""Decoding by types that are first described when they are first used, by any number of threads.

Making all decoders at once would be a fifth of a caller's import.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

T = TypeVar("T")

# msgspec describes a struct once for all decoders, and enters the description before it is complete: a thread that
# makes a decoder of the same struct meanwhile reads the rest of it from memory that is not yet filled, and the process
# dies. No decoder is half made when a process forks, and a child finds the lock free.
_making = threading.Lock()
_described: set[Any] = set()
os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


class LazyDecoder(Generic[T]):
    """A decoder of a type, made at its first use; from then on `decode` is msgspec's own.

    Parameters
    ----------
    kind
        The type to decode; a union or an alias of one, too.
    """

    __slots__ = ("_kind", "decode")

    _all: ClassVar[list[LazyDecoder[Any]]] = []

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self.decode: Callable[[bytes | memoryview | str], T] = self._make_and_decode
        self._all.append(self)

    @classmethod
    def make_all(cls) -> None:
        """Make the decoders of all modules that are imported, for processes that are forked afterwards to share."""
        for lazy in cls._all:
            lazy._make()

    def _make(self) -> Callable[[bytes | memoryview | str], T]:
        with _making:
            if self.decode == self._make_and_decode:
                self.decode = msgspec.json.Decoder(self._kind).decode
            return self.decode

    def _make_and_decode(self, payload: bytes | memoryview | str) -> T:
        return self._make()(payload)


def decode(payload: bytes | str, kind: type[T]) -> T:
    """Decode JSON as `msgspec.json.decode` does, in any thread."""
    _describe(kind)
    return msgspec.json.decode(payload, type=kind)


def convert(value: Any, kind: type[T]) -> T:
    """Convert as `msgspec.convert` does, in any thread."""
    _describe(kind)
    return msgspec.convert(value, kind)


def _describe(kind: Any) -> None:
    if kind not in _described:
        with _making:
            msgspec.json.Decoder(kind)
        _described.add(kind)
