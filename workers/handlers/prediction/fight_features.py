"""Step "features": the feature row of a fight, sent by the caller or built from the model's fight log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

import numpy as np

from engine.arrays import Floats
from engine.data.fighter_snapshot import FighterRequest, FightRequest, drop_unused_flags
from engine.ensemble import ProductionEnsembleManager, missing_values_message
from engine.errors import EngineError, ValidationError
from ledger.contracts.bouts import MMA, is_mma
from ledger.contracts.jobs import Corner, Fight, Fighter
from workers.handlers.prediction.resolved_card import ResolvedCard


@dataclass(frozen=True)
class FeatureRow:
    """The features of a fight.

    Attributes
    ----------
    values : ndarray of float64, shape (columns,)
        In the order of the model's columns, NaN where missing.
    experience : int
        Earlier fights of the less experienced fighter, -1 if unknown.
    flags : tuple of str
        What a reader of the answer should know, as in `FightReport.flags`.
    fighter_ids : pair of str or None
        The fight log's ids of the fighters.
    rating_parts : ndarray of float64, shape (groups,), or None
        The model's rating in parts (`engine.data.rating_parts`); None if the card wants no contributions, or unknown.
    """

    values: Floats
    experience: int
    flags: tuple[str, ...]
    fighter_ids: tuple[str | None, str | None]
    rating_parts: Floats | None = None


def build_features(card: ResolvedCard, fights: Sequence[Fight]) -> dict[str, FeatureRow | EngineError]:
    """Return by fight id the feature row of each fight, or the error for which it has none."""
    sent = {fight.id: _other_sport(fight, card.manager) or _inline(fight, card.manager) for fight in fights}
    built = _from_log(card, [fight for fight in fights if sent[fight.id] is None])
    return {fight.id: sent[fight.id] or built[fight.id] for fight in fights}


def first_corner(fight: Fight) -> Corner:
    """Return the corner of the first fighter, derived from the second fighter's corner if only that is known."""
    first, second = (fighter.corner for fighter in fight.fighters)
    if first != "unknown" or second == "unknown":
        return first
    return "blue" if second == "red" else "red"


def _other_sport(fight: Fight, manager: ProductionEnsembleManager) -> EngineError | None:
    """Return the error of a fight in a sport that a model of a fight log was not trained for.

    A model that was trained on a feature matrix may be of any sport, so its fights pass.
    """
    if fight.sport is None or is_mma(fight.sport) or manager.ensemble.snapshot is None:
        return None
    return ValidationError(
        f"the sport of fight {fight.id!r} is {fight.sport!r}, and the model was trained on a log of MMA fights: "
        "remove the fight from the card, or use a model of that sport",
        details={"sport": fight.sport, "trained_for": MMA},
    )


def _inline(fight: Fight, manager: ProductionEnsembleManager) -> FeatureRow | EngineError | None:
    """Return the row of the features that were sent with the fight, or their error; None if none were sent."""
    features, columns = fight.features, manager.ensemble.columns
    if features is None:
        return None
    absent = [name for name in columns if name not in features]
    if absent:
        return ValidationError(f"fight {fight.id!r} lacks {len(absent)} of the model's features: {absent[:8]}")
    values = np.array([np.nan if features[name] is None else features[name] for name in columns], dtype=np.float64)
    missing = np.isnan(values).any()
    if missing and not manager.ensemble.accepts_missing:
        return ValidationError(f"fight {fight.id!r}: {missing_values_message(values[None], manager.ensemble)}")
    return FeatureRow(values, -1, _flags(fight, ("features_imputed",) if missing else ()), (None, None))


def _from_log(card: ResolvedCard, fights: Sequence[Fight]) -> dict[str, FeatureRow | EngineError]:
    """Build rows from the fight log of the model."""
    if not fights:
        return {}
    ensemble = card.manager.ensemble
    if ensemble.snapshot is None:
        return {
            fight.id: ValidationError(
                f"fight {fight.id!r} has no features, and the model was trained on a matrix, without a fight log: "
                "send `features`, or use a model trained on a fight log"
            )
            for fight in fights
        }
    day = card.job.event_start.astimezone(UTC).date()
    found = ensemble.snapshot.features(
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
    rating = ensemble.offset.position if card.job.contributions else None
    parts = [None] * len(found.X) if rating is None else found.rating_parts[ensemble.columns[rating]]
    values = iter(
        zip(
            found.X[list(ensemble.columns)].to_numpy(np.float64),
            found.experience.tolist(),
            found.flags,
            found.fighter_ids,
            parts,
            strict=True,
        )
    )

    def next_row(fight: Fight) -> FeatureRow | EngineError:
        row, experience, flags, fighter_ids, rating_parts = next(values)
        if not ensemble.accepts_missing and np.isnan(row).any():
            return ValidationError(f"fight {fight.id!r}: {missing_values_message(row[None], ensemble)}")
        used = drop_unused_flags(flags, ensemble.columns)
        return FeatureRow(row, experience, _flags(fight, used), fighter_ids, rating_parts)

    return {
        fight.id: next_row(fight) if error is None else error for fight, error in zip(fights, found.errors, strict=True)
    }


def _flags(fight: Fight, flags: tuple[str, ...]) -> tuple[str, ...]:
    return (*flags, "corner_unknown") if first_corner(fight) == "unknown" else tuple(flags)


def _fighter_request(fighter: Fighter) -> FighterRequest:
    record = fighter.record
    return FighterRequest(
        name=fighter.name,
        debut=fighter.debut,
        date_of_birth=fighter.date_of_birth,
        height_cm=fighter.height_cm,
        reach_cm=fighter.reach_cm,
        stance=fighter.stance,
        record=None if record is None else (record.wins, record.losses, record.draws, record.last_bout),
    )
