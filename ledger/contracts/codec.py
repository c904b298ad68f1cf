"""JSON encoding and decoding of jobs, reports and failures, with their checks, limits and digests.

NaN and infinity are refused: JSON has no value for them, and an encoder that wrote null would invent one.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from ledger.contracts.jobs import (
    MAX_DECLARED_BOUTS,
    MAX_PAYLOAD_BYTES,
    SCHEMA_VERSION,
    DeclaredRecord,
    Fight,
    Fighter,
    Job,
    MemberWeights,
    PredictCard,
    TrainEnsemble,
    TrainingPlan,
)
from ledger.contracts.lazy_decoder import LazyDecoder
from ledger.contracts.reports import Report

MAX_TEXT_CHARACTERS = 500  # of user and reason in an audit history


class _Versioned(msgspec.Struct):
    """Any job, reduced to its version. Hand-written jobs may omit it and mean version 1."""

    schema_version: int = 1


_DIGEST = re.compile("[0-9a-fA-F]{64}")
_version_decoder = msgspec.json.Decoder(_Versioned)
_encoder = msgspec.json.Encoder(order="deterministic")  # tags first, so that a long report begins with its kind
_canonical_encoder = msgspec.json.Encoder(order="sorted")
_bits_encoder = msgspec.msgpack.Encoder()
# A float64 (0xcb) whose exponent is all ones; other bytes can match too.
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]", re.DOTALL)
_job_decoder: LazyDecoder[Job] = LazyDecoder(Job)
_report_decoder: LazyDecoder[Report] = LazyDecoder(Report)
_failure_decoder: LazyDecoder[Failure] = LazyDecoder(Failure)
# Deeply nested JSON of a few kilobytes exhausts the decoder's stack.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def job_refused(message: str, code: FailureCode = FailureCode.INVALID_INPUT, **details: Any) -> JobRefusedError:
    """Return the exception for a job that is not accepted."""
    return JobRefusedError(Failure(code=code, message=message, details=details))


def encode(value: Job | Report | Failure) -> bytes:
    """Encode a value as JSON, equal values to equal bytes. Raises ValueError on NaN or infinity, naming the field."""
    written = _encoder.encode(value)
    # Searched from its end, for which Python has the faster search.
    if written.rfind(b"null") >= 0 and _may_hold_others_than_finite(value):
        for path, number in _floats(msgspec.to_builtins(value), ""):
            if not math.isfinite(number):
                raise ValueError(f"{path.lstrip('.')} is {number}: only finite numbers travel")
    return written


def _may_hold_others_than_finite(value: Job | Report | Failure) -> bool:
    """Return True if a value may contain NaN or infinity: MessagePack keeps the bits of a number."""
    try:
        return _NOT_FINITE.search(_bits_encoder.encode(value)) is not None
    except OverflowError:  # MessagePack has no type for the largest integers
        return True


def encode_canonical(job: Job) -> bytes:
    """Encode a decoded job, whose numbers are finite, as canonical JSON (sorted keys)."""
    return _canonical_encoder.encode(job)


def decode_job(payload: bytes) -> Job:
    """Decode and check a job. Raises JobRefusedError with `invalid_input` or `unsupported_schema`."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise job_refused(
            f"the job has {len(payload):,} bytes, the limit is {MAX_PAYLOAD_BYTES:,}: send fewer fights a card",
            bytes=len(payload),
            limit_bytes=MAX_PAYLOAD_BYTES,
        )
    try:
        job = _job_decoder.decode(payload)
    except _UNREADABLE as error:
        _check_schema(payload)  # a newer schema may not fit the older types
        raise job_refused(f"the job cannot be read: {error}") from error
    check_job(job)
    return job


class CheckedJob(msgspec.Struct, frozen=True):
    """A job that was decoded and checked, so that submitting it does not do so again."""

    job: Job

    @classmethod
    def from_json(cls, payload: bytes) -> CheckedJob:
        """Decode and check a job. Raises as `decode_job`."""
        return cls(decode_job(payload))


def decode_report(payload: bytes) -> Report:
    """Decode a report."""
    return _report_decoder.decode(payload)


def decode_failure(payload: bytes) -> Failure:
    """Decode a failure."""
    return _failure_decoder.decode(payload)


def content_digest(payload: bytes) -> str:
    """Return the id of a job submitted without a key: 128 bits of the SHA-256 of its canonical JSON, in hex."""
    return hashlib.sha256(payload).hexdigest()[:32]


def check_job(job: Job) -> None:
    """Check constraints that types cannot express. Raises JobRefusedError naming the fight or field."""
    if job.schema_version != SCHEMA_VERSION:
        raise job_refused(
            f"schema version {job.schema_version} is not supported; this version reads {SCHEMA_VERSION}",
            FailureCode.UNSUPPORTED_SCHEMA,
        )
    if isinstance(job, PredictCard):
        _check_card(job)
    elif isinstance(job, TrainingPlan):
        _check_weights(job.model_weights)
        if isinstance(job, TrainEnsemble) and job.alias is not None:
            check_alias(job.alias)


