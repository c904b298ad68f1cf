"""The migration page is run: its blocks as they stand, its commands and alerts against those that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from sklearn.ensemble import RandomForestClassifier

from engine.bootstrap import ThreadSafeBootstrapSampler, create_bootstrap_config
from engine.data.feature_matrix import TrainingMatrix
from engine.errors import BootstrapError
from engine.members.member_fit import MemberParams
from engine.members.network_fit import NetworkParams
from engine.members.random_forest import ForestParams
from engine.members.xgboost_config import ProductionXGBoostConfig
from engine.model.trained_ensemble import save_ensemble
from engine.training.train import TrainingConfig, train_ensemble
from producer.cli.main import main
from workers.alerts.rules import RULES

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[3] / "docs" / "guides" / "migration.md").read_text()
BLOCKS = re.findall(r"^```python (before|after)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TINY = MemberParams(
    ForestParams(trees=3), ProductionXGBoostConfig(n_estimators=4, max_depth=2), NetworkParams(hidden=(8,), epochs=1)
)


@pytest.fixture(scope="module")
def names(league_matrix: TrainingMatrix, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page says that its reader has."""
    config = TrainingConfig(
        seed=1, bootstrap_samples=100, fits=1, folds=3, members=TINY, replica_members=TINY, n_jobs=2
    )
    model = save_ensemble(train_ensemble(league_matrix, config), tmp_path_factory.mktemp("models"))
    X, won = league_matrix.X.fillna(0.0), league_matrix.won
    return {
        "X": X.iloc[:20].reset_index(drop=True),
        "won": won[:20],
        "X_train": X.iloc[:300],
        "won_train": won[:300],
        "X_test": X.iloc[300:],
        "won_test": won[300:],
        "fighter_pairs": [(f"A{row}", f"B{row}") for row in range(20)],
        "model_paths": model.folder,
    }


def test_each_step_has_both_blocks() -> None:
    steps = re.findall(r"^## Step \d.*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert [re.findall(r"^```python (\w+)", step, re.MULTILINE) for step in steps] == [["before", "after"]] * 3


@pytest.mark.parametrize(
    ("kind", "code"), BLOCKS, ids=[f"{kind} {number // 2 + 1}" for number, (kind, _) in enumerate(BLOCKS)]
)
@pytest.mark.filterwarnings("ignore")
def test_a_block_runs_as_it_stands(kind: str, code: str, names: dict[str, Any]) -> None:
    exec(compile(code, f"docs/guides/migration.md, {kind}", "exec"), dict(names))  # noqa: S102 - it is ours


def test_a_plain_model_has_no_bootstrap(names: dict[str, Any]) -> None:
    """As the page says below its first step."""
    plain = {"random_forest": RandomForestClassifier(5).fit(names["X_train"], names["won_train"])}
    sampler = ThreadSafeBootstrapSampler(create_bootstrap_config(n_bootstrap=100))
    with pytest.raises(BootstrapError, match="replicas"):
        sampler.sample_bootstrap_predictions(plain, names["X"], {"random_forest": 1.0})


def commands() -> Iterator[str]:
    """Every command line of the page, in a block or in a cell."""
    yield from re.findall(r"^cornerman .*$", PAGE, re.MULTILINE)
    yield from re.findall(r"`(cornerman [^`]*)`", PAGE)


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_a_command_and_its_options_exist(line: str) -> None:
    _, *words = shlex.split(line)
    command: click.Command = main
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert command is not main
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_the_alerts_that_it_names_are_there() -> None:
    section = PAGE.split("## Monitoring")[1].split("## Rollback")[0]
    named = set(re.findall(r"`([A-Z]\w+)`", section))
    assert len(named) == 8
    assert named <= {rule.name for rule in RULES}
