"""The fighters that each model knows by name, so that a feed can be checked without a worker."""

from __future__ import annotations

import zlib

import msgspec
from msgspec import Struct

from ledger.contracts.lazy_decoder import LazyDecoder
from ledger.server.server import Server

MAX_DIRECTORIES = 32
"""How many models' fighters are kept: about 60 kB each for the log of the UFC."""


class FighterDirectory(Struct, frozen=True):
    """Ids and names of a model's fighters; `ambiguous` marks names under which the log may hold several people."""

    ids: list[str]
    names: list[str]
    ambiguous: list[bool]


_decoder: LazyDecoder[FighterDirectory] = LazyDecoder(FighterDirectory)


class FighterDirectories:
    """The fighters of models."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def publish(self, digest: str, directory: FighterDirectory) -> None:
        """Store the fighters of a model. Raises LedgerUnavailableError."""
        text = zlib.compress(msgspec.json.encode(directory))
        self._server.run_script("publish_fighters", digest, text, MAX_DIRECTORIES)

    def find(self, digest: str) -> FighterDirectory | None:
        """Return the fighters of a model; None if it has none, or was registered too long ago."""
        text = self._server.execute("HGET", self._server.key("fighters"), digest)
        return None if text is None else _decoder.decode(zlib.decompress(text))
