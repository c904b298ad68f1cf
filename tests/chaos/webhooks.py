"""The webhook of a chaos run: relays under a supervisor that starts them again, and the receiver of what they post.

The receiver itself fails now and then: it answers an error, hangs, or breaks the connection off in the middle.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from ledger.contracts.webhooks import WebhookDefinition
from ledger.ledger import Ledger, LedgerSettings
from tests.chaos.fleet import ROOT
from tests.support.webhook_receiver import OK, Post, Reply, WebhookReceiver

LOOK_SECONDS = 0.05
TIMEOUT_SECONDS = 2.0
FAILING_SHARE = 0.02
ENDS = {0, 69, -signal.SIGKILL, -signal.SIGTERM}
"""How a relay may end: told to, killed, or because the server was away when it began."""


class Webhooks:
    """A context manager around a receiver and its relays; `begin` creates the webhook and starts the relays."""

    def __init__(self, folder: Path, settings: LedgerSettings, seed: int, relays: int = 2) -> None:
        self.ends: Counter[int] = Counter()
        self.failing = threading.Event()
        self._folder = folder
        self._count = relays
        self._rng = random.Random(f"{seed}/receiver")
        self._receiver = WebhookReceiver(self._answer)
        self._accepted: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._over = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._supervisor = threading.Thread(target=self._supervise, name="relays", daemon=True)
        self._environment = {
            **os.environ,
            "CORNERMAN_REDIS_URL": str(settings.redis_url),
            "CORNERMAN_NAMESPACE": settings.namespace,
            "CORNERMAN_LEASE_SECONDS": str(settings.lease_seconds),
            "CORNERMAN_REPLY_TIMEOUT_SECONDS": str(settings.reply_timeout_seconds),
            "CORNERMAN_MAX_OUTCOMES": str(settings.max_outcomes),
            "CORNERMAN_WEBHOOK_ALLOWED_HOSTS": settings.webhook_allowed_hosts,
            "CORNERMAN_WEBHOOK_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
            "CORNERMAN_WEBHOOK_FIRST_RETRY_SECONDS": "0.1",
        }

    def __enter__(self) -> Self:
        """Let the receiver listen."""
        self._receiver.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        self._over.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        for process in self._processes:
            process.kill()
            process.wait()
        self._receiver.__exit__()

    def begin(self, ledger: Ledger) -> str:
        """Create the webhook and start its relays; return its id."""
        definition = WebhookDefinition(url=self._receiver.url, kinds=("check_health", "predict_card", "train_ensemble"))
        created = ledger.webhooks.create(definition, user="chaos")
        self._receiver.secrets.append(created.secret)
        self._processes = [self._start() for _ in range(self._count)]
        self._supervisor.start()
        return created.webhook.id

    def accepted(self) -> Sequence[str]:
        """Return the jobs of what was posted and accepted, as it came, with what came again."""
        return list(self._accepted)

    def any_relay(self, rng: random.Random) -> subprocess.Popen[bytes]:
        """Return one of the relays."""
        with self._one_at_a_time:
            return rng.choice(self._processes)

    @contextmanager
    def broken(self) -> Iterator[None]:
        """Let the receiver fail until the end."""
        self.failing.set()
        yield
        self.failing.clear()

    def oddities(self) -> list[str]:
        """Return what is odd about the ends of relays, and about what was posted."""
        unsigned = sum(not post.verified for post in list(self._receiver.posts))
        odd = [f"a relay ended with {code}" for code in self.ends if code not in ENDS]
        return odd + ([f"{unsigned} posts without a valid signature"] if unsigned else [])

    def _answer(self, post: Post, before: int) -> Reply:
        reply = self._choose()
        if 200 <= reply.status < 300 and not reply.delay_seconds:
            self._accepted.append(post.job)
        return reply

    def _choose(self) -> Reply:
        if self.failing.is_set():
            return Reply(503)
        if self._rng.random() < FAILING_SHARE:
            answers: tuple[Callable[[], Reply], ...] = (
                lambda: Reply(500),
                lambda: Reply(302, {"Location": "https://example.com/"}),
                lambda: Reply(delay_seconds=TIMEOUT_SECONDS * 1.5),
                lambda: Reply(200, body=b"half", length=100),
            )
            return self._rng.choice(answers)()
        return OK

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / "relays.log").open("ab") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.relay"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def _supervise(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            for place, process in enumerate(self._processes):
                if (code := process.poll()) is not None:
                    with self._one_at_a_time, suppress(OSError):
                        self.ends[code] += 1
                        self._processes[place] = self._start()
                        time.sleep(LOOK_SECONDS)
