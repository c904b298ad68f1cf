"""Check figures in the documents that take only seconds to compute.

    python -m benchmarks.document_figures [--data FOLDER]

Checks figures from the code, from simulated worlds without training, from other documents, and, with a fight log, from
the log alone. Each check computes the words that its document must contain; missing words are printed, and the exit
code is 1. Figures that need a training are documented with the command that prints them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.intervals.simulated_worlds import World, draw_world, league_world
from engine.data.features import MODEL_COLUMNS, build_matrix
from engine.data.fight_log import FightLog, read_fight_log
from engine.evaluation.backtest import backtest_data_from_log
from engine.evaluation.betting_rules import BacktestRule, BacktestRuleResult, evaluate_rule
from engine.evaluation.challenger import MIN_FIGHTS
from engine.evaluation.walk_forward import FightSet, Period, fight_columns, market_slope
from engine.simulation.league import LeagueConfig, simulate_league
from engine.statistics.calibration import brier_score, log_loss
from engine.statistics.complements import logit_to_probability
from engine.statistics.scores import MIN_EVENTS, Estimate, calibration_line
from engine.training.soft_labels import market_logit
from ledger.models import promotion_gate
from producer.service.demo_data import LEAGUE_FIGHTS

ROOT = Path(__file__).parents[1]
EVALUATION, INTERVALS, MODELS = (f"docs/concepts/{page}.md" for page in ("evaluation", "intervals", "models"))
WORLDS, LEAGUES, WORLD_SEED, WORLD_FIGHTS = 20, 3, 7, 3000
DEMO_SEED = 7
NINE_YEARS = Period(date(2016, 1, 1), date(2025, 1, 1))
LAST_MONTHS = Period(date(2023, 7, 1), date(2025, 1, 1))


@dataclass(frozen=True)
class Figure:
    """Words that a document must contain."""

    document: str
    words: str

    @property
    def is_present(self) -> bool:
        """True if the document contains the words."""
        return _plain(self.words) in _plain((ROOT / self.document).read_text())


def _plain(text: str) -> str:
    return " ".join(text.split())


def code_figures() -> Iterator[Figure]:
    """Yield the rules of the promotion gate, as the code has them."""
    low, high = 1.0 - promotion_gate.SLOPE_TOLERANCE, 1.0 + promotion_gate.SLOPE_TOLERANCE
    widths = ", ".join(f"{width:g} at {level:.0%}" for level, width in promotion_gate.MAX_WIDTH.items())
    errors = ", ".join(f"{100 * promotion_gate.error_for_try(tries):.3g}%" for tries in (1, 2, 3))
    for words in (
        f"Fewer than {MIN_FIGHTS} decided fights (with odds, if any have them), or {MIN_EVENTS} events, are refused",
        f"its mean log loss is higher by more than {promotion_gate.LOG_LOSS_TOLERANCE:g} |",
        f"lies wholly outside {low:g} to {high:g}, and it is further off than the champion or the anchor by more than "
        f"{promotion_gate.SLOPE_TOLERANCE:g} |",
        f"lies wholly outside -{promotion_gate.INTERCEPT_TOLERANCE:g} to {promotion_gate.INTERCEPT_TOLERANCE:g}, and",
        f"they are more than {promotion_gate.WIDTH_TOLERANCE:.0%} wider than another's",
        f"wider than {widths},",
        f"{errors} and so on, together {promotion_gate.TOTAL_ERROR:.1%}",
    ):
        yield Figure(MODELS, words)


def document_figures() -> Iterator[Figure]:
    """Yield the figures that one document takes from another's table."""
    table = (ROOT / EVALUATION).read_text()
    inside = sorted(re.findall(r"^\| 20\d\d \| [\d,]+ \| ([\d.]+%)", table, re.MULTILINE))
    yield Figure("docs/decisions.md", f"80% intervals held {inside[0]} to {inside[-1]} of closing odds by year")


def league_figures() -> Iterator[Figure]:
    """Yield the size of the demo league's training data."""
    matrix = build_matrix(simulate_league(LeagueConfig(fights=LEAGUE_FIGHTS, seed=DEMO_SEED)).log).select(MODEL_COLUMNS)
    counts = f"{len(matrix):,} │ {len(np.unique(matrix.event))} │ {len(matrix.X.columns)}"
    yield Figure("docs/getting-started.md", f"│ champion │ {counts} │ 40 │ anchored │")


def world_row(number: int, world: World) -> str:
    """Return the cells of a world's row in the coverage table that need no training."""
    market = market_logit(world.test)
    priced = np.isfinite(market)
    losses = (
        log_loss(world.truth, world.test.won),
        log_loss(world.truth[priced], world.test.won[priced]),
        log_loss(logit_to_probability(market[priced]), world.test.won[priced]),
    )
    return f"| {number} {world.name} | " + " | ".join(f"{loss:.4f}" for loss in losses) + " |"


