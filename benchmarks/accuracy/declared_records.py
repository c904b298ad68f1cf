"""Effect of declared records on fights of debutants, in simulated leagues whose true probabilities are known.

    python -m benchmarks.accuracy.declared_records --leagues 3

In each league the fighters declare their records before the league. Two models learn from the earlier fights, one of
the log with these records and one of the same log without them, and predict the later fights. The table has, for fights
with a debutant and for all others, the expected log loss of the answers minus that of the true probabilities, the share
of true probabilities inside the intervals, and their mean width. A row `typical` is the share of bouts that a mean
debutant of the league has won: the engine assumes `DeclaredRecordParams.typical_share` whatever the league.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from engine.arrays import Floats
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog
from engine.data.fight_log_tables import DECLARED_COUNTS
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.simulation.league import League, LeagueConfig, simulate_league
from engine.training.train import TrainingConfig, train_ensemble

SEED = 20_261_129
TYPICAL_SHARES = (0.85, 0.75)
LEVELS = (0.8, 0.95)
CONFIG = TrainingConfig(fits=1, bootstrap_samples=10)
EARLIER = 0.6  # share of the fights that models learn from


def answers(log: FightLog) -> pd.DataFrame:
    """Train on the earlier fights of a log and return the answers to the later ones, by fight id."""
    matrix = build_matrix(log).select(MODEL_COLUMNS)
    later = matrix.date >= np.sort(matrix.date)[int(EARLIER * len(matrix))]
    test = matrix.take(later)
    manager = ProductionEnsembleManager.from_ensemble(
        train_ensemble(matrix.take(~later), CONFIG), create_production_ensemble_config(bootstrap_samples=0)
    )
    predicted = manager.predict_fights(
        test.X,
        [(f"first {row}", f"second {row}") for row in range(len(test))],
        corners=["red"] * len(test),
        experience=test.experience.tolist(),
        levels=LEVELS,
    )
    bounds = {
        f"{side}_{level}": [one.intervals[level][k] for one in predicted]
        for level in LEVELS
        for k, side in enumerate(("lower", "upper"))
    }
    return pd.DataFrame(
        {"probability": [one.probability for one in predicted], "experience": test.experience, **bounds},
        index=log.fights.loc[log.is_label, "fight_id"][later],
    )


def score(answered: pd.DataFrame, league: League) -> Iterator[tuple[str, Floats]]:
    """Yield for debutants and for others: fights, excess log loss, and share inside and width for each level."""
    truth = np.array([league.truth[fight_id] for fight_id in answered.index])
    p = answered["probability"].to_numpy()
    excess = truth * np.log(truth / p) + (1.0 - truth) * np.log((1.0 - truth) / (1.0 - p))
    for name, rows in (("debutant", answered["experience"] == 0), ("others", answered["experience"] > 0)):
        figures = [float(rows.sum()), float(excess[rows].mean())]
        for level in LEVELS:
            lower, upper = answered[f"lower_{level}"], answered[f"upper_{level}"]
            figures += [float(((lower <= truth) & (truth <= upper))[rows].mean()), float((upper - lower)[rows].mean())]
        yield name, np.array(figures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.declared_records", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--leagues", type=int, default=3, help="leagues of each kind (default: %(default)s)")
    parser.add_argument("--fights", type=int, default=4000, help="fights of a league (default: %(default)s)")
    options = parser.parse_args(arguments)
    print("typical  records   fights      number  excess log loss   inside 80%  width  inside 95%  width")
    for share in TYPICAL_SHARES:
        totals: dict[tuple[str, str], list[Floats]] = {}
        for number in range(options.leagues):
            league = simulate_league(LeagueConfig(fights=options.fights, seed=SEED + number, debut_win_share=share))
            bare = league.log.fighters.drop(columns=[*DECLARED_COUNTS, "declared_last_bout"])
            for records, log in (
                ("without", FightLog(league.log.fights, league.log.stat_lines, bare)),
                ("declared", league.log),
            ):
                for group, figures in score(answers(log), league):
                    totals.setdefault((group, records), []).append(figures)
        for (group, records), measured in sorted(totals.items()):
            count, excess, *rest = np.mean(measured, axis=0).tolist()
            shown = "  ".join(
                f"{inside:10.1%}  {width:.3f}" for inside, width in zip(rest[::2], rest[1::2], strict=True)
            )
            print(f"{share:7.2f}  {records:8}  {group:10}  {count:6.0f}  {excess:15.4f}   {shown}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
