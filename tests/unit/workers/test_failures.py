from __future__ import annotations

import pytest

from engine import errors
from engine.errors import BundleCorruptError
from ledger.contracts import codec
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from workers.failures import MAX_MESSAGE_CHARACTERS, time_limit_failure, to_failure


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (errors.ValidationError("x"), FailureCode.INVALID_INPUT, False),
        (errors.UnknownFighterError("x"), FailureCode.UNKNOWN_FIGHTER, False),
        (errors.AmbiguousFighterError("x"), FailureCode.UNKNOWN_FIGHTER, False),
        (errors.BundleNotFoundError("x"), FailureCode.MODEL_NOT_FOUND, True),
        (errors.BundleCorruptError("x"), FailureCode.MODEL_CORRUPT, False),
        (errors.BundleError("x"), FailureCode.MODEL_CORRUPT, False),
        (errors.BootstrapError("x"), FailureCode.BOOTSTRAP_FAILED, False),
        (errors.MemoryLimitError("x"), FailureCode.MEMORY_LIMIT_EXCEEDED, True),
        (MemoryError("x"), FailureCode.MEMORY_LIMIT_EXCEEDED, True),
        (errors.TrainingTimeoutError("x"), FailureCode.TIME_LIMIT_EXCEEDED, True),
        (errors.TrainingError("x"), FailureCode.TRAINING_FAILED, False),
        (errors.EngineError("x"), FailureCode.INTERNAL, False),
        (ZeroDivisionError("x"), FailureCode.INTERNAL, False),
        (GeneratorExit("x"), FailureCode.INTERNAL, False),
    ],
)
def test_each_error_has_its_code(error: BaseException, code: FailureCode, retryable: bool) -> None:
    failure = to_failure(error)
    assert (failure.code, failure.retryable) == (code, retryable)
    assert "x" in failure.message


def test_every_error_of_the_engine_is_in_the_table() -> None:
    def leaves(kind: type[BaseException]) -> list[type[BaseException]]:
        return [kind, *(leaf for sub in kind.__subclasses__() for leaf in leaves(sub))]

    silent = [kind for kind in leaves(errors.EngineError)[1:] if to_failure(kind(())).code is FailureCode.INTERNAL]
    assert silent == []


def test_a_refusal_keeps_its_own_failure() -> None:
    failure = Failure(code=FailureCode.UNSUPPORTED_SCHEMA, message="too new", details={"version": 9})
    assert to_failure(JobRefusedError(failure)) is failure


def test_an_unexpected_error_names_its_type_and_stays_short() -> None:
    failure = to_failure(KeyError("k" * 10_000))
    assert failure.message.startswith("KeyError: ")
    assert len(failure.message) < MAX_MESSAGE_CHARACTERS + 100


def test_a_bare_memory_error_says_what_to_do() -> None:
    assert "CORNERMAN_CHILD_MAX_MEMORY_MB" in to_failure(MemoryError()).message


def test_a_time_limit_is_told_with_its_figure() -> None:
    failure = time_limit_failure(60.0)
    assert (failure.code, failure.details) == (FailureCode.TIME_LIMIT_EXCEEDED, {"limit_seconds": 60.0})


def test_a_message_that_is_no_unicode_travels() -> None:
    failure = to_failure(BundleCorruptError("odd\udcff is not listed"))
    assert failure.message == "odd\\udcff is not listed"
    assert codec.decode_failure(codec.encode(failure)) == failure


def test_no_room_for_a_thread_is_no_memory() -> None:
    assert to_failure(RuntimeError("can't start new thread")).code is FailureCode.MEMORY_LIMIT_EXCEEDED
