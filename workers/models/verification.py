"""Verification of a model: it must open, and reproduce the reference predictions of its bundle."""

from __future__ import annotations

from engine.ensemble import ProductionEnsembleManager
from engine.errors import EngineError
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.reports import HealthCheck
from ledger.models.verification import ModelVerifier, failed_check
from workers.errors import StoreUnavailableError
from workers.failures import to_failure
from workers.models.model_cache import ModelCache

# The machine that trained the model reproduces its predictions to the bit; another processor may differ in the last.
REFERENCE_TOLERANCE = 1e-12


def check_model(
    name: str, models: ModelCache[ProductionEnsembleManager], *, reload: bool = False
) -> tuple[str | None, list[HealthCheck]]:
    """Open the model that an alias or digest names, and compare its reference predictions.

    Parameters
    ----------
    name : str
        Alias or digest.
    models : ModelCache
        The cache that opens it.
    reload : bool
        Read and verify the bundle again even if it is open.

    Returns
    -------
    digest : str or None
        None if the model cannot be opened.
    checks : list of HealthCheck
        `model_loaded`, and `prediction` if the model could be opened.

    Raises
    ------
    LedgerUnavailableError
    """
    try:
        if reload:
            models.close(models.resolve(name))
        digest, manager, _ = models.get(name)
    except (EngineError, StoreUnavailableError) as error:
        return None, [_failed("model_loaded", error)]
    return digest, [HealthCheck(name="model_loaded", passed=True, detail=digest), _reference_check(manager)]


def local_verifier(models: ModelCache[ProductionEnsembleManager]) -> ModelVerifier:
    """Return a verifier that checks a model in this process, as `ledger.models.verification` does through a job."""

    def verify(digest: str) -> None:
        _, checks = check_model(digest, models)
        if failure := failed_check(digest, checks):
            raise JobRefusedError(failure)

    return verify


def _reference_check(manager: ProductionEnsembleManager) -> HealthCheck:
    try:
        difference = manager.check_reference_predictions()
    except EngineError as error:
        return _failed("prediction", error)
    return HealthCheck(
        name="prediction",
        passed=difference <= REFERENCE_TOLERANCE,
        detail=f"known answers differ by at most {difference:.1e}",
    )


def _failed(name: str, error: Exception) -> HealthCheck:
    return HealthCheck(name=name, passed=False, detail=str(error), code=to_failure(error).code)
