"""Contributions of feature groups to a card's answers: against all coalitions one by one, and against a card without.

    python -m benchmarks.engine.contributions --models FOLDER [--json]

FOLDER is the output of `python -m benchmarks.engine.train --out FOLDER`. Its model is made as large as a default one of
a fight log: the point fit is repeated to five, and the columns are dealt out to nine groups.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.engine.models import Models
from benchmarks.engine.predict import CARD, turns
from benchmarks.engine.subprocesses import REPLICAS
from benchmarks.results import Row, document, table
from engine.arrays import Floats
from engine.data.feature_groups import CONTEXT, FEATURE_GROUPS, OTHER
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.members.member_stack import stack_members
from engine.model.contributions import coalition_logits
from engine.model.inference import point_logits
from engine.model.trained_ensemble import Ensemble

COMMAND = "python -m benchmarks.engine.contributions"
FITS = 5
_GROUPS = [group for group in FEATURE_GROUPS if group != CONTEXT and group != OTHER]


def measure(models: Models, *, repeats: int = 5) -> list[Row]:
    """Measure a card of 12 fights without and with contributions, and the coalitions one by one and together."""
    ensemble = _grouped(models.ensemble())
    values, sides = models.rows(CARD), np.zeros(CARD, dtype=np.int8)
    card = pd.DataFrame(values, columns=list(ensemble.columns))
    config = create_production_ensemble_config(bootstrap_samples=REPLICAS, n_jobs=1)
    manager = ProductionEnsembleManager.from_ensemble(ensemble, config)
    pairs = [(f"first {row}", f"second {row}") for row in range(CARD)]
    groups = len(ensemble.groups.names)
    return [
        Row(
            f"predict {CARD} fights, {REPLICAS} replicas, with contributions of {groups} groups",
            "ms",
            *turns(
                lambda: manager.predict_fights(card, pairs),
                lambda: manager.predict_fights(card, pairs, contributions=True),
                10 * repeats,
            ),
            1 / 3,
            False,
            f"'naive' is our own prediction without them, {FITS} fits; {COMMAND}",
        ),
        Row(
            f"all {1 << groups} coalitions of {CARD} fights",
            "ms",
            *turns(
                lambda: one_by_one(ensemble, values, sides),
                lambda: coalition_logits(ensemble, values, sides),
                max(1, repeats // 2),
                10,
            ),
            20.0,
            False,
            f"'naive' predicts every coalition's rows with our point fits; {COMMAND}",
        ),
    ]


def one_by_one(ensemble: Ensemble, values: Floats, sides: NDArray[np.int8]) -> Floats:
    """Return the calibrated logit of every coalition, float64 (n, 2^k), from a row for each."""
    grouped = ensemble.groups
    neutral = grouped.neutral_rows(values)
    logits = []
    for coalition in range(1 << len(grouped.names)):
        inside = (coalition >> np.maximum(grouped.group, 0)) & 1 == 1
        logits.append(point_logits(ensemble, np.where(inside | (grouped.group < 0), values, neutral), sides)[0])
    return np.column_stack(logits)


def _grouped(ensemble: Ensemble) -> Ensemble:
    """Return the model with five fits, its fighters' columns in all groups, and its context in `context`."""
    names = list(dict.fromkeys(name.partition("_")[2] for name in ensemble.columns if name.startswith("diff_")))
    group = {name: _GROUPS[place % len(_GROUPS)] for place, name in enumerate(names)}
    context = iter(FEATURE_GROUPS[CONTEXT])
    columns = []
    for column in ensemble.columns:
        side, _, name = column.partition("_")
        columns.append(f"{side}_{group[name]}_{name}" if name in group else next(context))
    return replace(ensemble, columns=tuple(columns), point=stack_members([ensemble.point] * FITS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table or the document."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=Path, required=True, help="output folder of benchmarks.engine.train")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    about = json.loads((options.models / "models.json").read_text())
    rows = measure(Models(options.models, about["trained"], options.models / about["bundle"]))
    print(json.dumps(document(rows)) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