def world_figures(worlds: int = WORLDS, leagues: int = LEAGUES) -> Iterator[Figure]:
    """Yield the log losses of the truth and of the market in the simulated worlds."""
    for draw, count in ((draw_world, worlds), (league_world, leagues)):
        for number in range(count):
            yield Figure(INTERVALS, world_row(number, draw(WORLD_SEED, number, WORLD_FIGHTS)))


def log_figures(log: FightLog) -> Iterator[Figure]:
    """Yield the scores and returns of the market alone on a log of real fights."""
    season = backtest_data_from_log(log)
    table, priced = _priced(season, NINE_YEARS)
    market, won = priced["market"].to_numpy(), priced["won"].to_numpy()
    line = calibration_line(market, won, priced["event"].to_numpy(dtype=np.str_))
    yield Figure(
        EVALUATION,
        f"{len(priced):,} fights with odds of {len(table):,}, {priced['event'].nunique()} events",
    )
    yield Figure(
        EVALUATION,
        f"| market | {log_loss(market, won):.4f} | | {brier_score(market, won):.4f} | "
        f"{line.slope:.3f} ± {line.slope_error:.3f} | {line.intercept:+.3f} ± {line.intercept_error:.3f} |",
    )
    both = _both_sides(priced)
    yield Figure(
        EVALUATION,
        f"| everything | | {both.bets:,} | {_share(both.return_on_stake)} | {_share(both.closing_line_value)} |",
    )
    _, last = _priced(season, LAST_MONTHS)
    loss = log_loss(last["market"].to_numpy(), last["won"].to_numpy())
    yield Figure(EVALUATION, f"{len(last)} fights with odds, {last['event'].nunique()} events")
    yield Figure(EVALUATION, f"| market | {loss:.4f} | |")
    yield Figure(INTERVALS, f"log loss (market {loss:.3f})")
    both_last = _both_sides(last).return_on_stake
    yield Figure(EVALUATION, f"both sides of everything returns {both_last.value:.1%}." if both_last else "")
    slopes = [market_slope(season.fights.before(date(year, 1, 1))) for year in range(2016, 2025)]
    yield Figure(
        INTERVALS,
        f"(s is {min(slopes):.2f} to {max(slopes):.2f} on fights before each of 2016 to 2024)",
    )
    ranges = {level: _ranges(season, level) for level in promotion_gate.MAX_WIDTH}
    widths = " and ".join(f"{min(each):.2f} to {max(each):.2f}" for each in ranges.values())
    yield Figure("docs/decisions.md", f"closing odds is {widths} wide, by year, 2012 to 2024")
    overturned = log.fights["method"] == "Overturned"
    yield Figure("docs/decisions.md", f"{overturned.sum()} of {len(overturned):,} UFC fights")


def _priced(season: FightSet, period: Period) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = fight_columns(season.fights.before(period.start), season.during(period))
    return table, table[table["market"].notna()].reset_index(drop=True)


def _both_sides(priced: pd.DataFrame) -> BacktestRuleResult:
    months = pd.period_range(priced["date"].min(), priced["date"].max(), freq="M")
    return evaluate_rule(BacktestRule("everything", None, "closing"), priced, months)


def _ranges(season: FightSet, level: float) -> list[float]:
    """Return the width of the central range that contains a share `level` of the closing probabilities, by year."""
    found = []
    for year in range(2012, 2025):
        logit = market_logit(season.during(Period(date(year, 1, 1), date(year + 1, 1, 1))).fights)
        sides = logit_to_probability(np.concatenate([logit, -logit])[np.isfinite(np.concatenate([logit, logit]))])
        low, high = np.quantile(sides, [0.5 - level / 2, 0.5 + level / 2])
        found.append(float(high - low))
    return found


def _share(estimate: Estimate | None) -> str:
    if estimate is None or estimate.lower is None or estimate.upper is None:
        return "-"
    return f"{estimate.value:+.1%} [{100 * estimate.lower:.1f}, {100 * estimate.upper:.1f}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print missing figures; return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.document_figures", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="a log of real fights, for the figures that need it"
    )
    folder = parser.parse_args(arguments).data
    figures = [*code_figures(), *document_figures(), *league_figures(), *world_figures()]
    figures += log_figures(read_fight_log(folder)) if folder else []
    missing = [figure for figure in figures if not figure.is_present]
    for figure in missing:
        print(f"{figure.document} does not contain: {figure.words}")
    print(f"{len(figures) - len(missing)} of {len(figures)} figures are in the documents")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
