"""Coverage and width of intervals for the true win probability, measured on simulated worlds.

    python -m benchmarks.intervals.coverage --worlds 20 --seed 1 --leagues 3 --plots docs/plots
    python -m benchmarks.intervals.coverage --worlds 0 --seed 1 --blind-worlds 6 --blind-leagues 3

For each simulated world, trains a model and predicts the test fights as in production, with fewer replicas; every
interval method is applied to the same fights. Simulated leagues are a second, harder kind, with results of their own.
Blind worlds and leagues are the same ones with a market that never sees a part of the true logit: what the intervals
hold if model and market miss the same.
With --json prints one document on standard output; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.intervals.methods import LEVELS, METHODS, NOTES, AnsweredWorld, Method, answer, available, predict
from benchmarks.intervals.simulated_worlds import World, draw_world, league_world
from benchmarks.intervals.world_result import BlindCoverage, BlindResult, MethodCoverage, WorldResult
from engine.statistics.calibration import log_loss
from engine.statistics.complements import logit_to_probability
from engine.training.soft_labels import market_logit
from engine.training.train import TrainingConfig, train_ensemble

MIN_FIGHTS = 400
BLINDNESS = (0.0, 0.15, 0.3, 0.5)
"""Shares of the true logit's variance that the market of a blind world never sees."""
CONFIG = TrainingConfig(bootstrap_samples=20)
"""Training settings of a world: those of production, except the number of replicas."""


def measure(world: World, methods: Mapping[str, Method], config: TrainingConfig) -> WorldResult:
    """Train on a world and measure every method on its test fights."""
    answered = answer(world, config)
    market = market_logit(world.test)
    priced = np.isfinite(market)
    return WorldResult(
        name=world.name,
        best_log_loss=world.best_log_loss,
        truth_log_loss=log_loss(world.truth, world.test.won),
        priced_truth_log_loss=log_loss(world.truth[priced], world.test.won[priced]),
        market_log_loss=log_loss(logit_to_probability(market[priced]), world.test.won[priced]),
        log_loss=log_loss(answered.probability, world.test.won),
        scale=answered.ensemble.half_widths.scale[0],
        coverage=tuple(_cover(name, method, answered, level) for name, method in methods.items() for level in LEVELS),
    )


def measure_blind(worlds: Sequence[World], blindness: float, config: TrainingConfig) -> BlindResult:
    """Train on worlds of one blindness, and measure our intervals on the test fights of all of them."""
    found = []
    for world in worlds:
        ensemble = train_ensemble(world.train, config)
        answers = predict(ensemble, world.test)
        market = market_logit(world.test)
        close = logit_to_probability((ensemble.half_widths.market_slope or 1.0) * market)
        for level in LEVELS:
            low, high = np.array([answer.intervals[level] for answer in answers]).T
            inside = (low <= close) & (close <= high)
            covered = (low <= world.truth) & (world.truth <= high)
            found.append((level, covered.mean(), inside[np.isfinite(market)].mean(), (high - low).mean()))
    by_level = {level: np.array([row[1:] for row in found if row[0] == level]) for level in LEVELS}
    return BlindResult(
        blindness=blindness,
        worlds=len(worlds),
        coverage=tuple(
            BlindCoverage(level, float(truth.mean()), float(truth.min()), float(closes.mean()), float(width.mean()))
            for level, (truth, closes, width) in ((level, rows.T) for level, rows in by_level.items())
        ),
    )


def blind_table(title: str, results: Sequence[BlindResult]) -> Iterator[str]:
    """Yield the table of our intervals by the market's blindness, as lines of Markdown."""
    yield f"\n### {title}\n"
    columns = [f"true p inside {level:.0%} | lowest world | closes inside | width" for level in LEVELS]
    yield f"| market blind to | worlds | {' | '.join(columns)} |"
    yield "|" + "---|" * (2 + 4 * len(LEVELS))
    for result in results:
        cells = [f"{c.covered:.1%} | {c.lowest:.1%} | {c.closes:.1%} | {c.width:.3f}" for c in result.coverage]
        yield f"| {result.blindness:.0%} | {result.worlds} | {' | '.join(cells)} |"


def _cover(name: str, method: Method, answered: AnsweredWorld, level: float) -> MethodCoverage:
    low, high = method(answered, level)
    truth = answered.world.truth
    return MethodCoverage(name, level, float(np.mean((low <= truth) & (truth <= high))), float(np.mean(high - low)))


def summary(results: Sequence[WorldResult]) -> list[dict[str, float | str]]:
    """Return a row for each method and level: mean, lowest and highest coverage over the worlds, and mean width."""
    rows: list[dict[str, float | str]] = []
    for one in results[0].coverage:
        same = [c for r in results for c in r.coverage if (c.method, c.level) == (one.method, one.level)]
        covered = [c.covered for c in same]
        rows.append(
            {
                "method": one.method,
                "level": one.level,
                "covered": float(np.mean(covered)),
                "lowest": min(covered),
                "highest": max(covered),
                "width": float(np.mean([c.width for c in same])),
            }
        )
    return rows


