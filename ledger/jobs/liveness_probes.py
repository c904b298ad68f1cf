"""Liveness probes: a pool checks that its doorbells are received and that its children can use the ledger.

A probe has a doorbell of its own, so that no other pool can answer it. It is not a job: it has no outcome, is in no
list, and its keys expire after `ttl_seconds` if its pool dies.
"""

from __future__ import annotations

from ledger.server.server import Server


class LivenessProbes:
    """One probe at a time for each probe queue of a pool."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def send(self, queue: str, question: bytes, ttl_seconds: float) -> None:
        """Replace the last question of a probe queue, ring its doorbell, and recall a child that waits for claims."""
        canary, doorbell, recall = (self._server.key(part, queue) for part in ("canary", "doorbell", "recall"))
        ttl = round(ttl_seconds * 1000)
        self._server.transaction(
            ("DEL", canary, doorbell, recall),
            ("HSET", canary, "question", question),
            ("PEXPIRE", canary, ttl),
            ("LPUSH", doorbell, "!"),
            ("PEXPIRE", doorbell, ttl),
            ("LPUSH", recall, "!"),
            ("PEXPIRE", recall, ttl),
        )

    def question(self, queue: str) -> bytes | None:
        """Return the current question."""
        question: bytes | None = self._server.execute("HGET", self._server.key("canary", queue), "question")
        return question

    def set_answer(self, queue: str, answer: bytes, ttl_seconds: float) -> None:
        """Store an answer; the sender checks whether it is the answer to its last question."""
        canary = self._server.key("canary", queue)
        self._server.transaction(("HSET", canary, "answer", answer), ("PEXPIRE", canary, round(ttl_seconds * 1000)))

    def answer(self, queue: str) -> bytes | None:
        """Return the stored answer."""
        answer: bytes | None = self._server.execute("HGET", self._server.key("canary", queue), "answer")
        return answer