def is_digest(name: str) -> bool:
    """Return True if the name of a model is a digest, and no alias."""
    return _DIGEST.fullmatch(name) is not None


def check_alias(name: str) -> None:
    """Check that an alias does not have the shape of a model's digest. Raises JobRefusedError."""
    if is_digest(name):
        raise job_refused(
            f"the alias {name!r} has the shape of a model's digest: choose one that cannot be taken for it"
        )


def check_text(what: str, text: str) -> None:
    """Check a text for an audit history. Raises JobRefusedError naming the field."""
    if not (0 < len(text) <= MAX_TEXT_CHARACTERS and text.isprintable() and text.strip()):
        raise job_refused(
            f"`{what}` is a text of 1 to {MAX_TEXT_CHARACTERS} printable characters, {text[:40]!r} is not"
        )


def _check_schema(payload: bytes) -> None:
    """Check that a payload is JSON of the supported schema version. Raises JobRefusedError."""
    try:
        version = _version_decoder.decode(payload).schema_version
    except _UNREADABLE as error:
        raise job_refused(f"the job is not valid JSON: {error}") from error
    if version != SCHEMA_VERSION:
        raise job_refused(
            f"schema version {version} is not supported; this version reads {SCHEMA_VERSION}",
            FailureCode.UNSUPPORTED_SCHEMA,
        )


def _check_card(card: PredictCard) -> None:
    """Check a card. A producer has thousands a second checked, so messages are made only where they are needed."""
    seen: set[str] = set()
    dated = card.max_quote_age_seconds is not None
    for fight in card.fights:
        first, second = fight.fighters
        if fight.id in seen:
            raise job_refused(f"{_at(fight)} appears twice on card {card.card_id!r}: give each fight its own id")
        seen.add(fight.id)
        first_name, second_name = first.name, second.name
        spelling, other = normalise_name(first_name), normalise_name(second_name)
        if not (spelling and other):
            raise job_refused(f"{_at(fight)}: a fighter's name is blank")
        if spelling == other:
            raise job_refused(f"{_at(fight)}: {first_name!r} cannot be both fighters")
        if first.corner == second.corner != "unknown":
            raise job_refused(f"{_at(fight)}: both fighters have the {first.corner} corner")
        for fighter in fight.fighters:
            if fighter.record is not None:
                _check_record(fighter.record, fighter, card.event_start, _at(fight))
        for quote in fight.quotes:
            if quote.bookmaker.isspace():
                raise job_refused(f"{_at(fight)}: the name of a bookmaker is blank")
            prices = quote.prices
            if len(prices) != 2 or first_name not in prices or second_name not in prices:
                names = sorted((first_name, second_name))
                raise job_refused(
                    f"{_at(fight)}: {quote.bookmaker} prices {sorted(prices)}, but the fighters are {names}"
                )
            if dated and quote.as_of is None:
                raise job_refused(f"{_at(fight)}: max_quote_age_seconds is set, but {quote.bookmaker} has no as_of")


def _at(fight: Fight) -> str:
    return f"fight {fight.id!r}"


def _check_record(record: DeclaredRecord, fighter: Fighter, event_start: datetime, where: str) -> None:
    def refused(field: str, message: str) -> JobRefusedError:
        return job_refused(f"{where}: `record.{field}` of {fighter.name!r} {message}", field=f"record.{field}")

    if not fighter.debut:
        raise job_refused(
            f"{where}: `record` of {fighter.name!r} is for debutants, whose bouts the fight log lacks: set `debut`, or "
            "leave the record out",
            field="record",
        )
    bouts = record.wins + record.losses + record.draws
    if bouts > MAX_DECLARED_BOUTS:
        raise refused("wins", f"and its losses and draws are {bouts} bouts: at most {MAX_DECLARED_BOUTS} are believed")
    for whole in ("wins", "losses"):
        parts = [f"{method}_{whole}" for method in ("knock_out", "submission")]
        known = [getattr(record, part) or 0 for part in parts]
        if sum(known) > getattr(record, whole):
            field = parts[0] if known[0] else parts[1]
            raise refused(field, f"makes {sum(known)} finishes of {getattr(record, whole)} {whole}: correct the counts")
    if record.last_bout is None:
        return
    today = datetime.now(UTC).date() + timedelta(days=1)  # somewhere on earth it is tomorrow
    if record.last_bout >= event_start.date():
        raise refused("last_bout", f"is {record.last_bout}, not before the fight on {event_start:%Y-%m-%d}")
    if record.last_bout > today:
        raise refused("last_bout", f"is {record.last_bout}, in the future: a result cannot be known yet")


@lru_cache(maxsize=4096)  # the same fighters are on every version of a card; a name has at most 120 characters
def normalise_name(name: str) -> str:
    """Return a name without differences in case and spaces."""
    return " ".join(name.casefold().split())


def _check_weights(weights: MemberWeights) -> None:
    total = math.fsum((weights.random_forest, weights.xgboost, weights.neural_network))
    if abs(total - 1.0) > 1e-9:
        raise job_refused(f"model_weights must sum to 1, not {total:g}")


def _floats(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _floats(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _floats(item, f"{path}[{index}]")
