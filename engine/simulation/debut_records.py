"""Records of simulated fighters before the league, from bouts against opponents of unknown strength.

A fighter's bouts elsewhere are drawn from his strength at his debut against one level of opponents, which differs from
fighter to fighter: some have beaten better opponents than others with the same record. So a bout of such a record holds
less information on strength than a bout of the league.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from engine.arrays import Floats
from engine.simulation.fighters import GRAPPLING, POWER, SimulatedFighters, true_logit

_OPPONENTS = 40
_MEAN_BOUTS = 12.0
_MAX_BOUTS = 40
_LEVEL_SPREAD = 0.6  # standard deviation of the opponents' level, on the logit scale
_IDLE_DAYS = (40, 400)


def draw_records(fighters: SimulatedFighters, typical_share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Return the declared records of n fighters: counts as a fight log names them, and the idle time before the league.

    Parameters
    ----------
    fighters
        The fighters.
    typical_share
        Share of bouts won by a fighter of mean strength against opponents of mean level.
    rng
        Source of the draws.
    """
    count = len(fighters.name)
    level = logit(typical_share) + rng.normal(0.0, _LEVEL_SPREAD, count)
    bouts = np.clip(rng.poisson(_MEAN_BOUTS, count), 1, _MAX_BOUTS)
    wins = rng.binomial(bouts, expit(_strength(fighters, rng) + level))
    losses = bouts - wins
    knock_outs = rng.binomial(wins, expit(0.4 * fighters.skill[:, POWER] - 0.7))
    submissions = rng.binomial(wins - knock_outs, expit(0.4 * fighters.skill[:, GRAPPLING] - 0.7))
    knocked_out = rng.binomial(losses, 0.3)
    return pd.DataFrame(
        {
            "declared_wins": wins,
            "declared_losses": losses,
            "declared_draws": 0,
            "declared_knock_out_wins": knock_outs,
            "declared_submission_wins": submissions,
            "declared_knock_out_losses": knocked_out,
            "declared_submission_losses": rng.binomial(losses - knocked_out, 0.3),
            "idle": pd.to_timedelta(rng.integers(*_IDLE_DAYS, count), unit="D"),
        }
    )


def _strength(fighters: SimulatedFighters, rng: np.random.Generator) -> Floats:
    """Return each fighter's mean log-odds against others of his weight class at their debuts, (n,)."""
    count = len(fighters.name)
    strength = np.zeros(count)
    rounds = np.full(count, 3.0)
    everyone = np.arange(count)
    for _ in range(_OPPONENTS):
        other = _classmates(fighters, rng)
        ages = fighters.debut_age, fighters.debut_age[other]
        strength += true_logit(fighters, (everyone, other), ages, rounds) / _OPPONENTS
    return strength


def _classmates(fighters: SimulatedFighters, rng: np.random.Generator) -> np.ndarray:
    """Return for each fighter a random one of his weight class, intp (n,)."""
    other = np.empty(len(fighters.name), dtype=np.intp)
    for division in np.unique(fighters.weight_class):
        rows = np.flatnonzero(fighters.weight_class == division)
        other[rows] = rng.choice(rows, len(rows))
    return other
