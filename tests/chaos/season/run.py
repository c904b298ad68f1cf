"""One season under faults: everybody who works in it, the faults, and what is held against what at its end.

Faults come from shuffled decks that hold each kind once. Nobody waits for the damage to be repaired before the next
one. What the provider played and what the ledger holds are gathered when the season is over and all work is done.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.simulation.season import DAY_SECONDS, season_document, write_season
from ledger.contracts.job_state import JobState
from ledger.jobs.job_index import JobQuery
from ledger.ledger import Ledger, LedgerSettings
from producer.season.evidence import SeasonEvidence, cancelled_fights, gather
from producer.season.exports import SeasonExport
from producer.season.plan import FEED, SeasonFolders, feed_variables, schedules_of
from producer.service.played_provider import PlayedProvider
from producer.service.played_season import PlayedSeason
from tests.chaos.callers import insist
from tests.chaos.fleet import Fleet
from tests.chaos.season.faults import OF_THE_CLOCK, SEASON_INJECTORS, SeasonFault, SeasonStage
from tests.chaos.season.people import Member, command, pool
from tests.chaos.season.stream_repeats import stream_repeats
from tests.chaos.season.trained import season_model, small_season
from tests.chaos.server import Server
from tests.support.cutting_proxy import CuttingProxy
from tests.support.server_keys import unlisted_keys
from tests.support.small_models import set_alias

NAMESPACE = "season"
PATIENCE_SECONDS = 90.0
LOOK_SECONDS = 0.2
LEAD_SECONDS = 2.0
DAYS_A_CARD = 7
_UNDONE = JobQuery(states=(JobState.QUEUED, JobState.RUNNING, JobState.WAITING), internal=True)


@dataclass(frozen=True, kw_only=True)
class SeasonPlan:
    """The size of a season under faults. `fault_seconds` is the longest pause between two faults."""

    seed: int = 7
    cards: int = 40
    fights_per_card: int = 4
    seconds_per_card: float = 12.0
    fault_seconds: float = 3.0
    lease_seconds: float = 2.0
    outage_seconds: float = 1.5


@dataclass(frozen=True)
class SeasonCourse:
    """What happened in a season: the evidence, the faults, and what is odd beside the counts."""

    evidence: SeasonEvidence
    faults: Counter[SeasonFault]
    took_seconds: float
    exits: Counter[int]
    oddities: list[str]
    left_out: frozenset[SeasonFault]


def run_season(plan: SeasonPlan, folder: Path, say: Callable[[str], None]) -> SeasonCourse:
    """Run a season. Logs, the log of fights and the server's data stay in the folder."""
    season = small_season(plan.seed, plan.cards, plan.fights_per_card)
    write_season(season, folder / "league")
    bundle = season_model(season, folder / "log", folder / "data" / "models")
    say(f"{len(season.bouts)} bouts; the model is {bundle.digest[:12]}")
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder / "server", NAMESPACE))
        settings = LedgerSettings(
            namespace=NAMESPACE,
            redis_url=server.url("admin"),
            lease_seconds=plan.lease_seconds,
            reply_timeout_seconds=2.0,
        )
        ledger = Ledger.connect(settings)
        stack.callback(ledger.close)
        set_alias(ledger, "champion", bundle.digest)
        pools = _Pools(plan, folder, server)
        first = stack.enter_context(Fleet(pools.everybody()))
        _wait_for_pools(ledger, len(pools.everybody()))
        begins = float(int(time.time() + LEAD_SECONDS))
        speed = DAYS_A_CARD * DAY_SECONDS / plan.seconds_per_card
        played = PlayedSeason.from_document(season_document(season), begins, speed)
        provider = stack.enter_context(PlayedProvider(played))
        proxy = CuttingProxy("127.0.0.1", server.port)
        stack.callback(proxy.close)
        callers = _Callers(pools.variables, server, provider, proxy, folder)
        second = stack.enter_context(Fleet(callers.everybody()))
        run = _Season(plan, folder, ledger, server, played, provider, proxy, pools, callers, say)
        return run.through((first, second))


def _wait_for_pools(ledger: Ledger, count: int) -> None:
    """Wait until all pools have begun, so that the first card finds them."""
    until = time.monotonic() + PATIENCE_SECONDS
    while len(insist(ledger.pools.alive)) < count:
        if time.monotonic() > until:
            raise TimeoutError(f"not all of the {count} pools have begun")
        time.sleep(LOOK_SECONDS)


class _Pools:
    """The pools of a season, and the settings that all of its processes have in common."""

    def __init__(self, plan: SeasonPlan, folder: Path, server: Server) -> None:
        self.variables = {
            "CORNERMAN_NAMESPACE": NAMESPACE,
            "CORNERMAN_LEASE_SECONDS": str(plan.lease_seconds),
            "CORNERMAN_REPLY_TIMEOUT_SECONDS": "2",
            "CORNERMAN_SUPERVISOR_INTERVAL_SECONDS": "0.5",
            "CORNERMAN_DATA": str(folder / "data"),
        }
        worker = {**self.variables, "CORNERMAN_REDIS_URL": server.url("worker")}
        self.predictors = [pool(f"predict-{number}", "predict", folder, worker) for number in (1, 2)]
        self.monitors = [pool(f"monitor-{number}", "monitor", folder, worker) for number in (1, 2)]

    def everybody(self) -> list[Member]:
        """Return all pools."""
        return [*self.predictors, *self.monitors]


