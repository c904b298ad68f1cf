"""Collection of the provenance that is stored with an outcome (`ledger.contracts.provenance`)."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.contracts.job_reports.update_report import FighterState
from ledger.contracts.jobs import Job, PredictCard
from ledger.contracts.provenance import Provenance, RuntimeEnvironment
from ledger.ledger import Claim
from workers.jobs.operator_overrides import affects_answers

if TYPE_CHECKING:
    from engine.data.snapshot_digest import StateIdentity

# The libraries that compute numbers. An update of one of them may change the last bits of an answer.
LIBRARIES = ("cornerman", "numpy", "scipy", "pandas", "scikit-learn", "xgboost", "xgboost-cpu", "numba", "llvmlite")


def collect_provenance(
    claim: Claim, models: Mapping[str, str], opened: Mapping[str, Any], job: Job | None = None
) -> Provenance:
    """Return the provenance of a claimed job.

    Parameters
    ----------
    claim : Claim
        The claimed job.
    models : mapping of str to str
        The digests that the job resolved, by name.
    opened : mapping of str to model
        Those of these models that are open, by digest.
    job : Job or None
        The decoded job, None if it failed: a failure does not depend on prices.
    """
    states = {digest: getattr(model, "state", None) for digest, model in opened.items()}
    return Provenance(
        claimed_at=claim.claimed_at,
        models=dict(models),
        controls={name: value for name, value in claim.controls.values.items() if affects_answers(name)},
        surroundings=runtime_environment(),
        devig_method=job.devig_method if isinstance(job, PredictCard) else None,
        states={digest: wire_state(state) for digest, state in states.items() if state is not None},
        room=claim.room if isinstance(job, PredictCard) else None,
    )


def wire_state(state: StateIdentity) -> FighterState:
    """Return the identity of a fighters' state as the wire has it."""
    return FighterState(digest=state.digest, cutoff=state.cutoff)


@cache
def runtime_environment() -> RuntimeEnvironment:
    """Return the processor of this machine and the versions of the libraries that compute."""
    libraries = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:  # xgboost has two names, of which one is installed
            continue
    return RuntimeEnvironment(processor=f"{platform.machine()} {_processor_model()}".strip(), libraries=libraries)


def _processor_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model name of the processor, or what `platform` knows of it."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor()
