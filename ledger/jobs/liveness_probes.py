"""Questions that a pool asks itself, to prove that its doorbells are heard and its children can use the ledger.

A canary has a doorbell of its own, so that no other pool can answer it, and is no job: it has no outcome, is in no
list, and what is left of it when its pool dies is gone within `ttl_seconds`.
"""

from __future__ import annotations

from ledger.server.server import Server


class Canaries(Server):
    """One question at a time for each canary's doorbell."""

    def ask_canary(self, queue: str, question: bytes, ttl_seconds: float) -> None:
        """Put a question in place of the last one and ring."""
        canary, doorbell, ttl = self._key("canary", queue), self._key("doorbell", queue), round(ttl_seconds * 1000)
        self._call_all(
            ("DEL", canary, doorbell),
            ("HSET", canary, "question", question),
            ("PEXPIRE", canary, ttl),
            ("LPUSH", doorbell, "!"),
            ("PEXPIRE", doorbell, ttl),
        )

    def canary_question(self, queue: str) -> bytes | None:
        """Return what is asked."""
        question: bytes | None = self._call("HGET", self._key("canary", queue), "question")
        return question

    def answer_canary(self, queue: str, answer: bytes, ttl_seconds: float) -> None:
        """Answer the question; the asker knows whether it is the right answer to his last one."""
        canary = self._key("canary", queue)
        self._call_all(("HSET", canary, "answer", answer), ("PEXPIRE", canary, round(ttl_seconds * 1000)))

    def canary_answer(self, queue: str) -> bytes | None:
        """Return what was answered."""
        answer: bytes | None = self._call("HGET", self._key("canary", queue), "answer")
        return answer
