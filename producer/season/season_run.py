"""A season from its first price to its last result: the service runs by itself, and is killed in between.

Everything runs on the real clock. The season's weeks are divided by a speed, so its cards begin seconds apart on the
day on which it is played. What the service would do by days it does by seconds: that is a matter of settings and cron
texts, not of clocks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from ledger.contracts.failures import LedgerError
from ledger.contracts.job_state import JobState
from ledger.jobs.job_index import JobQuery
from ledger.ledger import Ledger
from producer.betting.bet_follower import FOLLOWER
from producer.season.evidence import SeasonEvidence, cancelled_fights, gather
from producer.season.exports import SeasonExport
from producer.season.kills import Kill, Targets
from producer.season.plan import FEED, SeasonFolders, feed_variables, retraining, schedules_of
from producer.service.played_provider import PlayedProvider, ProviderFault
from producer.service.played_season import PlayedSeason
from producer.service.service_process import ServiceProcess, stop_all
from producer.service.temporary_service import TemporaryService, clean_environment
from producer.settings import URL_VARIABLE

RUNNERS = 2
LOOK_SECONDS = 0.2
LEAD_SECONDS = 3.0
PATIENCE_SECONDS = 120.0
PATIENCE_FOR_JOBS_SECONDS = 400.0  # a training may be among them
USER = "season"
KILLS = (
    (0.20, Kill.FEED_LEADER),
    (0.32, Kill.PREDICT_CHILD),
    (0.45, Kill.MONITOR_POOL),
    (0.57, Kill.FOLLOWER),
    (0.68, Kill.PREDICT_POOL),
    (0.80, Kill.FEED_LEADER),
)
"""At which part of the season who is killed."""
FAULTS = (
    (0.15, ProviderFault.TOO_MANY),
    (0.27, ProviderFault.HALF_BODY),
    (0.38, ProviderFault.SERVER_ERROR),
    (0.50, ProviderFault.KEY_REFUSED),
    (0.62, ProviderFault.CUT),
    (0.74, ProviderFault.SILENT),
)
"""At which part of the season which request to the provider goes wrong."""
RETRAINED_AFTER = timedelta(seconds=0.4)
"""When a challenger is trained, for each second that the season takes: by then there are results to judge it by."""
MIN_SECONDS_TO_RETRAIN = 90.0
_UNDONE = JobQuery(states=(JobState.QUEUED, JobState.RUNNING, JobState.WAITING), internal=True)


@dataclass
class SeasonOutcome:
    """A season that is over: the evidence, who was killed when (seconds since its beginning), what did not come."""

    evidence: SeasonEvidence
    killed: Sequence[tuple[float, Kill]]
    restarts: int
    missing: Sequence[str]


@dataclass
class SeasonRun:
    """The run of a season on a temporary service that has a champion.

    Attributes
    ----------
    service
        The service.
    league
        Folder of the league with `season.json`.
    folder
        Folder for the export and the logs.
    minutes
        How long the season takes.
    say
        Takes notes for people.
    """

    service: TemporaryService
    league: Path
    folder: Path
    minutes: float
    say: Callable[[str], None]
    killed: list[tuple[float, Kill]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    restarts: int = 0

    def run(self) -> SeasonOutcome:
        """Play the season to its end. Raises LedgerUnavailableError if the service ends."""
        season = self._season()
        folders = SeasonFolders.under(self.folder, self.league)
        export = SeasonExport(season, self.league, folders.export)
        export.write(season.begins)
        with ExitStack() as stack:
            provider = stack.enter_context(PlayedProvider(season))
            log = stack.enter_context((self.folder / "people.log").open("ab"))
            # The cards that were answered before the season are nothing to bet on.
            self._ledger.bets.remember_place(FOLLOWER, self._ledger.latest_place())
            people = self._people(provider, folders, log)
            stack.callback(stop_all, people)
            for process in people:
                process.start()
            targets = Targets(self.service.process.pid, people[:RUNNERS], people[-1])
            begun = self._begin_schedules(season, folders)
            self._play(season, provider, export, people, targets)
            spans = self._finish(season, export, people, begun)
            evidence = gather(self._ledger, season, provider.requests, FEED, spans, season.ends)
        return SeasonOutcome(evidence, self.killed, self.restarts, self.missing)

    @property
    def _ledger(self) -> Ledger:
        return self.service.client.ledger

    def _season(self) -> PlayedSeason:
        begins = float(int(time.time() + LEAD_SECONDS))
        slow = PlayedSeason.from_file(self.league / "season.json", begins, 1.0)
        speed = float(slow.document["length_seconds"]) / (60.0 * self.minutes)
        return PlayedSeason.from_document(slow.document, begins, speed)

    def _people(self, provider: PlayedProvider, folders: SeasonFolders, log: IO[bytes]) -> list[ServiceProcess]:
        environment = {
            **clean_environment(),
            **feed_variables(provider.url, folders.scores),
            URL_VARIABLE: str(self._ledger.settings.redis_url),
        }
        cornerman = [sys.executable, "-m", "producer.cli.main"]
        runners = [
            ServiceProcess(
                f"feed runner {number + 1}", [*cornerman, "feed", "run", "odds-api"], environment, output=log
            )
            for number in range(RUNNERS)
        ]
        follower = ServiceProcess("follower", [*cornerman, "bets", "follow"], environment, output=log)
        return [*runners, follower]

    def _begin_schedules(self, season: PlayedSeason, folders: SeasonFolders) -> dict[str, datetime]:
        begins = datetime.fromtimestamp(season.begins, UTC)
        seconds = season.ends - season.begins
        retrained = retraining(folders, begins, begins + RETRAINED_AFTER * seconds)
        schedules = schedules_of(folders) + ((retrained,) if seconds >= MIN_SECONDS_TO_RETRAIN else ())
        return {
            schedule.name: self._ledger.schedules.put(schedule, user=USER, reason="a season").decided_until
            for schedule in schedules
        }

    def _play(
        self,
        season: PlayedSeason,
        provider: PlayedProvider,
        export: SeasonExport,
        people: Sequence[ServiceProcess],
        targets: Targets,
    ) -> None:
        """Let the season pass, with its kills and faults."""
        length = season.ends - season.begins
        kills = [(season.begins + part * length, kill) for part, kill in KILLS]
        faults = [(season.begins + part * length, fault) for part, fault in FAULTS]
        bells = sorted({listing.bell for listing in season.listings})
        while (now := time.time()) < season.ends:
            self._live(people, export)
            while bells and bells[0] <= now:
                bells.pop(0)
                self.say(f"{now - season.begins:5.0f} s: a card begins, with {self._open_bets()} open bets")
            if faults and now >= faults[0][0]:
                provider.break_next(faults.pop(0)[1])
            if kills and now >= kills[0][0] and self._strike(kills[0][1], targets, now - season.begins):
                kills.pop(0)
            time.sleep(LOOK_SECONDS)

    def _open_bets(self) -> str:
        try:
            return str(len(self._ledger.bets.open_bets()))
        except LedgerError:
            return "unknown"

    def _strike(self, kill: Kill, targets: Targets, second: float) -> bool:
        try:
            leader = self._ledger.feeds.status(FEED).leader if kill is Kill.FEED_LEADER else None
        except LedgerError:
            return False
        number = targets.strike(kill, leader)
        if number is None:
            return False
        self.killed.append((second, kill))
        self.say(f"{second:5.0f} s: killed {kill}, process {number}")
        return True

    def _live(self, people: Sequence[ServiceProcess], export: SeasonExport) -> None:
        """Do what supervisors and the statistics service do all the time."""
        self.service.check_alive()
        export.write(time.time())
        for process in people:
            if process.restart_if_exited() is not None:
                self.restarts += 1

    def _finish(
        self,
        season: PlayedSeason,
        export: SeasonExport,
        people: Sequence[ServiceProcess],
        begun: Mapping[str, datetime],
    ) -> dict[str, tuple[datetime, datetime]]:
        """Wait for the last readings, runs and bets; return from when to when each schedule was in force."""
        ledger = self._ledger
        over = time.time()

        def until(what: str, condition: Callable[[], bool], patience_seconds: float = PATIENCE_SECONDS) -> None:
            end = time.monotonic() + patience_seconds
            while time.monotonic() < end:
                self._live(people, export)
                with suppress(LedgerError):
                    if condition():
                        return
                time.sleep(LOOK_SECONDS)
            self.missing.append(what)

        def last_prices_read() -> bool:
            last = ledger.feeds.retrievals(FEED, 1)
            return bool(last) and last[0].read_at.timestamp() > season.ends

        def all_ran() -> bool:
            runs = {name: ledger.schedules.history(name) for name in begun if name != "retrain"}
            return all(any(run.slot.timestamp() > over and run.ended_at for run in each) for each in runs.values())

        until("a reading after the end of the season", last_prices_read)
        until("a run of each schedule after the end of the season", all_ran)
        cancelled = cancelled_fights(season)
        until("the end of every bet", lambda: {bet.fight_id for bet in ledger.bets.open_bets()} <= cancelled)
        spans = {
            name: (begin, ledger.schedules.pause(name, user=USER, reason="the season is over").decided_until)
            for name, begin in begun.items()
        }
        until("the end of every job", lambda: not ledger.job_index.page(_UNDONE).jobs, PATIENCE_FOR_JOBS_SECONDS)
        return spans
