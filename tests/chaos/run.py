"""One chaos run: pools, callers and faults together, and the evidence of what became of the jobs.

Faults come from shuffled decks that hold each kind once, and are dealt in rounds: from one deck one by one, from the
next two at the same time. A round ends when every job that it hit has its outcome. So a job is hit by fewer faults than
it has attempts, and an innocent one that ends as `worker_lost` is a fault of ours.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from ledger.contracts.job_state import Outcome
from ledger.jobs.outcome_reader import OutcomesMissedError
from ledger.ledger import Ledger, LedgerSettings, RunningJob
from tests.chaos import probe
from tests.chaos.callers import Follower, Submitter, insist
from tests.chaos.checker import Cancel, Evidence
from tests.chaos.faults import INJECTORS, ODD_DOORBELLS, OF_THE_CLOCK, OF_TRAINING, QUEUES, Fault, Stage
from tests.chaos.fleet import Fleet, Pool
from tests.chaos.jobs import Behaviour, Task, limit_seconds, newer_job_decoder
from tests.chaos.server import Server
from tests.chaos.store import Disk, StoreServer
from tests.chaos.trainings import Trainings, emptier, part_records, right_models
from tests.chaos.webhooks import Webhooks
from tests.support.job_index import index_differences
from tests.support.server_keys import unlisted_keys

OFFSET_SECONDS = 1.0
BUSY_SECONDS = 0.5  # so long a rush of jobs keeps the children busy, more or less
DYING_SECONDS = 0.2  # so long a killed process, or what goes down with it, may still claim
PATIENCE_SECONDS = 150.0
LOOK_SECONDS = 0.02
SILENT_REPLIES = 4
NAMESPACE = "chaos"
TRAINER = "trainer"
LOGS = "logs"
TRAINING_CHILDREN = 2
TRAINING_KINDS = ("train_ensemble", "train_part")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The size of a run.

    Jobs come at `jobs_per_second`, and `jobs_per_fault` on top with each fault. `outage_seconds` are how long the
    server may be paused: the last is the rarest. `at_once` are how many faults are dealt at the same time, deck by
    deck; each must be less than the attempts that a job has. Trainings are of so many `models`. A silent server is
    silent for longer than three replies may take together.
    """

    seed: int = 7
    jobs: int = 20_000
    jobs_per_second: float = 20.0
    jobs_per_fault: int = 100
    lease_seconds: float = LedgerSettings().lease_seconds
    reply_timeout_seconds: float = LedgerSettings().reply_timeout_seconds
    outage_seconds: tuple[float, ...] = (2.0, 8.0, 30.0)
    at_once: tuple[int, ...] = (1, 2)
    children: int = 3
    models: int = 12


@dataclass(frozen=True)
class Blow:
    """A fault that was dealt. Times are on the monotonic clock; `answered_seconds` is None if that never came."""

    fault: Fault
    alone: bool
    struck_seconds: float
    healed_seconds: float
    answered_seconds: float | None


@dataclass(frozen=True)
class Course:
    """What happened in a run. `exits` are the codes with which pools ended and were started again.

    `oddities` are about pools and doorbells, where the evidence is about jobs. `left_out` could not be dealt here.
    """

    evidence: Evidence
    blows: list[Blow]
    refused: int
    took_seconds: float
    exits: Counter[int]
    oddities: list[str]
    left_out: frozenset[Fault]


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Course:
    """Run a plan. Logs, journal and the server's data stay in the folder."""
    with ExitStack() as stack:
        # This caller is of the newer version, and its jobs have limits of their own.
        stack.enter_context(patch("ledger.contracts.codec._job_decoder", newer_job_decoder))
        stack.enter_context(patch("ledger.jobs.job_entries.time_limit_seconds", limit_seconds))
        server = stack.enter_context(Server(folder / "server", NAMESPACE))
        settings = LedgerSettings(
            namespace=NAMESPACE,
            lease_seconds=plan.lease_seconds,
            reply_timeout_seconds=plan.reply_timeout_seconds,
            max_outcomes=10 * plan.jobs,
            webhook_allowed_hosts="127.0.0.1",
        )
        watcher, caller = (
            Ledger.connect(replace(settings, redis_url=server.url(user))) for user in ("admin", "producer")
        )
        for ledger in (watcher, caller):
            stack.callback(ledger.close)
        relaying = replace(settings, redis_url=server.url("gateway"))
        webhooks = stack.enter_context(Webhooks(folder, relaying, plan.seed))
        settings = replace(settings, redis_url=server.url("worker"))
        disk = stack.enter_context(Disk(folder / "disk"))
        store = stack.enter_context(StoreServer(disk.folder / "store"))
        fleet = stack.enter_context(Fleet(_pools(plan, folder, settings, disk, store)))
        return _Run(plan, watcher, caller, fleet, server, store, disk, webhooks, say).through(folder)


