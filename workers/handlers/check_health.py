"""Whether a worker could answer a card: load the model, answer its known fights, look at the memory.

From a `CheckHealth` to a `HealthReport`, and the self-test with which a pool's children tell `/readyz` the same.
"""

from __future__ import annotations

import psutil

from engine.ensemble import ProductionEnsembleManager
from engine.errors import EngineError
from ledger.contracts.failures import JobRefused
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.models.aliases import Proof, fault_of
from workers.errors import StoreUnavailableError
from workers.failures import failure_of
from workers.jobs.context import JobContext
from workers.models.model_cache import ModelCache
from workers.pool.library_threads import pinned

# The canary has the same bits on the machine that trained it; another processor may differ in the last place.
CANARY_TOLERANCE = 1e-12


def check_health(job: CheckHealth, context: JobContext) -> HealthReport:
    """Answer for this worker. An unhealthy worker is a report, not a failure: it says what is wrong."""
    digest, checks = check_model(job.model, context.models, anew=job.anew)
    memory_mb = psutil.Process().memory_info().rss / 2**20
    limit_mb = context.settings.memory_limit_mb or float("inf")
    detail = f"{memory_mb:.0f} MB of {limit_mb:.0f} MB"
    checks.append(HealthCheck(name="memory", passed=memory_mb <= limit_mb, detail=detail))
    checks.append(_threads(context.settings.training_threads))
    return HealthReport(
        status="healthy" if all(check.passed for check in checks) else "unhealthy",
        checks=tuple(checks),
        model=digest,
        memory_mb=memory_mb,
    )


def _threads(training: int) -> HealthCheck:
    """More than one in a library would make a forked child hang, or its bits depend on the machine."""
    libraries = pinned()
    detail = ", ".join(f"{name} {number}" for name, number in libraries.items())
    passed = all(number == 1 for number in libraries.values())
    return HealthCheck(name="threads", passed=passed, detail=f"{detail}; training on {training}")


def check_model(
    name: str, models: ModelCache[ProductionEnsembleManager], *, anew: bool = False
) -> tuple[str | None, list[HealthCheck]]:
    """Load the model that an alias or digest names and let it answer its known fights; return its digest, and both.

    `anew`: also where it is open. Raises LedgerUnavailable.
    """
    try:
        if anew:
            models.close(models.resolve(name))
        digest, manager, _ = models.get(name)
    except (EngineError, StoreUnavailableError) as error:
        return None, [_failed("model_loaded", error)]
    return digest, [HealthCheck(name="model_loaded", passed=True, detail=digest), _canary(manager)]


def proof_by(models: ModelCache[ProductionEnsembleManager]) -> Proof:
    """Return the proof that a worker gives of a model before it moves a name: that of `Ledger.prove`, in itself."""

    def prove(digest: str) -> None:
        _, checks = check_model(digest, models)
        if fault := fault_of(digest, checks):
            raise JobRefused(fault)

    return prove


def _canary(manager: ProductionEnsembleManager) -> HealthCheck:
    try:
        difference = manager.check_canary()
    except EngineError as error:
        return _failed("prediction", error)
    return HealthCheck(
        name="prediction",
        passed=difference <= CANARY_TOLERANCE,
        detail=f"known answers differ by at most {difference:.1e}",
    )


def _failed(name: str, error: Exception) -> HealthCheck:
    return HealthCheck(name=name, passed=False, detail=str(error), code=failure_of(error).code)