class _Callers:
    """The feed runners and followers of a season. A proxy is between one of the runners and the server."""

    def __init__(
        self, common: Mapping[str, str], server: Server, provider: PlayedProvider, proxy: CuttingProxy, folder: Path
    ) -> None:
        producer = {**common, "CORNERMAN_REDIS_URL": server.url("producer")}
        through_proxy = {**common, "CORNERMAN_REDIS_URL": server.url("producer", proxy.port)}
        feed = feed_variables(provider.url, SeasonFolders.under(folder, folder / "log").scores)
        self.runners = [
            command("runner-1", folder, {**producer, **feed}, "feed", "run", "odds-api"),
            command("runner-2", folder, {**through_proxy, **feed}, "feed", "run", "odds-api"),
        ]
        self.followers = [command(f"follower-{number}", folder, producer, "bets", "follow") for number in (1, 2)]

    def everybody(self) -> list[Member]:
        """Return all processes."""
        return [*self.runners, *self.followers]


class _Season:
    def __init__(
        self,
        plan: SeasonPlan,
        folder: Path,
        ledger: Ledger,
        server: Server,
        season: PlayedSeason,
        provider: PlayedProvider,
        proxy: CuttingProxy,
        pools: _Pools,
        callers: _Callers,
        say: Callable[[str], None],
    ) -> None:
        self._plan, self._folder, self._ledger, self._server = plan, folder, ledger, server
        self._season, self._provider, self._say = season, provider, say
        self._rng = random.Random(f"{plan.seed}/faults")
        self._folders = SeasonFolders.under(folder, folder / "log")
        self._export = SeasonExport(season, folder / "league", self._folders.export)
        self._stage = SeasonStage(
            callers.runners,
            callers.followers,
            pools.predictors,
            pools.monitors,
            server,
            provider,
            proxy,
            self._leader,
            self._rng,
            plan.lease_seconds * 1.5,
            plan.outage_seconds,
        )
        self._dealt: Counter[SeasonFault] = Counter()

    def through(self, fleets: Sequence[Fleet]) -> SeasonCourse:
        """Play the season from its first price to its last bet; at the end the fleets retire."""
        started = time.monotonic()
        left_out = frozenset() if self._server.clock.usable else frozenset(OF_THE_CLOCK)
        ledger = self._ledger
        self._export.write(self._season.begins)
        begun: dict[str, datetime] = {}
        for schedule in schedules_of(self._folders):
            begun[schedule.name] = ledger.schedules.put(schedule, user="chaos", reason="season").decided_until
        self._deal_faults([fault for fault in SeasonFault if fault not in left_out])
        self._provider.heal()
        self._export.write(self._season.ends)
        results_at = self._season.ends
        self._until("the last prices are read", self._last_prices_read)
        over = time.time()
        self._until("the last results are imported", lambda: self._ran_since(over, begun))
        cancelled = cancelled_fights(self._season)
        self._until("every bet has ended", lambda: {bet.fight_id for bet in insist(ledger.bets.open_bets)} <= cancelled)
        spans = {}
        for name, begin in begun.items():
            paused = insist(lambda name=name: ledger.schedules.pause(name, user="chaos", reason="season is over"))
            spans[name] = (begin, paused.decided_until)
        self._until("all runs have ended", lambda: self._runs_ended(begun))
        self._until("no job is left", self._no_job_left)
        exits = sum((member.exits for fleet in fleets for member in fleet.pools), Counter[int]())
        oddities = [f"refused by the server's users: {refused}" for refused in sorted(self._server.refused())]
        evidence = gather(ledger, self._season, self._provider.requests, FEED, spans, results_at)
        oddities += [f"a key of no listed pattern: {key}" for key in unlisted_keys(self._server.url("admin"))]
        oddities += stream_repeats(self._server.command, NAMESPACE, [each.fight_id for each in self._season.listings])
        oddities += [sentence for fleet in fleets for sentence in fleet.retire()]
        return SeasonCourse(evidence, self._dealt, time.monotonic() - started, exits, oddities, left_out)

    def _deal_faults(self, kinds: list[SeasonFault]) -> None:
        """Deal decks of faults until the season is over, and each kind at least once."""
        for count in itertools.count():
            deck = list(kinds)
            self._rng.shuffle(deck)
            for fault in deck:
                if count and time.time() > self._season.ends:
                    return
                self._live(self._rng.uniform(0.3, 1.0) * self._plan.fault_seconds)
                injection = SEASON_INJECTORS[fault](self._stage)
                self._dealt[fault] += 1
                self._say(f"{time.time() - self._season.begins:6.1f} s  {fault.value}")
                for lasting_seconds in injection:
                    self._live(lasting_seconds)
            if time.time() > self._season.ends:
                return

    def _live(self, seconds: float) -> None:
        """Let time pass; the statistics service exports what is reported meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._export.write(time.time())
            time.sleep(min(left, LOOK_SECONDS))

    def _leader(self) -> str | None:
        return insist(lambda: self._ledger.feeds.status(FEED)).leader

    def _last_prices_read(self) -> bool:
        retrievals = insist(lambda: self._ledger.feeds.retrievals(FEED, 1))
        return bool(retrievals) and retrievals[0].read_at.timestamp() > self._season.ends

    def _ran_since(self, moment: float, names: Mapping[str, Any]) -> bool:
        """Whether each schedule has a run of a slot after a moment, which has ended."""
        return all(
            any(run.slot.timestamp() > moment and run.ended_at is not None for run in self._runs(name))
            for name in names
        )

    def _runs_ended(self, names: Mapping[str, Any]) -> bool:
        return all(run.state not in ("submitted", "refused") for name in names for run in self._runs(name))

    def _runs(self, name: str) -> Any:
        return insist(lambda: self._ledger.schedules.history(name, 500))

    def _no_job_left(self) -> bool:
        return not insist(lambda: self._ledger.job_index.page(_UNDONE)).jobs

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait for a condition, or until patience ends: what is missing then, the counts will find."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                self._say(f"this did not come: {what}")
                return
            self._live(LOOK_SECONDS)