def _pools(plan: Plan, folder: Path, settings: LedgerSettings, disk: Disk, store: StoreServer) -> list[Pool]:
    """Two versions side by side, of which the older claims one job at a time and looks half as often, and a trainer."""
    variables = {
        "CORNERMAN_REDIS_URL": str(settings.redis_url),
        "CORNERMAN_NAMESPACE": settings.namespace,
        "CORNERMAN_LEASE_SECONDS": str(settings.lease_seconds),
        "CORNERMAN_REPLY_TIMEOUT_SECONDS": str(settings.reply_timeout_seconds),
        "CORNERMAN_MAX_OUTCOMES": str(settings.max_outcomes),
        "CORNERMAN_CHILD_MAX_MEMORY_MB": "1024",
        "CORNERMAN_DATA": str(folder),
        "CORNERMAN_LOG_FILE": str(folder / LOGS / "pools.jsonl"),
        "CORNERMAN_LOG_FILE_MB": "1",
        probe.JOURNAL: str(folder / "journal"),
    }
    older = {
        "CORNERMAN_MAX_JOBS_PER_CLAIM": "1",
        "CORNERMAN_SUPERVISOR_INTERVAL_SECONDS": "0.5",
        probe.VERSION: "older",
    }
    newer = {"CORNERMAN_MAX_JOBS_PER_CLAIM": "8", "CORNERMAN_SHUTDOWN_GRACE_SECONDS": "0.5", probe.VERSION: "newer"}
    trainer = {"CORNERMAN_DATA": str(disk.folder / TRAINER), "CORNERMAN_STORE": store.url, probe.VERSION: "newer"}
    return [
        Pool("older", folder, {**variables, **older}, plan.children),
        Pool("newer", folder, {**variables, **newer}, plan.children),
        Pool("trainer", folder, {**variables, **trainer}, TRAINING_CHILDREN, "train"),
    ]


def gather(
    ledger: Ledger,
    accepted: Mapping[str, Task],
    cancels: Mapping[str, Cancel],
    followed: Mapping[str, Outcome],
    journal: Counter[str],
    posted: Sequence[str],
) -> Evidence:
    """Ask the ledger at the end for everything that it has, to be held against what was noted meanwhile."""
    missed: list[OutcomesMissedError] = []  # the checker finds which
    order = [outcome.job_id for _, outcome in ledger.follow("0", idle_seconds=1.0, on_missed=missed.append)]
    return Evidence(
        accepted=accepted,
        cancels=cancels,
        followed=followed,
        stream=Counter(order),
        order=order,
        posted=posted,
        statuses={job_id: ledger.status(job_id) for job_id in accepted},
        outcomes={job_id: ledger.outcome(job_id) for job_id in accepted},
        dead={letter.job_id for letter in ledger.dead_letters.newest(limit=len(accepted) + 1)},
        attempts_begun=Counter({noted: times for noted, times in journal.items() if not noted.startswith(probe.DOWN)}),
        taken_down=Counter({job_id: journal[f"{probe.DOWN}{job_id}"] for job_id in accepted}),
        max_attempts=ledger.settings.max_attempts,
        models=right_models(accepted),
        parts=list(part_records(ledger)),
        index_differences=index_differences(ledger),
        events={
            job_id: ledger.job_histories.get(job_id).events
            for job_id, task in accepted.items()
            if task.not_before is not None or task.after is not None
        },
    )


