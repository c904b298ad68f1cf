"""Questions that a pool asks itself, to prove that its doorbells are heard and its children can use the ledger.

A canary has a doorbell of its own, so that no other pool can answer it, and is no job: it has no outcome, is in no
list, and what is left of it when its pool dies is gone within `ttl_seconds`.
"""

from __future__ import annotations

from ledger.server.server import Server


class LivenessProbes:
    """One probe at a time for each probe queue of a pool."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def send(self, queue: str, question: bytes, ttl_seconds: float) -> None:
        """Put a question in place of the last one and ring."""
        canary, doorbell, ttl = (
            self._server.key("canary", queue),
            self._server.key("doorbell", queue),
            round(ttl_seconds * 1000),
        )
        self._server.transaction(
            ("DEL", canary, doorbell),
            ("HSET", canary, "question", question),
            ("PEXPIRE", canary, ttl),
            ("LPUSH", doorbell, "!"),
            ("PEXPIRE", doorbell, ttl),
        )

    def question(self, queue: str) -> bytes | None:
        """Return what is asked."""
        question: bytes | None = self._server.execute("HGET", self._server.key("canary", queue), "question")
        return question

    def set_answer(self, queue: str, answer: bytes, ttl_seconds: float) -> None:
        """Answer the question; the asker knows whether it is the right answer to his last one."""
        canary = self._server.key("canary", queue)
        self._server.transaction(("HSET", canary, "answer", answer), ("PEXPIRE", canary, round(ttl_seconds * 1000)))

    def answer(self, queue: str) -> bytes | None:
        """Return what was answered."""
        answer: bytes | None = self._server.execute("HGET", self._server.key("canary", queue), "answer")
        return answer
