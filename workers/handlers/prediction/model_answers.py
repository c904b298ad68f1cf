"""What a model says of a card's fights before their prices: feature rows and summaries, remembered by fight.

Odds move many times before a fight, and nothing else of it does. So what a model has said of a fight is kept with the
open model, by everything that it was made from, and a card that comes again with other prices costs no prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

import msgspec
import numpy as np

from engine.arrays import Floats
from engine.data.fighter_snapshot import FighterRequest, FightRequest
from engine.ensemble import ProductionEnsembleConfig, ProductionEnsembleManager, missing_values
from engine.errors import EngineError, ValidationError
from engine.model.prediction import FightSummary
from engine.monitoring.drift import FeatureBins
from ledger.contracts.bouts import MMA, is_mma
from ledger.contracts.jobs import Corner, Fight, Fighter, PredictCard
from workers.models.model_cache import OpenModel

_encoder = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True)
class Said:
    """What a model says of a fight, and what is known of it beside; bins: of its features, for the journal."""

    summary: FightSummary
    flags: tuple[str, ...]
    fighter_ids: tuple[str | None, str | None]
    bins: str = ""


@dataclass(frozen=True)
class _Row:
    """The features of a fight, float64 (columns,), and what is known of it beside."""

    values: Floats
    experience: int
    flags: tuple[str, ...]
    fighter_ids: tuple[str | None, str | None]


def say(
    job: PredictCard, opened: OpenModel[ProductionEnsembleManager], config: ProductionEnsembleConfig
) -> list[Said | EngineError]:
    """Return what the model says of each fight, or why it can say nothing of it.

    What it has said before is not computed again. Raises what the engine raises for a whole card.
    """
    levels = sorted({*job.intervals.levels, job.rules.level})
    keys = [_key(fight, job, config, levels) for fight in job.fights]
    said: list[Said | EngineError | None] = [opened.remembered.get(key) for key in keys]
    new = [position for position, word in enumerate(said) if word is None]
    rows = _rows([job.fights[position] for position in new], job, opened.model)
    fresh = [(position, row) for position, row in zip(new, rows, strict=True) if isinstance(row, _Row)]
    summaries = _summarise(opened.model, config, levels, [(job.fights[position], row) for position, row in fresh])
    bins = _bins([row for _, row in fresh], opened.model)
    for (position, row), summary, written in zip(fresh, summaries, bins, strict=True):
        said[position] = word = Said(summary, row.flags, row.fighter_ids, written)
        opened.remembered.put(keys[position], word)
    for position, built in zip(new, rows, strict=True):
        if isinstance(built, EngineError):
            said[position] = built
    return [word for word in said if word is not None]


def first_corner(fight: Fight) -> Corner:
    """Return the corner of the first fighter; telling either fighter's corner tells both."""
    first, second = (fighter.corner for fighter in fight.fighters)
    if first != "unknown" or second == "unknown":
        return first
    return "blue" if second == "red" else "red"


def _key(fight: Fight, job: PredictCard, config: ProductionEnsembleConfig, levels: Sequence[float]) -> bytes:
    """Everything that an answer is made from, but the model, the prices and the other fights."""
    unpriced = msgspec.structs.replace(fight, id="", quotes=(), invalid_quotes=(), same_bout_as=None, conflicts_with=())
    asked = (
        config.bootstrap_samples,
        config.confidence_level,
        config.min_prediction_confidence,
        config.max_uncertainty_threshold,
        levels,
    )
    return _encoder.encode((unpriced, job.event_start.astimezone(UTC).date(), asked))


def _summarise(
    manager: ProductionEnsembleManager,
    config: ProductionEnsembleConfig,
    levels: Sequence[float],
    entries: Sequence[tuple[Fight, _Row]],
) -> list[FightSummary]:
    if not entries:
        return []
    return manager.configured(config).summarise_rows(
        np.stack([row.values for _, row in entries]),
        corners=[first_corner(fight) for fight, _ in entries],
        experience=[row.experience for _, row in entries],
        levels=levels,
    )


def _bins(rows: Sequence[_Row], manager: ProductionEnsembleManager) -> list[str]:
    about = manager.ensemble.manifest.get("drift")
    if about is None or not rows:
        return [""] * len(rows)
    return FeatureBins.from_manifest(manager.ensemble.columns, about).written(np.stack([row.values for row in rows]))