class _Run:
    def __init__(
        self,
        plan: Plan,
        watcher: Ledger,
        caller: Ledger,
        fleet: Fleet,
        server: Server,
        store: StoreServer,
        disk: Disk,
        webhooks: Webhooks,
        say: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._ledger = watcher
        self._fleet = fleet
        self._server = server
        self._store = store
        self._disk = disk
        self._webhooks = webhooks
        self._say = say
        self._rng = random.Random(f"{plan.seed}/faults")
        self._submitter = Submitter(caller, plan.seed, plan.jobs, plan.jobs_per_second)
        self._follower = Follower(caller)
        self._callers: list[Future[None]] = []
        self._trained = threading.Event()

    def through(self, folder: Path) -> Course:
        """Play the run from the first job to the last outcome."""
        self._logs = folder / LOGS
        empty = emptier(self._disk.folder / "store", self._disk.folder / TRAINER / "models")
        self._trainings = Trainings(self._ledger, self._submitter, self._follower, folder, self._plan.models, empty)
        left_out = frozenset() if self._disk.mounted else frozenset({Fault.STORE_FULL})
        left_out |= frozenset() if self._server.clock.usable else frozenset(OF_THE_CLOCK)
        self._deck = [fault for fault in Fault if fault not in left_out]
        for fault in left_out:
            self._say(f"left out, because no disk can be mounted here, or nothing built: {fault.value}")
        webhook_id = self._webhooks.begin(self._ledger)
        self._until(lambda: len(self._ledger.pools.alive()) == len(self._fleet.pools))
        started_seconds = time.monotonic()
        with self._in_background() as feeding:
            blows = [blow for blows in self._rounds(feeding) for blow in blows]
            feeding.result()
            self._trained.set()
            self._callers[1].result()  # it may have submitted a last training
            self._until(lambda: self._submitter.accepted.keys() <= self._follower.outcomes.keys())
            took_seconds = time.monotonic() - started_seconds
            self._until(lambda: self._submitter.accepted.keys() <= set(self._webhooks.accepted()))
            self._until(lambda: insist(lambda: self._ledger.webhooks.get(webhook_id)).waiting == 0)
        exits = sum((pool.exits for pool in self._fleet.pools), Counter[int]())
        oddities = self._fleet.retire() + self._fleet.unexplained()
        oddities += [f"put aside, and nobody had sent it: {item!r}" for item in self._odd_doorbells()]
        oddities += self._webhooks.oddities()
        oddities += [f"a key of no listed pattern: {key}" for key in unlisted_keys(self._server.url("admin"))]
        oddities += [f"refused by the server's users: {refused}" for refused in sorted(self._server.refused())]
        evidence = gather(
            self._ledger,
            self._submitter.accepted,
            self._submitter.cancels,
            self._follower.outcomes,
            Counter((folder / "journal").read_text().split()),
            self._webhooks.accepted(),
        )
        return Course(evidence, blows, self._submitter.refused, took_seconds, exits, oddities, left_out)

    def _odd_doorbells(self) -> list[bytes]:
        items = [item for queue in QUEUES for item in self._ledger.quarantine.items(queue)]
        return [item for item in items if item not in ODD_DOORBELLS]

    @contextmanager
    def _in_background(self) -> Iterator[Future[None]]:
        """Submit and follow meanwhile."""
        over = threading.Event()
        with ThreadPoolExecutor(3) as threads:
            feeding = threads.submit(self._submitter.feed, over)
            training = threads.submit(self._trainings.run, random.Random(f"{self._plan.seed}/trainings"), self._trained)
            self._callers = [feeding, training, threads.submit(self._follower.follow, over)]
            try:
                yield feeding
            finally:
                self._trained.set()
                over.set()

    def _rounds(self, feeding: Future[None]) -> Iterator[list[Blow]]:
        """Deal faults for as long as jobs come, and each kind at least once."""
        for count, at_once in enumerate(itertools.cycle(self._plan.at_once)):
            deck = list(self._deck)
            self._rng.shuffle(deck)
            while deck:
                if count and feeding.done():
                    return
                drawn, deck = deck[:at_once], deck[at_once:]
                with ThreadPoolExecutor(at_once) as threads:
                    dealt = [threads.submit(self._deal, fault, self._rng.random(), len(drawn) == 1) for fault in drawn]
                yield [blow.result() for blow in dealt]

    def _deal(self, fault: Fault, chance: float, alone: bool) -> Blow:
        """Deal one fault, and wait until every job that it hit is answered, and one that was submitted after it."""
        rng = random.Random(chance)
        time.sleep(rng.uniform(0, OFFSET_SECONDS))
        self._submitter.rush(self._plan.jobs_per_fault)
        time.sleep(rng.uniform(0, BUSY_SECONDS))
        running = insist(self._ledger.running_jobs)
        hit = {job.job_id for job in running if job.kind not in TRAINING_KINDS}
        late = {job.job_id for job in running}

        def ask(behaviour: Behaviour) -> None:
            job_id, accepting = self._submitter.ask(behaviour)
            hit.add(job_id)
            submitting.append(accepting)

        submitting: list[Future[None]] = []
        injection = INJECTORS[fault](self._stage(rng, running, ask))
        lasting_seconds = next(injection, None)
        struck_seconds, struck = time.monotonic(), datetime.now(UTC)
        ask(Behaviour.ANSWER)
        while lasting_seconds is not None:
            time.sleep(lasting_seconds)
            lasting_seconds = next(injection, None)
        healed_seconds = time.monotonic()
        for accepting in submitting:
            accepting.result()
        time.sleep(DYING_SECONDS)
        running = insist(self._ledger.running_jobs)
        hit |= {
            job.job_id
            for job in running
            if job.kind not in TRAINING_KINDS and (job.claimed_at - struck).total_seconds() < DYING_SECONDS
        }
        late |= hit | {job.job_id for job in running}
        self._until(lambda: all(self._over(job_id) for job_id in late))
        seen = [self._follower.seen_seconds.get(job_id) for job_id in hit]
        answered = max((seconds for seconds in seen if seconds is not None), default=struck_seconds)
        if fault in OF_TRAINING:  # the others are measured by jobs that take no time of their own
            answered = time.monotonic()
        blow = Blow(fault, alone, struck_seconds, healed_seconds, None if None in seen else answered)
        self._say(f"{len(self._follower.outcomes):6,} answered   {fault.value}: {answered - struck_seconds:.1f} s")
        return blow

    def _over(self, job_id: str) -> bool:
        """Whether a job has its outcome: those who follow are not told of parts."""
        if job_id in self._submitter.accepted or job_id in self._follower.seen_seconds:
            return job_id in self._follower.seen_seconds
        return insist(lambda: self._ledger.outcome(job_id)) is not None

    def _stage(self, rng: random.Random, running: list[RunningJob], ask: Callable[[Behaviour], None]) -> Stage:
        frequencies = range(len(self._plan.outage_seconds), 0, -1)
        (outage_seconds,) = rng.choices(self._plan.outage_seconds, list(frequencies))
        frozen_seconds = self._plan.lease_seconds * 1.2
        return Stage(
            self._fleet,
            self._server,
            NAMESPACE,
            rng,
            running,
            lambda: insist(self._ledger.running_jobs),
            ask,
            self._store,
            self._disk,
            self._logs,
            self._webhooks,
            frozen_seconds,
            outage_seconds,
            self._plan.reply_timeout_seconds * SILENT_REPLIES,
        )

    def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, or until patience ends: what is missing then, the checker will find."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition() and time.monotonic() < deadline:
            for caller in self._callers:
                if caller.done():
                    caller.result()  # raises what the caller did not expect
            time.sleep(LOOK_SECONDS)
