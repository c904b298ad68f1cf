"""A million jobs through real pools in one run: what grows, and what does not.

    python -m benchmarks.load.million_jobs [--jobs N] [--rate N] [--retention SECONDS] [--plot FILE] [--json]

A caller submits at a steady rate: small jobs, some of which fail; cards, which a real model answers, some of them
superseded; under new names of callers again and again. A follower, four HTTP followers and a webhook read the outcomes.
A pool that predicts, one that monitors and a gateway run all the time. The retention is short, so that the run reaches
the state in which as much expires as comes.

Memory, open files and threads are sampled. Of each the second half of the run is judged: a memory is flat if a line
fitted through it changes by at most 5%; of files and threads the last quarter has no more than the quarter before, but
for a file that is open in one or two samples. The exit code is 1 if something grows, if a process has ended, if an
outcome is missing, or if a key has an unlisted pattern. Figures of the process of the server are left out while it
writes its append-only file again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.gateway.servers import our_gateway
from benchmarks.load.keys import KeyUse, key_uses
from benchmarks.load.plot import write_plot
from benchmarks.load.pool import DEFECTIVE, FAILING
from benchmarks.load.readers import FOLLOWERS, Readers, running_readers
from benchmarks.load.samples import COUNTS, Course, Samples, children_of, cpu_seconds, only
from benchmarks.queue.competitors import TooSlowError, WorkerProcesses, run_workers, wait_until
from engine.data.fighter_snapshot import FighterSnapshot
from engine.model.bundle import Bundle
from engine.model.trained_ensemble import save_ensemble
from engine.training.train import train_ensemble
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import CheckHealth, Job, PredictCard
from ledger.contracts.webhooks import WebhookDefinition
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from ledger.settings import LedgerSettings
from tests.support.small_models import first_card, set_alias, small_config, small_league, small_matrix

COMMAND = "python -m benchmarks.load.million_jobs"
JOBS, RATE, RETENTION_SECONDS = 1_000_000, 1_000.0, 60.0
CHILDREN = 2
AT_ONCE = 100
CARD_SHARE, REPLACED_SHARE = 0.02, 0.1  # cards among the jobs, and replaced at once among the cards
FAILING_EVERY, DEFECTIVE_EVERY = 100, 1_000  # small jobs
JOBS_OF_A_CALLER, ANSWERS_OF_A_CARD = 5_000, 20
MAX_BEHIND = 5_000  # jobs without an outcome, beyond which the caller waits
SAMPLES = 400
MB = 2**20


@dataclass(frozen=True)
class LongRun:
    """What was measured."""

    samples: Samples
    seconds: float
    submitted: int
    refused: int
    seen: Mapping[str, int]
    cpu_seconds: Mapping[str, float]
    keys: Sequence[KeyUse]

    def faults(self) -> list[str]:
        """Return what is wrong."""
        found = [f"{name} grows: {_shown(name, course)}" for name, course in self.judged() if not is_good(name, course)]
        found += [f"{role}: process {pid} ended" for role, pids in self.samples.ended.items() for pid in sorted(pids)]
        found += [
            f"{reader} has seen {self.seen.get(reader, 0):,} of {self.submitted:,} outcomes"
            for reader in FOLLOWERS
            if self.seen.get(reader) != self.submitted
        ]
        return found + [f"{use.pattern}: keys of no listed pattern" for use in self.keys if not use.listed]

    def judged(self) -> list[tuple[str, Course]]:
        """Return the second half of each figure, by its name."""
        return list(self.samples.courses().items())

    def document(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "submitted": self.submitted,
            "refused": self.refused,
            "seconds": self.seconds,
            "seen": dict(self.seen),
            "cpu_seconds": dict(self.cpu_seconds),
            "second_half": {
                name: {**course._asdict(), "good": is_good(name, course)} for name, course in self.judged()
            },
            "keys": msgspec.to_builtins(self.keys),
            "faults": self.faults(),
        }

    def __str__(self) -> str:
        rate = self.submitted / self.seconds
        lines = [
            f"{self.submitted:,} jobs in {self.seconds:.0f} s, {rate:.0f} a second; outcomes seen: "
            + ", ".join(f"{reader} {count:,}" for reader, count in sorted(self.seen.items())),
            "processor time, us a job: "
            + ", ".join(f"{role} {used / self.submitted * 1e6:.0f}" for role, used in self.cpu_seconds.items()),
            "",
            f"{'over the second half of the run':44} {'3rd quarter':>12} {'4th quarter':>12} {'change':>8}",
        ]
        lines += [
            f"{name:44} {course.before:12,.1f} {course.after:12,.1f} {course.growth:+8.1%}"
            f"{'' if is_good(name, course) else '  grows'}"
            for name, course in self.judged()
        ]
        lines += ["", f"{'keys at the end':44} {'number':>12} {'MiB':>12}"]
        lines += [
            f"{use.pattern:44} {use.keys:12,} {use.mb:12.2f}{'' if use.listed else '  no pattern'}" for use in self.keys
        ]
        return "\n".join([*lines, "", *(self.faults() or ["nothing grows"])])


def is_good(name: str, course: Course) -> bool:
    """Return True if a figure is as it should be over the second half."""
    return course.no_more if name.endswith((*COUNTS, "clients")) else course.flat


def _shown(name: str, course: Course) -> str:
    if name.endswith(COUNTS):
        return f"at most {course.most_before:.0f}, then {course.most_after:.0f}"
    return f"{course.growth:+.1%}"


def measure(jobs: int, rate: float, retention_seconds: float) -> LongRun:
    """Run and measure."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(EmbeddedServer(folder / "server"))
        settings = LedgerSettings(
            redis_url=server.url,
            retention_seconds=retention_seconds,
            tombstone_seconds=retention_seconds,
            webhook_allowed_hosts="127.0.0.1",
        )
        ledger = stack.enter_context(closing(Ledger.connect(settings)))
        bundle = _train(folder / "models")
        set_alias(ledger, "champion", bundle.digest)
        predict = stack.enter_context(_pool(settings, folder, "predict", CHILDREN))
        monitor = stack.enter_context(_pool(settings, folder, "monitor", 1))
        readers = stack.enter_context(running_readers(settings))
        definition = WebhookDefinition(url=readers.webhook_url, kinds=("predict_card",))
        ledger.webhooks.create(definition, user="benchmark")
        gateway = stack.enter_context(our_gateway(settings, folder, _variables(settings, folder)))
        wait_until(lambda: _children(ledger) >= CHILDREN + 1, "the pools")
        readers.follow(gateway.url)
        roles = {
            "server": only(server.pid),
            "pool that predicts": only(predict.process.pid),
            "its children": children_of(predict.process.pid),
            "pool that monitors": only(monitor.process.pid),
            "its child": children_of(monitor.process.pid),
            "gateway": only(gateway.pid),
            "followers and receiver": only(readers.pid),
            "caller": only(),
        }
        return _run(ledger, readers, Samples(roles), jobs, rate)


