"""Files of other versions, kept here or written now, answer as those versions did: `benchmarks.importing.versions`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.importing import versions

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FILES = Path(__file__).parents[2] / "tests" / "unit" / "engine" / "importing" / "foreign_files"
ENVIRONMENTS = os.environ.get("CORNERMAN_FOREIGN_ENVIRONMENTS", "")


def test_files_of_other_versions_answer_as_those_versions_did() -> None:
    found = {outcome.name: outcome for outcome in versions.outcomes(FILES)}
    assert len(found) == 5
    for outcome in found.values():
        assert outcome.difference is not None, outcome
        assert outcome.difference < 1e-6


@pytest.mark.skipif(not ENVIRONMENTS, reason="CORNERMAN_FOREIGN_ENVIRONMENTS names no folder of environments")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", versions.ENVIRONMENTS)
def test_environments_of_other_versions(name: str, tmp_path: Path) -> None:
    python = versions.build(Path(ENVIRONMENTS), name)
    if python is None:
        pytest.skip(f"{name} cannot be installed here")
    versions.write(python, tmp_path)
    wrong = [outcome for outcome in versions.outcomes(tmp_path) if not outcome.right]
    assert not wrong
