"""References to models: which bundles the ledger still names and must keep, and removal of the others."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Set
from itertools import chain

from ledger.compression.stored_values import decompress
from ledger.contracts.job_state import JobState
from ledger.server.server import Server

_DIGITS = bytes(ord("h") if chr(code) in "0123456789abcdef" else ord(" ") for code in range(256))
_DIGEST = b"h" * 64
_FIELDS = ("payload", "report", "failure", "origin", "note")
_KEYS_AT_ONCE = 500
_RECORDS_AT_ONCE = 16  # each may have a payload of 1 MB, and a report
_CHANGES_AT_ONCE = 100
_UNFINISHED = tuple(state.value.encode() for state in (JobState.WAITING, JobState.QUEUED, JobState.RUNNING))


class ModelReferences:
    """Which models are referenced, and removal of the others."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def ledger_id(self) -> str:
        """Return the id of this ledger among all that use its store: a random name and the namespace."""
        key = self._server.key("identity")
        if (known := self._server.execute("GET", key)) is None:
            self._server.execute("SET", key, f"{uuid.uuid4().hex}-{self._server.settings.namespace}", "NX")
            known = self._server.execute("GET", key)
        return str(known.decode())

    def referenced(self, among: Set[str], *, unfinished: bool = False) -> set[str]:
        """Return which of some digests an alias, its history or a stored job names, rather too many than too few.

        With `unfinished` only those that a job without an outcome names. Every record is read once, a few at a time:
        memory does not grow with their number.
        """
        wanted = {digest.encode() for digest in among}
        if not wanted:
            return set()
        texts = self._texts_of_jobs(unfinished=unfinished)
        found: set[bytes] = set()
        for text in texts if unfinished else chain(self._texts_of_aliases(), texts):
            found |= wanted.intersection(find_digests(text))
        return {digest.decode() for digest in found}

    def _texts_of_aliases(self) -> Iterator[bytes]:
        yield from self._server.execute("HGETALL", self._server.key("aliases")).values()
        changes, after = self._server.key("controls", "changes"), "-"
        while entries := self._server.execute("XRANGE", changes, after, "+", "COUNT", _CHANGES_AT_ONCE):
            for _, fields in entries:
                yield from fields.values()
            after = f"({entries[-1][0].decode()}"

    def _texts_of_jobs(self, *, unfinished: bool) -> Iterator[bytes]:
        for keys in self._keys_of_jobs():
            for first in range(0, len(keys), _RECORDS_AT_ONCE):
                records = (("HMGET", key, "kind", "state", *_FIELDS) for key in keys[first : first + _RECORDS_AT_ONCE])
                for kind, state, *texts in self._server.transaction(*records):
                    # A collection's report names what it removed; that is no reference.
                    if kind != b"collect_garbage" and (state in _UNFINISHED or not unfinished):
                        yield from (decompress(text) for text in texts if text)

    def _keys_of_jobs(self) -> Iterator[list[bytes]]:
        """Yield the keys of all records, some of them more than once.

        A cursor of SCAN means nothing to another server, which would leave out keys: one that has become the primary,
        has got the slot, or was started again. Then the scan begins again.
        """
        cursor, scanned = 0, None
        while True:
            (cursor, keys), facts = self._server.transaction(
                ("SCAN", cursor, "MATCH", self._server.key("job", "*"), "COUNT", _KEYS_AT_ONCE), ("INFO", "server")
            )
            server = facts.get("run_id")
            scanned = scanned or server
            if server != scanned:
                cursor, scanned = 0, None
                continue
            yield keys
            if not cursor:
                return

    def is_known(self, digest: str) -> bool:
        """Return True if a model is registered, or an alias points to it."""
        summary, aliases = self._server.transaction(
            ("HGET", self._server.key("models"), digest), ("HGETALL", self._server.key("aliases"))
        )
        return summary is not None or digest.encode() in aliases.values()

    def unregister(self, digests: Iterable[str]) -> None:
        """Unregister models, so that no alias can move to them; `restore` undoes it."""
        for digest in digests:
            summary = self._server.execute("HGET", self._server.key("models"), digest)
            if summary is not None:
                self._server.transaction(
                    ("HSET", self._server.key("models", "leaving"), digest, summary),
                    ("HDEL", self._server.key("models"), digest),
                )

    def restore(self, digests: Iterable[str] | None = None) -> None:
        """Register unregistered models again; by default all that an interrupted collection has left."""
        leaving = self._server.execute("HGETALL", self._server.key("models", "leaving"))
        chosen = (
            leaving
            if digests is None
            else {name: leaving[name] for name in map(str.encode, digests) if name in leaving}
        )
        for digest, summary in chosen.items():
            self._server.transaction(
                ("HSETNX", self._server.key("models"), digest, summary),
                ("HDEL", self._server.key("models", "leaving"), digest),
            )

    def delete(self, digest: str) -> None:
        """Delete the entry of a removed model for good."""
        self._server.execute("HDEL", self._server.key("models", "leaving"), digest)


def find_digests(text: bytes) -> Iterator[bytes]:
    """Yield each run of exactly 64 hexadecimal digits, in a twentieth of the time of a regular expression."""
    shape = text.translate(_DIGITS)
    first = shape.find(_DIGEST)
    while first >= 0:
        end = shape.find(b" ", first)
        end = len(shape) if end < 0 else end
        if end - first == len(_DIGEST):
            yield text[first:end]
        first = shape.find(_DIGEST, end)
