"""What one simulated world gives: widths and coverage of each interval method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MethodCoverage:
    """Coverage of one method on one world at one level: the share of true probabilities inside, and the mean width."""

    method: str
    level: float
    covered: float
    width: float


@dataclass(frozen=True, slots=True)
class WorldResult:
    """The results of one world.

    Attributes
    ----------
    best_log_loss
        Expected log loss of the true probabilities.
    truth_log_loss, log_loss
        Log losses of the true probabilities and of the model on the results of all test fights.
    priced_truth_log_loss, market_log_loss
        Log losses of the true probabilities and of the market on the test fights with prices.
    scale
        The half-widths' scale of the trained model.
    coverage
        Coverage by method and level.
    """

    name: str
    best_log_loss: float
    truth_log_loss: float
    priced_truth_log_loss: float
    market_log_loss: float
    log_loss: float
    scale: float
    coverage: tuple[MethodCoverage, ...]


@dataclass(frozen=True, slots=True)
class BlindCoverage:
    """Our intervals at one level over several worlds.

    Attributes
    ----------
    covered, lowest
        Share of true probabilities inside, over all worlds and in the lowest.
    closes
        Share of recalibrated closing probabilities inside.
    width
        Mean width.
    """

    level: float
    covered: float
    lowest: float
    closes: float
    width: float


@dataclass(frozen=True, slots=True)
class BlindResult:
    """Our intervals where the market never sees a share of the true logit's variance."""

    blindness: float
    worlds: int
    coverage: tuple[BlindCoverage, ...]
