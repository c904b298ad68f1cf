"""Which models the ledger speaks of: those may still be asked for, and must be kept."""

from __future__ import annotations

import re

from ledger.server import Server

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_FIELDS = ("payload", "report", "failure", "origin")
_AT_ONCE = 500


class References(Server):
    """What is named, and forgetting what is not."""

    def named_digests(self) -> set[str]:
        """Return every digest that an alias, its history or a kept job names; more than models rather than fewer."""
        texts = [*self._call("HGETALL", self._key("aliases")).values()]
        for _, fields in self._call("XRANGE", self._key("controls", "changes"), "-", "+"):
            texts += fields.values()
        cursor = 0
        while True:
            cursor, keys = self._call("SCAN", cursor, "MATCH", self._key("job", "*"), "COUNT", _AT_ONCE)
            for kind, *record in self._call_all(*(("HMGET", key, "kind", *_FIELDS) for key in keys)) if keys else []:
                if kind != b"collect_garbage":  # what was garbage once must not be kept for having been called so
                    texts += [text for text in record if text]
            if int(cursor) == 0:
                return {found.decode() for text in texts for found in _DIGEST.findall(text)}

    def forget_model(self, digest: str) -> None:
        """Make a model unknown, so that no name can be moved to it any more."""
        self._call("HDEL", self._key("models"), digest)
