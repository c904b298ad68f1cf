"""Coverage of the intervals of models that were trained without odds, on simulated leagues.

    python -m benchmarks.intervals.without_odds

Removes all odds from leagues of 3,000 fights, trains on the first 2,400 and counts how often the true probability of
the others lies inside the `model_based` interval.
"""

from __future__ import annotations

import sys

import numpy as np

from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterSnapshot
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.members.member_fit import MemberParams
from engine.members.random_forest import ForestParams
from engine.simulation.league import LeagueConfig, simulate_league
from engine.training.train import TrainingConfig, train_ensemble

FIGHTS, TRAINED = 3000, 2400
LEVELS = (0.8, 0.95)
TRAINING = TrainingConfig(bootstrap_samples=20, fits=2, folds=5, members=MemberParams(forest=ForestParams(trees=50)))


def coverage(seed: int) -> list[tuple[float, float]]:
    """Return the share of true probabilities inside and the mean width, by level."""
    league = simulate_league(LeagueConfig(fights=FIGHTS, seed=seed))
    odds = {f"{side}_{kind}decimal_odds": np.nan for side in ("red", "blue") for kind in ("", "early_")}
    log = FightLog(league.log.fights.assign(**odds), league.log.stat_lines, league.log.fighters)
    first = log.fights["date"].iloc[TRAINED]
    past = log.before(first.date())
    ensemble = train_ensemble(build_matrix(past).select(MODEL_COLUMNS), TRAINING, FighterSnapshot.from_log(past))
    manager = ProductionEnsembleManager.from_ensemble(ensemble, create_production_ensemble_config(bootstrap_samples=0))
    later = (log.fights["date"] >= first).to_numpy()
    rows = build_matrix(log, decisive_only=False).select(MODEL_COLUMNS).take(later)
    pairs = [("first", "second")] * len(rows)
    answers = manager.predict_fights(rows.X, pairs, experience=rows.experience.tolist(), levels=LEVELS)
    truth = np.array([league.truth[fight] for fight in log.fights["fight_id"][later]])
    found = []
    for level in LEVELS:
        low, high = np.array([answer.intervals[level] for answer in answers]).T
        found.append((float(np.mean((low <= truth) & (truth <= high))), float(np.mean(high - low))))
    return found


def main() -> int:
    """Print a line for each league."""
    for seed in (1, 2, 3):
        cells = (
            f"inside {level:.0%}: {inside:.1%}, width {width:.3f}"
            for level, (inside, width) in zip(LEVELS, coverage(seed), strict=True)
        )
        print(f"league {seed}: {'; '.join(cells)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