def _train(folder: Path) -> Bundle:
    fighters = FighterSnapshot.from_log(small_league().log)
    return save_ensemble(train_ensemble(small_matrix(), small_config(1, replicas=10), fighters), folder)


def _run(ledger: Ledger, readers: Readers, samples: Samples, jobs: int, rate: float) -> LongRun:
    caller = Caller(ledger, rate)
    started = time.monotonic()
    before = {role: cpu_seconds(processes()) for role, processes in samples.roles.items()}
    thread = threading.Thread(target=caller.submit, args=(jobs,), daemon=True)
    thread.start()
    every_seconds = jobs / rate / SAMPLES
    while thread.is_alive():
        seconds = time.monotonic() - started
        if (figures := _server_figures(ledger)) is not None:
            samples.take(seconds, ledger_answered(ledger), figures)
        thread.join(every_seconds)
    if caller.error is not None:
        raise caller.error
    wait_until(lambda: ledger_answered(ledger) >= caller.submitted, "the last outcomes")
    seconds = time.monotonic() - started
    with suppress(TooSlowError):  # what it has not seen is a fault
        wait_until(lambda: min(readers.seen()[name] for name in FOLLOWERS) >= caller.submitted, "the followers", 10.0)
    used = {role: cpu_seconds(processes()) - before[role] for role, processes in samples.roles.items()}
    return LongRun(samples, seconds, caller.submitted, caller.refused, readers.seen(), used, key_uses(ledger))


