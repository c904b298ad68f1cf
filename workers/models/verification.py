"""Verification of a model before it serves."""

from __future__ import annotations

from engine.ensemble import ProductionEnsembleManager
from engine.errors import EngineError
from ledger.contracts.failures import JobRefused
from ledger.contracts.reports import HealthCheck
from ledger.models.verification import ModelVerifier, failed_check
from workers.errors import StoreUnavailableError
from workers.failures import failure_of
from workers.models.model_cache import ModelCache

# The canary has the same bits on the machine that trained it; another processor may differ in the last place.
CANARY_TOLERANCE = 1e-12


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


def proof_by(models: ModelCache[ProductionEnsembleManager]) -> ModelVerifier:
    """Return the proof that a worker gives of a model before it moves a name: that of `Ledger.prove`, in itself."""

    def prove(digest: str) -> None:
        _, checks = check_model(digest, models)
        if fault := failed_check(digest, checks):
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
