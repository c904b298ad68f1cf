"""A feature matrix through the real command line: train on this machine, predict, and report errors.

A training and a prediction run in processes as a user starts them (`run`), the other commands in this one (`run_here`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from producer.output.exit_codes import ExitCode
from tests.support.local_runner import run_in_this_process as run_here
from tests.unit.engine.data.test_fight_log import FIGHTERS, FIGHTS, STAT_LINES

ROOT = Path(__file__).parents[3]
ODDS = ["red_decimal_odds", "blue_decimal_odds"]
NAMED = ["--label", "won", "--event", "event", "--date", "date", "--red-odds", ODDS[0], "--blue-odds", ODDS[1]]
QUICK = ["--fits", "1", "--folds", "3", "--forest-trees", "10", "--bootstrap-samples", "10"]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line as a process, without a server anywhere."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CORNERMAN_")}
    return subprocess.run(
        [sys.executable, "-m", "producer.cli.main", *map(str, arguments)],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def fights(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    red, blue = rng.normal(size=(2, count, 2))
    logit = red[:, 0] - blue[:, 0]
    p = expit(logit + rng.normal(0.0, 0.2, count))
    return pd.DataFrame(
        {
            "event": np.arange(count) // 10,
            "date": np.datetime64("2020-01-04") + 7 * (np.arange(count) // 10),
            "won": (rng.random(count) < expit(logit)).astype(int),
            ODDS[0]: np.where(rng.random(count) < 0.1, np.nan, np.round(1 / (1.04 * p), 2) + 0.1),
            ODDS[1]: np.round(1 / (1.04 * (1 - p)), 2) + 0.1,
            **{f"red_{name}": red[:, place] for place, name in enumerate("xy")},
            **{f"blue_{name}": blue[:, place] for place, name in enumerate("xy")},
            "altitude": rng.normal(size=count),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv, test.csv and a model of the first."""
    folder = tmp_path_factory.mktemp("matrix")
    fights(300, 1).to_csv(folder / "train.csv", index=False)
    fights(20, 2).to_csv(folder / "test.csv", index=False)
    trained = run("train", "--matrix", folder / "train.csv", *NAMED, *QUICK, "--out", folder / "model", "--json")
    assert trained.returncode == ExitCode.OK, trained.stderr
    document = json.loads(trained.stdout)
    assert document["out"] == str(folder / "model")
    assert document["report"]["interval_method"] == "anchored"
    assert document["report"]["features"] == 5
    assert "replicas, " in trained.stderr  # the progress is passed on
    return folder


def answers(folder: Path, matrix: Path, *options: str) -> list[dict[str, Any]]:
    return answers_of(run_here, folder, matrix, *options)


def answers_of(
    run: Callable[..., subprocess.CompletedProcess[str]], folder: Path, matrix: Path, *options: str
) -> list[dict[str, Any]]:
    shown = run("predict", "--model", folder / "model", "--matrix", matrix, "--json", *options)
    assert shown.returncode == ExitCode.OK, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[dict[str, Any]]:
    """The answers to test.csv."""
    return answers_of(run, folder, folder / "test.csv")


def test_every_row_is_answered(folder: Path, rows: list[dict[str, Any]]) -> None:
    priced = pd.read_csv(folder / "test.csv")[ODDS].notna().all(axis=1)
    assert len(rows) == 20
    assert not priced.all()
    for row, has_odds in zip(rows, priced, strict=True):
        assert set(row["intervals"]) == {"0.8", "0.95"}
        (low, high), (lower, upper) = row["intervals"]["0.8"], row["intervals"]["0.95"]
        assert 0.0 < lower < low < row["probability"] < high < upper < 1.0
        assert row["sampling_interval"][0] < row["sampling_interval"][1]
        assert (row["market_aware"] is not None) == has_odds
        assert row["market_aware_reason"] == (None if has_odds else "no_market")


def test_contributions_of_other_columns_add_up(folder: Path, rows: list[dict[str, Any]]) -> None:
    options = ["--model", folder / "model", "--matrix", folder / "test.csv", "--contributions"]
    shown = run_here("predict", *options, "--json")
    for line, row in zip(shown.stdout.splitlines(), rows, strict=True):
        document = json.loads(line)
        found = document.pop("contributions")
        assert document == row
        assert list(found["groups"]) == ["other"]  # the altitude is context without a neutral value
        assert found["groups"]["other"] + found["corner"] == found["logit"]
    assert "contributions to red's logit" in " ".join(run_here("predict", *options).stdout.replace("│", " ").split())


def test_what_is_no_feature_changes_nothing_but_the_market(folder: Path, rows: list[dict[str, Any]]) -> None:
    bare = pd.read_csv(folder / "test.csv").drop(columns=["event", "date", "won", *ODDS])
    bare.assign(note="a column of the caller's own").to_csv(folder / "bare.csv", index=False)
    market = ("market_aware", "market_aware_reason")
    for full, plain in zip(rows, answers(folder, folder / "bare.csv"), strict=True):
        assert plain["market_aware"] is None
        assert {k: v for k, v in plain.items() if k not in market} == {k: v for k, v in full.items() if k not in market}


