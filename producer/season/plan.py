"""How a service is set up for a played season: what takes days takes seconds, by settings and cron texts alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from ledger.contracts.jobs import (
    CHALLENGER,
    CHAMPION,
    ArchivePrices,
    JudgeModels,
    ReviewBets,
    ReviewModel,
    SettleBets,
    TrainEnsemble,
    UpdateFightLog,
)
from ledger.contracts.schedules import Schedule
from producer.service.played_provider import DEMO_KEY

FEED = "season"
REGIONS = "us,uk"
JUDGED_DAYS = 365
MISSING_SECONDS = 1.0
"""How long a fight is missing before it counts as withdrawn."""


def feed_variables(provider: str, scores: Path) -> dict[str, str]:
    """Return the settings of feed runners that read a played provider: seconds in place of minutes and hours."""
    seconds = {
        "NEAR": 1.0,
        "DAY": 1.0,
        "FAR": 1.0,
        "IDLE": 2.0,
        "LEASE": 2.0,
        "CONNECT": 1.0,
        "TIMEOUT": 3.0,
        "RETRY": 0.2,
        "SLOW_RETRY": 2.0,
        "SCORES": 3.0,
        "MISSING": MISSING_SECONDS,
    }
    return {
        "CORNERMAN_FEED_URL": provider,
        "CORNERMAN_FEED_API_KEY": DEMO_KEY,
        "CORNERMAN_FEED_NAME": FEED,
        "CORNERMAN_FEED_FORMAT": "american",
        "CORNERMAN_FEED_REGIONS": REGIONS,
        "CORNERMAN_FEED_SCORES": str(scores),
        **{f"CORNERMAN_FEED_{name}_SECONDS": f"{value:g}" for name, value in seconds.items()},
    }


@dataclass(frozen=True)
class SeasonFolders:
    """Folders of a season.

    Attributes
    ----------
    log
        The fight log that is kept up to date.
    export
        Where the statistics service exports.
    scores
        Where feed runners keep the provider's scores.
    """

    log: Path
    export: Path
    scores: Path

    @classmethod
    def under(cls, folder: Path, log: Path) -> SeasonFolders:
        """Return the folders of a season that is played in `folder`."""
        return cls(log, folder / "export", folder / "scores")


def schedules_of(folders: SeasonFolders) -> tuple[Schedule, ...]:
    """Return the schedules of a season, all of which run several times a minute.

    Prices are archived if pyarrow is installed, which nothing else in a season needs.
    """
    sources = (str(folders.export), str(folders.scores))
    importing = UpdateFightLog(log=str(folders.log), sources=sources, skip_faulty=True)
    archive = Schedule(name="archive", cron="10/30 * * * * *", jobs=(ArchivePrices(),))
    return (
        Schedule(name="results", cron="*/5 * * * * *", jobs=(importing, SettleBets())),
        Schedule(name="settle", cron="*/7 * * * * *", jobs=(SettleBets(),), catch_up="all"),
        Schedule(name="review-bets", cron="*/15 * * * * *", jobs=(ReviewBets(),)),
        Schedule(name="review-model", cron="5/20 * * * * *", jobs=(ReviewModel(),)),
        *([archive] if find_spec("pyarrow") is not None else []),
    )


def retraining(folders: SeasonFolders, begins: datetime, at: datetime) -> Schedule:
    """Return the schedule of one retraining and its judgement.

    A season has too few fights to judge models by, so their recipes are judged: models of both are trained on
    everything before the last year, and compared on the fights of that year.
    """
    log = str(folders.log)
    training = TrainEnsemble(
        data=log,
        cutoff=begins.astimezone(UTC).date(),
        alias=CHALLENGER,
        seed=8,
        bootstrap_samples=10,
        fits=1,
        folds=3,
        forest_trees=50,
        replica_forest_trees=10,
    )
    first_day = (begins.astimezone(UTC) - timedelta(days=JUDGED_DAYS)).date().replace(day=1)
    judgement = JudgeModels(data=log, challenger=CHALLENGER, champion=CHAMPION, first_day=first_day)
    moment = at.astimezone(UTC)
    return Schedule(name="retrain", cron=f"{moment:%-S %-M %-H %-d %-m} *", jobs=(training, judgement))