def _rows(fights: Sequence[Fight], job: PredictCard, manager: ProductionEnsembleManager) -> list[_Row | EngineError]:
    """Return the row of each fight, or why it has none."""
    rows: list[_Row | EngineError | None] = [
        _other_sport(fight, manager) or _inline(fight, manager) for fight in fights
    ]
    from_log = [position for position, row in enumerate(rows) if row is None]
    if from_log:
        found = _from_log([fights[position] for position in from_log], job, manager)
        for position, row in zip(from_log, found, strict=True):
            rows[position] = row
    return [row for row in rows if row is not None]


def _other_sport(fight: Fight, manager: ProductionEnsembleManager) -> EngineError | None:
    """Return the error of a fight in a sport that a model of a fight log was not trained for.

    What a model of a ready matrix was trained for, only its owner knows.
    """
    if fight.sport is None or is_mma(fight.sport) or manager.ensemble.snapshot is None:
        return None
    return ValidationError(
        f"the sport of fight {fight.id!r} is {fight.sport!r}, and the model was trained on a log of MMA fights: "
        "take the fight off the card, or ask a model of that sport",
        details={"sport": fight.sport, "trained_for": MMA},
    )


def _inline(fight: Fight, manager: ProductionEnsembleManager) -> _Row | EngineError | None:
    """Return the row that the fight brings along, or what is wrong with it; None for one that brings none."""
    features, columns = fight.features, manager.ensemble.columns
    if features is None:
        return None
    absent = [name for name in columns if name not in features]
    if absent:
        return ValidationError(f"fight {fight.id!r} lacks {len(absent)} of the model's features: {absent[:8]}")
    values = np.array([np.nan if features[name] is None else features[name] for name in columns], dtype=np.float64)
    missing = np.isnan(values).any()
    if missing and not manager.ensemble.takes_missing:
        return ValidationError(f"fight {fight.id!r}: {missing_values(values[None], manager.ensemble)}")
    return _Row(values, -1, _flags(fight, ("features_imputed",) if missing else ()), (None, None))


def _from_log(
    fights: Sequence[Fight], job: PredictCard, manager: ProductionEnsembleManager
) -> list[_Row | EngineError]:
    """Build rows from the fight log of the model."""
    snapshot, columns = manager.ensemble.snapshot, list(manager.ensemble.columns)
    if snapshot is None:
        return [
            ValidationError(
                f"fight {fight.id!r} has no features and the model was trained on a ready matrix, without a fight log: "
                "send `features`, or use a model trained on a fight log"
            )
            for fight in fights
        ]
    day = job.event_start.astimezone(UTC).date()
    found = snapshot.features(
        [
            FightRequest(
                first=_fighter_request(fight.fighters[0]),
                second=_fighter_request(fight.fighters[1]),
                date=day,
                weight_class=fight.weight_class,
                scheduled_rounds=fight.scheduled_rounds,
                title_bout=fight.title_bout,
            )
            for fight in fights
        ]
    )
    values = iter(
        zip(
            found.X[columns].to_numpy(np.float64),
            found.experience.tolist(),
            found.flags,
            found.fighter_ids,
            strict=True,
        )
    )

    def next_row(fight: Fight) -> _Row | EngineError:
        row, experience, flags, fighter_ids = next(values)
        if not manager.ensemble.takes_missing and np.isnan(row).any():
            return ValidationError(f"fight {fight.id!r}: {missing_values(row[None], manager.ensemble)}")
        return _Row(row, experience, _flags(fight, flags), fighter_ids)

    return [next_row(fight) if error is None else error for fight, error in zip(fights, found.errors, strict=True)]


def _flags(fight: Fight, flags: tuple[str, ...]) -> tuple[str, ...]:
    return (*flags, "corner_unknown") if first_corner(fight) == "unknown" else tuple(flags)


def _fighter_request(fighter: Fighter) -> FighterRequest:
    return FighterRequest(
        name=fighter.name,
        debut=fighter.debut,
        date_of_birth=fighter.date_of_birth,
        height_cm=fighter.height_cm,
        reach_cm=fighter.reach_cm,
        stance=fighter.stance,
    )