def test_the_market_aware_probability_follows_the_devig_method(folder: Path, rows: list[dict[str, Any]]) -> None:
    proportional = answers(folder, folder / "test.csv", "--devig", "proportional")
    assert [row["probability"] for row in proportional] == [row["probability"] for row in rows]
    for one, two in zip(proportional, rows, strict=True):
        assert (one["market_aware"] is None) == (two["market_aware"] is None)
    assert [row["market_aware"] for row in proportional] != [row["market_aware"] for row in rows]


def test_swapped_sides_are_the_complement(folder: Path, rows: list[dict[str, Any]]) -> None:
    test = pd.read_csv(folder / "test.csv")
    other = {"red": "blue", "blue": "red"}
    swapped = test.rename(columns=lambda name: "_".join([other.get(part, part) for part in name.split("_")]))
    swapped.to_csv(folder / "swapped.csv", index=False)
    for one, two in zip(rows, answers(folder, folder / "swapped.csv"), strict=True):
        assert one["probability"] == 1.0 - two["probability"]
        assert one["intervals"]["0.95"] == [1.0 - end for end in two["intervals"]["0.95"][::-1]]


def test_training_again_gives_the_same_model_in_its_place(folder: Path) -> None:
    manifest = (folder / "model" / "manifest.json").read_bytes()
    shown = run_here("train", "--matrix", folder / "train.csv", *NAMED, *QUICK, "--out", folder / "model")
    assert shown.returncode == ExitCode.OK, shown.stderr
    assert f"Written to {folder / 'model'}" in shown.stdout
    assert (folder / "model" / "manifest.json").read_bytes() == manifest
    assert not list(folder.glob(".writing-*"))


def test_what_is_wrong_with_the_input_is_said_in_a_sentence(folder: Path) -> None:
    shown = run_here("train", "--matrix", folder / "test.csv", *NAMED, "--out", folder / "second", "--json")
    assert shown.returncode == ExitCode.REFUSED
    failure = json.loads(shown.stdout)["failure"]
    assert failure["code"] == "invalid_input"
    assert "20 decided fights are too few" in failure["message"]
    assert failure["message"] in shown.stderr
    assert not (folder / "second").exists()
    shown = run_here("predict", "--model", folder / "second", "--matrix", folder / "test.csv")
    assert shown.returncode == ExitCode.FAILED
    assert "there is no model bundle at" in shown.stderr


def test_a_matrix_is_checked_without_a_training(tmp_path: Path) -> None:
    moments = [f"2024-{month:02}-27T22:00:00-0{5 if month < 4 else 4}:00" for month in range(1, 13)]
    sound = fights(300, 1).assign(date=[moments[k // 25] for k in range(300)])
    sound.to_csv(tmp_path / "sound.csv", index=False)
    shown = run_here("check", "--matrix", tmp_path / "sound.csv", *NAMED, "--json")
    assert shown.returncode == ExitCode.OK, shown.stderr
    report = json.loads(shown.stdout)
    assert (report["fights"], report["first_day"], report["last_day"]) == (300, "2024-01-27", "2024-12-27")
    sides = {name: name.replace("red_", "r_").replace("blue_", "b_") for name in sound if name not in ODDS}
    sound.rename(columns=sides).to_csv(tmp_path / "sides.csv", index=False)
    shown = run_here("check", "--matrix", tmp_path / "sides.csv", *NAMED, "--json")
    assert shown.returncode == ExitCode.FAILED
    assert "--pairs r_,b_" in json.loads(shown.stdout)["faults"][0]["message"]
    trained = run_here("train", "--matrix", tmp_path / "sides.csv", *NAMED, *QUICK, "--out", tmp_path / "model")
    assert trained.returncode == ExitCode.REFUSED
    pairs = ["--pairs", "r_,b_"]
    trained = run_here(
        "train", "--matrix", tmp_path / "sides.csv", *NAMED, *pairs, *QUICK, "--out", tmp_path / "model", "--json"
    )
    assert trained.returncode == ExitCode.OK, trained.stderr
    assert len(answers(tmp_path, tmp_path / "sides.csv")) == 300


def test_a_fight_log_is_checked_without_a_training(tmp_path: Path) -> None:
    FIGHTS.assign(winner=["red", "left", "blue"], date="2199-01-01").to_csv(tmp_path / "fights.csv", index=False)
    STAT_LINES.to_csv(tmp_path / "stat_lines.csv", index=False)
    FIGHTERS.assign(height_cm=70).to_csv(tmp_path / "fighters.csv", index=False)
    shown = run_here("check", tmp_path, "--json")
    assert shown.returncode == ExitCode.FAILED
    faults = json.loads(shown.stdout)["faults"]
    assert {(fault["file"], fault["column"], fault["line"], fault["rows"]) for fault in faults} >= {
        ("fights.csv", "winner", 3, 1),
        ("fights.csv", "date", 2, 3),
        ("fighters.csv", "height_cm", 2, 4),
    }
