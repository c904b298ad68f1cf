"""What can go wrong in the engine. Every message names the offending thing and says what to do.

EngineError
├── ValidationError              the input is not what it must be (also a ValueError)
│   ├── UnknownFighterError      no such name in the fight log
│   └── AmbiguousFighterError    more than one fighter has this name
├── BootstrapError               no replicas where replicas are needed, or one that failed
├── MemoryLimitError             a memory limit was or would be exceeded (also a MemoryError)
├── TrainingError                a member could not be trained
│   └── TrainingTimeoutError     training ran out of time (also a TimeoutError)
└── BundleError                  a model bundle cannot be used
├── BundleNotFoundError      there is none at that place
└── BundleCorruptError       its bytes are not those that were saved
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class EngineError(Exception):
    """Base of everything that the engine raises on purpose. details: JSON values for a program, beside the message."""

    def __init__(self, *args: object, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(*args)
        self.details: dict[str, Any] = dict(details or {})


class ValidationError(EngineError, ValueError):
    """The input is not what it must be."""


class UnknownFighterError(ValidationError):
    """No such name in the fight log."""


class AmbiguousFighterError(ValidationError):
    """More than one fighter has this name."""


class BootstrapError(EngineError):
    """There are no replicas where replicas are needed, or one of them failed."""


class MemoryLimitError(EngineError, MemoryError):
    """A memory limit was exceeded, or would be."""


class TrainingError(EngineError):
    """A member could not be trained."""


class TrainingTimeoutError(TrainingError, TimeoutError):
    """Training ran out of time."""


class BundleError(EngineError):
    """A model bundle cannot be used."""


class BundleNotFoundError(BundleError):
    """There is no bundle at that place."""


class BundleCorruptError(BundleError):
    """The bundle's bytes are not those that were saved."""