class Caller:
    """The caller: submits the mix at a steady rate, and waits if the pools fall behind."""

    def __init__(self, ledger: Ledger, rate: float) -> None:
        self.submitted = self.refused = 0
        self.error: BaseException | None = None
        self._ledger = ledger
        self._rate = rate
        self._cards = self._all_cards()

    def submit(self, jobs: int) -> None:
        """Submit that many jobs."""
        try:
            started = time.monotonic()
            while self.submitted < jobs:
                self._submit_some(min(AT_ONCE, jobs - self.submitted))
                early_seconds = started + self.submitted / self._rate - time.monotonic()
                time.sleep(max(early_seconds, 0.0))
                while self.submitted - ledger_answered(self._ledger) > MAX_BEHIND:
                    time.sleep(0.05)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self.error = error

    def _submit_some(self, count: int) -> None:
        cards = list(islice(self._cards, round(CARD_SHARE * count)))
        numbers = range(self.submitted, self.submitted + count - len(cards))
        caller = f"shop-{self.submitted // JOBS_OF_A_CALLER}"
        small: list[Job] = [CheckHealth(nonce=f"{_behaviour(number)} {number}") for number in numbers]
        self.submitted += len(self._ledger.submit_many(small, caller=caller)) if small else 0
        for card in cards:
            try:
                self._ledger.submit(card, caller=caller, supersede=True)
                self.submitted += 1
            except JobRefusedError:
                self.refused += 1

    def _all_cards(self) -> Iterator[PredictCard]:
        """Yield cards, each several times with new prices."""
        card, number = first_card(small_league()), 0
        while True:
            name = f"{card.card_id} {number // ANSWERS_OF_A_CARD}"
            for _ in range(1 + (number % round(1 / REPLACED_SHARE) == 0)):
                number += 1
                yield msgspec.structs.replace(card, card_id=name, fights=tuple(_priced(card, number)))


def _priced(card: PredictCard, number: int) -> Iterator[Any]:
    for fight in card.fights:
        quotes = tuple(
            msgspec.structs.replace(
                quote, prices={name: price + number % 1_000 / 10_000 for name, price in quote.prices.items()}
            )
            for quote in fight.quotes
        )
        yield msgspec.structs.replace(fight, quotes=quotes)


def _behaviour(number: int) -> str:
    if number % DEFECTIVE_EVERY == 1:
        return DEFECTIVE
    return FAILING if number % FAILING_EVERY == 0 else "answers"


def ledger_answered(ledger: Ledger) -> int:
    """Return how many outcomes there have been."""
    return int(ledger.server.execute("HGET", ledger.server.key("counts"), "outcomes") or 0)


def _server_figures(ledger: Ledger) -> dict[str, float] | None:
    """Return the server's own figures, None while it writes its append-only file again."""
    client = ledger.server.client
    if client.info("persistence")["aof_rewrite_in_progress"]:
        return None
    return {
        "server, used_memory": client.info("memory")["used_memory"] / MB,
        "server, keys": client.dbsize(),
        "server, clients": client.info("clients")["connected_clients"],
    }


@contextmanager
def _pool(settings: LedgerSettings, folder: Path, queue: str, children: int) -> Iterator[WorkerProcesses]:
    command = [sys.executable, "-m", "benchmarks.load.pool", "--pool", queue, "--concurrency", str(children)]
    with run_workers(command, Path(os.devnull), _variables(settings, folder)) as workers:
        yield workers


def _variables(settings: LedgerSettings, folder: Path) -> dict[str, str]:
    return {
        "CORNERMAN_REDIS_URL": str(settings.redis_url),
        "CORNERMAN_DATA": str(folder),
        "CORNERMAN_RETENTION_SECONDS": str(settings.retention_seconds),
        "CORNERMAN_TOMBSTONE_SECONDS": str(settings.tombstone_seconds),
        "CORNERMAN_WEBHOOK_ALLOWED_HOSTS": settings.webhook_allowed_hosts,
        "CORNERMAN_LOG_FILE": str(folder / "pools.log"),
        "CORNERMAN_LOG_FILE_MB": "5",
    }


def _children(ledger: Ledger) -> int:
    return sum(int(pool["children"]) for pool in ledger.pools.alive())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--rate", type=float, default=RATE, metavar="N", help="jobs a second")
    parser.add_argument("--retention", type=float, default=RETENTION_SECONDS, metavar="SECONDS")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    for option, value in (("--jobs", given.jobs), ("--rate", given.rate), ("--retention", given.retention)):
        if not 0 < value < math.inf:
            parser.error(f"argument {option}: {value:g} is not a number above 0")
    run = measure(given.jobs, given.rate, given.retention)
    if given.plot is not None:
        write_plot(run.samples, given.plot, f"{run.submitted:,} jobs in {run.seconds / 60:.0f} minutes")
    print(json.dumps(run.document(), indent=1) if given.json else run)
    return 1 if run.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
