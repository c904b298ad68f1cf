"""What an answer was made from beside its job, as it is kept with the outcome: see `ledger.contracts.provenance`."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ledger.contracts.provenance import Origin, Surroundings
from ledger.ledger import Claim
from workers.jobs.operator_overrides import deciding

# Whatever computes a number. An update of any of these may change the last bits.
LIBRARIES = ("cornerman", "numpy", "scipy", "pandas", "scikit-learn", "xgboost", "xgboost-cpu", "numba", "llvmlite")


def origin_of(claim: Claim, models: dict[str, str]) -> Origin:
    """Return what decides the outcome of a claimed job that looked these models up by name."""
    return Origin(
        claimed_at=claim.claimed_at,
        models=dict(models),
        controls={name: value for name, value in claim.controls.given.items() if deciding(name)},
        surroundings=surroundings(),
    )


@cache
def surroundings() -> Surroundings:
    """Return this machine's processor and the versions of what computes."""
    libraries = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:  # xgboost has two names, of which one is installed
            continue
    return Surroundings(processor=f"{platform.machine()} {_processor_model()}".strip(), libraries=libraries)


def _processor_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model of the processor, as far as the system tells it."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor()
