from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import history
from benchmarks.results import Row

ABOUT = {"day": "2026-01-02", "processor": "EPYC, 2 cores"}


def row(naive: tuple[float, ...], ours: tuple[float, ...], *, higher_is_better: bool = True) -> Row:
    return Row("jobs", "jobs/s", naive, ours, None, higher_is_better)


def test_the_spread_of_a_ratio_is_from_the_worst_to_the_best_pair_of_repeats() -> None:
    assert history.ratio_spread(row((1.0, 2.0, 4.0), (6.0, 8.0, 10.0))) == (4.0, 1.5, 10.0)
    assert history.ratio_spread(row((6.0, 8.0, 10.0), (1.0, 2.0, 4.0), higher_is_better=False)) == (4.0, 1.5, 10.0)


def test_a_run_is_one_line_and_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    line = history.line_of(ABOUT, [row((1.0,), (3.0,))])
    assert history.read(path) == []
    history.append(line, path)
    history.append(line, path)
    assert history.read(path) == [line, line]
    assert line["ratios"] == {"jobs": [3.0, 3.0, 3.0]}


@pytest.mark.parametrize(
    ("earlier", "told"),
    [
        ([3.0, 2.5, 3.5], True),
        ([2.5, 2.0, 3.0], False),  # the spreads overlap
        ([1.0, 0.9, 1.1], False),
    ],
)
def test_a_ratio_has_fallen_if_the_spreads_do_not_overlap(earlier: list[float], told: bool) -> None:
    line = history.line_of(ABOUT, [row((1.0,), (2.0,)), Row("other", "s", (1.0,), (1.0,), None, False)])
    before = {**ABOUT, "commit": "abc", "ratios": {"jobs": earlier}}
    older = {**before, "ratios": {"jobs": [9.0, 9.0, 9.0], "other": [1.0, 1.0, 1.0]}}
    elsewhere = {**before, "processor": "another", "ratios": {"jobs": [9.0, 9.0, 9.0]}}
    found = history.fallen(line, [older, before, elsewhere])
    assert [sentence.partition(":")[0] for sentence in found] == (["jobs"] if told else [])
    assert not found or "abc" in found[0]
