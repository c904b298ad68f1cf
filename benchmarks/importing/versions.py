"""Test of `cornerman models import-joblib` with files written by other versions of scikit-learn and XGBoost.

`python -m benchmarks.importing.versions --environments FOLDER` builds a virtual environment for each pair of versions
(with pip, about 400 MB each; existing ones are reused), has each write estimators of all kinds with their probabilities
(`write_estimators.py`), and imports every file here. An import is correct only if its probabilities equal those of the
environment that wrote the file. Prints the table of docs/guides/migration.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from engine.arrays import Floats
from engine.errors import ValidationError
from engine.importing.external_estimators import PARITY_TOLERANCE, ExternalEstimator, common_columns, unwrap
from engine.importing.import_ensemble import import_ensemble
from engine.importing.joblib_files import JoblibFile
from engine.members.member_stack import MEMBER_NAMES

WRITER = Path(__file__).with_name("write_estimators.py")
COLUMNS = ("red_reach", "red_age", "red_elo", "blue_reach", "blue_age", "blue_elo", "rounds")
OLD_NUMPY = ("numpy<2", "pandas<2.3")
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "1.9": ("scikit-learn==1.9.1", "xgboost-cpu==3.2.0", "pandas"),
    "1.8": ("scikit-learn==1.8.0", "xgboost-cpu==3.1.3", "pandas"),
    "1.7": ("scikit-learn==1.7.2", "xgboost-cpu==3.0.5", "pandas"),
    "1.6": ("scikit-learn==1.6.1", "xgboost-cpu==2.1.4", "pandas"),
    "1.5": ("scikit-learn==1.5.2", "xgboost-cpu==2.1.2", "pandas"),
    "1.4": ("scikit-learn==1.4.2", "xgboost==2.0.3", *OLD_NUMPY),
    "1.3": ("scikit-learn==1.3.2", "xgboost==1.7.6", *OLD_NUMPY),
    "1.2": ("scikit-learn==1.2.2", "xgboost==1.6.2", "numpy<1.26", "pandas<2.1"),
    "1.1": ("scikit-learn==1.1.3", "xgboost==1.5.2", "numpy<1.24", "pandas<2", "scipy<1.11"),
}


@dataclass(frozen=True)
class VersionResult:
    """The result of one file: the largest difference from its own library, or the reason for a refusal."""

    name: str
    difference: float | None = None
    refusal: str = ""
    fault: str = ""

    @property
    def right(self) -> bool:
        """True if the import predicts as its own library, or was refused by a ValidationError."""
        return not self.fault and (self.difference is None or self.difference <= 10 * PARITY_TOLERANCE)


def build(folder: Path, name: str) -> Path | None:
    """Build an environment if needed and return its Python; None if pip cannot install it here."""
    python = folder / name / "bin" / "python"
    if (folder / name / "complete").exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    if subprocess.run([*install, "joblib", *ENVIRONMENTS[name]], check=False).returncode:
        return None
    (folder / name / "complete").touch()
    return python


def write(python: Path, folder: Path) -> None:
    """Run the writer in an environment; it writes files and probabilities into `folder`."""
    subprocess.run([str(python), "-W", "ignore", str(WRITER), str(folder)], check=True)


def outcomes(folder: Path) -> Iterator[VersionResult]:
    """Import every file in `folder` together with two plain estimators of this version, and compare probabilities."""
    with np.load(folder / "probabilities.npz") as answers:
        known = dict(answers)
    for path in sorted(folder.glob("*.joblib")):
        name = path.name.removesuffix(".joblib")
        try:
            yield VersionResult(name, difference=_difference(path, name, known))
        except ValidationError as error:
            yield VersionResult(name, refusal=str(error))
        except Exception as error:  # noqa: BLE001 - unexpected errors are the faults to find
            yield VersionResult(name, fault=f"{type(error).__name__}: {error}")


def _difference(path: Path, name: str, known: Mapping[str, Floats]) -> float:
    member = name.partition("-")[0]
    file = JoblibFile.from_path(path)
    parts = {**_plain(), member: unwrap(member, file.unpickle(), file.versions)}
    columns = common_columns(list(parts.values()), COLUMNS)
    imported = import_ensemble(
        parts, columns, dict.fromkeys(MEMBER_NAMES, 1 / 3), trained_until=datetime.date(2024, 1, 1), sources={}
    )
    ours = imported.ensemble.point.by_name()[member]
    largest = 0.0
    for which in ("rows", "whole_rows"):
        theirs = known[f"{name}/{which}"]
        if not np.isnan(theirs).all():
            largest = max(largest, float(np.abs(ours.predict_replicas(known[which])[0] - theirs).max()))
    return largest


def _plain() -> dict[str, ExternalEstimator]:
    rng = np.random.default_rng(0)
    X, won = rng.normal(size=(60, len(COLUMNS))), np.arange(60) % 2
    fitted: dict[str, Any] = {
        "random_forest": RandomForestClassifier(2, random_state=0).fit(X, won),
        "xgboost": xgb.XGBClassifier(n_estimators=2, n_jobs=1).fit(X, won),
        "neural_network": MLPClassifier((2,), random_state=0, max_iter=2000).fit(X, won),
    }
    return {member: unwrap(member, estimator) for member, estimator in fitted.items()}


def row(versions: Mapping[str, str], found: Sequence[VersionResult]) -> str:
    """Return the table row of one environment."""
    cells = [f"{versions['scikit-learn']}, {versions['xgboost']}"]
    for member in MEMBER_NAMES:
        mine = [outcome for outcome in found if outcome.name.startswith(member)]
        imported = [outcome.difference for outcome in mine if outcome.difference is not None]
        wrong = [outcome for outcome in mine if not outcome.right]
        cell = f"{len(imported)} of {len(mine)} imported" if imported else f"{len(mine)} refused"
        cells.append(cell + (f", {max(imported):.0e}" if imported else "") + (f", {len(wrong)} WRONG" if wrong else ""))
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Test all environments and print the table; return 1 if an import was wrong or failed unexpectedly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--environments", type=Path, help="folder to keep the environments in; by default they are deleted"
    )
    parser.add_argument("--only", nargs="*", choices=tuple(ENVIRONMENTS), default=tuple(ENVIRONMENTS))
    parser.add_argument("--verbose", action="store_true", help="print every file, with its difference or refusal")
    options = parser.parse_args(arguments)
    wrong = 0
    print("| scikit-learn, XGBoost | random forests | XGBoost | networks |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        environments = options.environments or Path(scratch, "environments")
        environments.mkdir(parents=True, exist_ok=True)
        for name in options.only:
            if (python := build(environments, name)) is None:
                print(f"| {name} | cannot be installed here | | |")
                continue
            files = Path(scratch, name)
            write(python, files)
            found = list(outcomes(files))
            wrong += sum(not outcome.right for outcome in found)
            print(row(json.loads((files / "versions.json").read_text()), found), flush=True)
            for outcome in found if options.verbose else []:
                print(f"  {outcome.name}: {outcome.fault or outcome.refusal or outcome.difference}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