def table(title: str, results: Sequence[WorldResult]) -> Iterator[str]:
    """Yield the tables of our method by world, and of all methods over all worlds, as lines of Markdown."""
    ours = next(iter(METHODS))
    yield f"\n### {title}\n"
    yield (
        "| world | log loss: truth | truth, priced fights | market, priced fights | model | scale "
        "| inside 80% | width | inside 95% | width |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for number, result in enumerate(results):
        cells = [f"{c.covered:.1%} | {c.width:.3f}" for c in result.coverage if c.method == ours]
        found = (result.truth_log_loss, result.priced_truth_log_loss, result.market_log_loss, result.log_loss)
        losses = " | ".join(f"{loss:.4f}" for loss in found)
        yield f"| {number} {result.name} | {losses} | {result.scale:.2f} | {' | '.join(cells)} |"
    yield "\n| method | level | true p inside, mean | lowest world | highest | mean width | |"
    yield "|---|---|---|---|---|---|---|"
    for row in summary(results):
        note = NOTES.get(str(row["method"]), "")
        shares = " | ".join(f"{row[name]:.1%}" for name in ("covered", "lowest", "highest"))
        yield f"| {row['method']} | {row['level']:.0%} | {shares} | {row['width']:.3f} | {note} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, then print the tables or the document."""
    options = _options(arguments)
    methods = available()
    for name in METHODS.keys() - methods.keys():
        print(f"left out: {name}; its package is not installed", file=sys.stderr)
    kinds: dict[str, list[tuple[Callable[[int, int, int], World], int]]] = {
        "Worlds": [(draw_world, index) for index in range(options.worlds)],
        "Leagues": [(league_world, index) for index in range(options.leagues)],
    }
    results: dict[str, list[WorldResult]] = {}
    for kind, worlds in kinds.items():
        for draw, index in worlds:
            started = time.process_time()
            result = measure(draw(options.seed, index, options.fights), methods, CONFIG)
            results.setdefault(kind, []).append(result)
            spent = time.process_time() - started
            print(f"{kind} {index}: {result.name}, {spent:.0f} s of processor time", file=sys.stderr, flush=True)
    blind = dict(_blind(options))
    if options.json:
        print(json.dumps(_document(options, results, blind)))
    else:
        for kind, found in blind.items():
            print("\n".join(blind_table(f"{kind}, seed {options.seed}", found)))
        print("\n".join(line for kind, each in results.items() for line in table(f"{kind}, seed {options.seed}", each)))
    if options.plots:
        from benchmarks.intervals.coverage_plots import write_plots  # matplotlib is an extra

        write_plots(results, options.plots)
    return 0


def _blind(options: argparse.Namespace) -> Iterator[tuple[str, list[BlindResult]]]:
    """Measure blind worlds and leagues, and yield the results by kind."""
    for kind, draw, count in (
        ("Blind worlds", draw_world, options.blind_worlds),
        ("Blind leagues", league_world, options.blind_leagues),
    ):
        results = []
        for blindness in BLINDNESS if count else ():
            started = time.process_time()
            worlds = [draw(options.seed, index, options.fights, blindness) for index in range(count)]
            results.append(measure_blind(worlds, blindness, CONFIG))
            spent = time.process_time() - started
            print(f"{kind}, {blindness:.0%}: {spent:.0f} s of processor time", file=sys.stderr, flush=True)
        if results:
            yield kind, results


def _document(
    options: argparse.Namespace,
    results: Mapping[str, Sequence[WorldResult]],
    blind: Mapping[str, Sequence[BlindResult]],
) -> dict[str, object]:
    return {
        "seed": options.seed,
        "fights": options.fights,
        **{kind.lower(): [asdict(result) for result in each] for kind, each in results.items()},
        **{kind.lower().replace(" ", "_"): [asdict(result) for result in each] for kind, each in blind.items()},
        "summary": {kind.lower(): summary(each) for kind, each in results.items()},
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intervals.coverage", description=__doc__.split("\n")[0])
    parser.add_argument("--worlds", type=int, default=20, help="number of worlds (default: %(default)s)")
    parser.add_argument("--leagues", type=int, default=0, help="number of leagues (default: %(default)s)")
    for kind in ("worlds", "leagues"):
        parser.add_argument(
            f"--blind-{kind}", type=int, default=0, help=f"number of blind {kind} (default: %(default)s)"
        )
    parser.add_argument("--seed", type=int, required=True, help="seed of the worlds")
    parser.add_argument("--fights", type=int, default=3000, help="training fights of each world (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write plots (PNG) into this folder")
    options = parser.parse_args(arguments)
    if options.worlds + options.leagues + options.blind_worlds + options.blind_leagues < 1:
        parser.error("there is nothing to measure: the number of worlds or leagues must be at least 1")
    if options.fights < MIN_FIGHTS:
        parser.error(f"--fights must be at least {MIN_FIGHTS}: the second ensemble is trained on four fifths of them")
    return options


if __name__ == "__main__":
    sys.exit(main())
