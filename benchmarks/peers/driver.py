"""Producer of the contest, run in the environment of a queue: `python driver.py PROGRAM`.

It reads one request (JSON) a line and writes one answer a line. It has no import of this project, which is not
installed in the environments of the others.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import redis

AT_ONCE = 500  # jobs a call of `enqueue_many`
WAIT_SECONDS = 120.0


class Driver:
    """The producer of one program."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.program = importlib.import_module(name)
        self.server = redis.Redis.from_url(os.environ["PEERS_URL"])
        if hasattr(self.program, "start"):
            self.loop.run_until_complete(self.program.start())

    def ready(self, questions: int) -> None:
        """Ask until the workers answer, and some times more. SAQ aborts some of the first jobs as swept."""
        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                self.ask(questions, 0.0, WAIT_SECONDS)
            except Exception:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def can_enqueue_many(self) -> bool:
        """Return True if the queue has a call for several jobs."""
        return hasattr(self.program, "enqueue_many")

    def enqueue(self, nonces: list[str]) -> float:
        """Enqueue jobs one by one and return the time in seconds."""
        if not inspect.iscoroutinefunction(self.program.enqueue_one):
            start = time.perf_counter()
            for nonce in nonces:
                self.program.enqueue_one(nonce)
            return time.perf_counter() - start

        async def enqueue() -> float:
            start = time.perf_counter()
            for nonce in nonces:
                await self.program.enqueue_one(nonce)
            return time.perf_counter() - start

        return self.loop.run_until_complete(enqueue())

    def enqueue_many(self, nonces: list[str]) -> float:
        """Enqueue jobs `AT_ONCE` a call and return the time in seconds."""
        start = time.perf_counter()
        for first in range(0, len(nonces), AT_ONCE):
            self.program.enqueue_many(nonces[first : first + AT_ONCE])
        return time.perf_counter() - start

    def ask(self, questions: int, pause_seconds: float, max_seconds: float) -> list[float]:
        """Ask one question after the other and return the waits in ms; fewer if the time is over."""
        return self.loop.run_until_complete(self._ask(questions, pause_seconds, max_seconds))

    async def _ask(self, questions: int, pause_seconds: float, max_seconds: float) -> list[float]:
        waits: list[float] = []
        waited = inspect.iscoroutinefunction(self.program.ask)
        until = time.monotonic() + max_seconds
        while len(waits) < questions and (len(waits) < 2 or time.monotonic() < until):
            nonce = os.urandom(8).hex()
            start = time.perf_counter()
            answer = (await self.program.ask(nonce)) if waited else self.program.ask(nonce)
            waits.append((time.perf_counter() - start) * 1000)
            if not answer:
                raise ValueError(f"no answer to {nonce}")
            if waited:
                await asyncio.sleep(pause_seconds)
            else:
                time.sleep(pause_seconds)
        return waits

    def answered(self) -> int:
        """Return how many jobs were answered so far."""
        return int(self.program.answered(self.server))

    def wait_for(self, answers: int) -> float:
        """Wait until this number of jobs is answered and return the time in seconds."""
        start = time.perf_counter()
        while self.answered() < answers:
            if time.perf_counter() - start > WAIT_SECONDS:
                raise TimeoutError(f"{self.answered()} of {answers} jobs answered")
            time.sleep(0.005)
        return time.perf_counter() - start


def main() -> None:
    """Obey requests until the input ends."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
    sys.path.insert(0, folder)
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    driver = Driver(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        call: Callable[..., Any] = getattr(driver, request["call"])
        print(json.dumps(call(*request["arguments"])), file=answers, flush=True)


if __name__ == "__main__":
    main()
