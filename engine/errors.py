"""Exceptions of the engine. Every message names the value at fault and says what to do.

* EngineError
  * ValidationError (also a ValueError): an input is invalid
    * UnknownFighterError: the fight log has no fighter of that name
    * AmbiguousFighterError: a name fits several fighters
    * engine.data.data_faults.DataFaultsError: a data set's files have faults
  * BootstrapError: replicas are missing, or one of them failed
  * MemoryLimitError (also a MemoryError): a memory limit was exceeded, or would be
  * TrainingError: a member could not be trained
    * TrainingTimeoutError (also a TimeoutError): training exceeded its time limit
  * BundleError: a model bundle cannot be used
    * BundleNotFoundError: there is no bundle at the given path
    * BundleCorruptError: the bytes of a bundle are not those that were saved
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class EngineError(Exception):
    """Base class of every exception that the engine raises on purpose.

    Attributes
    ----------
    details : dict[str, Any]
        Figures and names of the message as JSON values, for programs; often empty.
    """

    def __init__(self, *args: object, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(*args)
        self.details: dict[str, Any] = dict(details or {})


class ValidationError(EngineError, ValueError):
    """An input is invalid."""


class UnknownFighterError(ValidationError):
    """The fight log has no fighter of that name."""


class AmbiguousFighterError(ValidationError):
    """A name fits several fighters."""


class BootstrapError(EngineError):
    """Replicas are needed and missing, or one of them failed."""


class MemoryLimitError(EngineError, MemoryError):
    """A memory limit was exceeded, or would be."""


class TrainingError(EngineError):
    """A member could not be trained."""


class TrainingTimeoutError(TrainingError, TimeoutError):
    """Training exceeded its time limit."""


class BundleError(EngineError):
    """A model bundle cannot be used."""


class BundleNotFoundError(BundleError):
    """There is no bundle at the given path."""


class BundleCorruptError(BundleError):
    """The bytes of a bundle are not those that were saved."""
