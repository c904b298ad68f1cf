"""What is kept and what is removed from a store, by a real pool and the command."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from engine.model.bundle import MANIFEST
from ledger.contracts.jobs import CheckHealth
from ledger.ledger import Ledger
from producer.cli.main import main
from workers.handlers.collect_garbage import removable
from workers.models.model_store import PARTS, PREPARED, Store

DAY = 86_400


def collect(*options: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["models", "collect", *options, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.fixture
def store(tmp_path: Path, ledger: Ledger) -> Store:
    return Store(tmp_path / "models", ledger=ledger.references.ledger_id())


def written(store: Store, seed: int, age_days: float, where: str = "") -> str:
    bundle = store.write({"numbers": np.arange(3)}, {"seed": seed}, where)
    then = time.time() - age_days * DAY
    for path in store.folder.rglob("*"):
        if path == bundle.folder / MANIFEST or path.name.endswith(bundle.digest):
            os.utime(path, (then, then))
    return bundle.digest


@pytest.mark.usefixtures("command_environment")
def test_what_nothing_refers_to_is_removed_and_all_else_stays(
    ledger: Ledger, start_pool: Callable[..., Any], store: Store
) -> None:
    names = ("champion", "former", "asked for", "young", "nobody's", "unregistered")
    digests = {name: written(store, seed, 1 if name == "young" else 30) for seed, name in enumerate(names)}
    for name in names[:-1]:
        ledger.models.register(digests[name], {})
    ledger.aliases.set("champion", digests["former"], user="ann", reason="trained")
    ledger.aliases.set("champion", digests["champion"], user="ann", reason="better")
    ledger.submit(CheckHealth(model=digests["asked for"]))
    old, recent = written(store, 1, 3, PREPARED), written(store, 2, 1, PREPARED)
    for training in (old, recent):
        store.write({"logit": np.ones(2)}, {}, f"{PARTS}/{training}", "fold-0-1")
    garbage = sorted((digests["nobody's"], digests["unregistered"]))

    start_pool(queue="train", real=True, concurrency=1)
    reported = collect("--dry-run")
    assert (reported["models"], reported["trainings"], reported["dry_run"]) == (garbage, [old], True)
    assert len(store.bundle_names("")) == 6
    done = collect()
    assert (done["models"], done["trainings"]) == (garbage, [old])
    assert store.bundle_names("") == {digests[name] for name in names[:4]}
    assert set(store.owners.claimed_by_ledger(store.owners.claims())) == store.bundle_names("") | {
        f"{PREPARED}/{recent}"
    }
    assert store.bundle_names(PREPARED) == {recent}
    assert store.bundle_names(f"{PARTS}/{old}") == set()
    assert store.bundle_names(f"{PARTS}/{recent}") == {"fold-0-1"}
    assert digests["nobody's"] not in {model["digest"] for model in ledger.models.all()}
    again = collect()
    assert (again["models"], again["trainings"]) == ([], [])


@pytest.mark.parametrize(
    ("age_days", "named", "keep_days", "goes"),
    [(8, False, 7, True), (6, False, 7, False), (8, True, 7, False), (0.1, False, 0, True)],
)
def test_the_rule(age_days: float, named: bool, keep_days: float, goes: bool) -> None:
    assert removable({"d": age_days * DAY}, {"d"} if named else set(), keep_days) == (["d"] if goes else [])
