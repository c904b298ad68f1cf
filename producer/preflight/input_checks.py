"""Preflight check of invalid input: each kind of it must end as the expected typed failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from ledger.contracts import codec
from ledger.contracts.failures import FailureCode, JobFailedError, JobRefusedError
from ledger.contracts.jobs import Fighter, IntervalOptions, Quote
from ledger.contracts.reports import FightFailure
from producer.preflight.check import expect
from producer.preflight.environment import PreflightEnvironment, decode_card_report
from producer.service.demo_data import UNKNOWN_NAME

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

BadInput = tuple[str, Callable[[], Any], FailureCode]
"""The name of an invalid input, the function that submits it, and the expected failure code."""


def check_bad_input(environment: PreflightEnvironment) -> str:
    """Submit every kind of invalid input and check its failure code."""
    found = {name: (_code_of(submit), code) for name, submit, code in (*_documents(environment), *_cards(environment))}
    wrong = [f"{name}: {ended} and not {code}" for name, (ended, code) in found.items() if ended != code]
    expect(not wrong, "; ".join(wrong))
    return f"{len(found)} kinds, each a typed failure: {', '.join(sorted({code for code, _ in found.values()}))}"


def _documents(environment: PreflightEnvironment) -> list[BadInput]:
    """Return invalid documents, which the client refuses."""
    whole = codec.encode(environment.card)
    job = msgspec.json.decode(whole)
    documents = {
        "a body cut off": (whole[: len(whole) // 2], FailureCode.INVALID_INPUT),
        "a newer schema": (msgspec.json.encode(job | {"schema_version": 99}), FailureCode.UNSUPPORTED_SCHEMA),
        "no fights": (msgspec.json.encode(job | {"fights": []}), FailureCode.INVALID_INPUT),
        "an empty body": (b"", FailureCode.INVALID_INPUT),
    }
    enqueue = environment.service.client.enqueue
    return [(name, partial(enqueue, body), code) for name, (body, code) in documents.items()]


def _cards(environment: PreflightEnvironment) -> list[BadInput]:
    """Return invalid cards, which the client refuses or a worker fails."""
    fight = environment.card.fights[0]
    replace = msgspec.structs.replace
    names = [fighter.name for fighter in fight.fighters]
    unknown = replace(fight, fighters=(Fighter(name=UNKNOWN_NAME), fight.fighters[1]), quotes=())
    old = Quote(bookmaker="old", prices=dict.fromkeys(names, 2.0), as_of=LONG_AGO)
    many = IntervalOptions(bootstrap_samples=10_000)
    changes: dict[str, tuple[dict[str, Any], FailureCode]] = {
        "a duplicate fight": ({"fights": (fight, fight)}, FailureCode.INVALID_INPUT),
        "a NaN feature": (
            {"fights": (replace(fight, features={"x": float("nan")}),)},
            FailureCode.INVALID_INPUT,
        ),
        "features of another model": ({"fights": (replace(fight, features={"x": 1.0}),)}, FailureCode.INVALID_INPUT),
        "an unknown fighter": ({"fights": (unknown,)}, FailureCode.UNKNOWN_FIGHTER),
        "old prices": (
            {"fights": (replace(fight, quotes=(old,)),), "max_quote_age_seconds": 60.0},
            FailureCode.STALE_ODDS,
        ),
        "a past deadline": ({"deadline": LONG_AGO}, FailureCode.EXPIRED),
        "a missing model": ({"model": "no-such-model"}, FailureCode.MODEL_NOT_FOUND),
        "too many replicas": ({"intervals": many}, FailureCode.BOOTSTRAP_FAILED),
    }
    return [(name, partial(environment.predict, **change), code) for name, (change, code) in changes.items()]


def _code_of(submit: Callable[[], Any]) -> str:
    """Submit an input and return the failure code of the job or of its first fight."""
    try:
        answer = submit()
    except (JobRefusedError, JobFailedError) as error:
        return error.failure.code.value
    first = decode_card_report(answer).fights[0] if isinstance(answer, bytes) else None
    return first.failure.code.value if isinstance(first, FightFailure) else "accepted"
