from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.contracts import codec
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from ledger.contracts.jobs import CheckHealth, DeclaredRecord, Fight, Fighter, Job, PredictCard, Quote, TrainEnsemble

REFUSALS = {FailureCode.INVALID_INPUT, FailureCode.UNSUPPORTED_SCHEMA}
# Not blank, by the regular expression's idea of blank, which has fewer characters than Python's.
words = st.from_regex(r"\A[^\ud800-\udfff]{0,60}[^\ud800-\udfff\s][^\ud800-\udfff]{0,59}\Z")
moments = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))
numbers = st.floats(allow_nan=False, allow_infinity=False)
optional_moments = st.none() | moments


records = st.builds(
    lambda wins, losses, **others: DeclaredRecord(
        wins=wins, losses=losses, knock_out_wins=wins // 2, submission_wins=wins - wins // 2, **others
    ),
    st.integers(0, 60),
    st.integers(0, 60),
    draws=st.integers(0, 60),
    submission_losses=st.sampled_from([None, 0]),
    last_bout=st.none() | st.dates(date(1800, 1, 1), date(1899, 1, 1)),
)


@st.composite
def fights(draw: st.DrawFn, number: int) -> Fight:
    names = draw(st.lists(words, min_size=2, max_size=2, unique_by=lambda name: tuple(name.casefold().split())))
    corners = draw(st.sampled_from([("red", "blue"), ("blue", "red"), ("unknown", "unknown"), ("red", "unknown")]))
    first, second = (
        Fighter(
            name=name,
            corner=corner,
            debut=(debut := draw(st.booleans())),
            date_of_birth=draw(st.none() | st.dates(date.min)),
            record=draw(st.none() | records) if debut else None,
        )
        for name, corner in zip(names, corners, strict=True)
    )
    price = st.floats(1.0, 1001.0, exclude_min=True)
    quotes = [
        Quote(bookmaker=maker, prices={name: draw(price) for name in names}, as_of=draw(optional_moments))
        for maker in draw(st.lists(words, max_size=3))
    ]
    features = draw(st.none() | st.dictionaries(words, st.none() | numbers, max_size=5))
    rounds = draw(st.sampled_from([None, 3, 5]))
    return Fight(
        id=f"{number}", fighters=(first, second), quotes=tuple(quotes), features=features, scheduled_rounds=rounds
    )


@st.composite
def cards(draw: st.DrawFn) -> PredictCard:
    return PredictCard(
        card_id=draw(words),
        event_start=draw(moments),
        deadline=draw(optional_moments),
        fights=tuple(draw(fights(number)) for number in range(draw(st.integers(1, 3)))),
    )


jobs = st.one_of(
    cards(),
    st.builds(CheckHealth, model=words, nonce=words.map(lambda word: word[:64]), deadline=optional_moments),
    st.builds(
        TrainEnsemble,
        data=words,
        seed=st.integers(0, 2**32 - 1),
        max_memory_mb=st.floats(0, exclude_min=True, allow_infinity=False),
        deadline=optional_moments,
    ),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def read(payload: bytes) -> Job | Failure:
    try:
        return codec.decode_job(payload)
    except JobRefusedError as refusal:
        return refusal.failure


def refused_or_read(payload: bytes) -> None:
    found = read(payload)
    if isinstance(found, Failure):
        assert found.code in REFUSALS
        assert found.message
    else:
        assert codec.decode_job(codec.encode(found)) == found


@given(jobs)
def test_a_job_comes_back_as_it_was(job: Job) -> None:
    payload = codec.encode(job)
    assert codec.decode_job(payload) == job
    assert codec.encode(codec.decode_job(payload)) == payload


@given(
    st.recursive(
        st.floats() | st.integers() | st.text(max_size=9) | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
        max_leaves=8,
    )
)
def test_only_finite_numbers_travel_wherever_they_stand(value: Any) -> None:
    failure = Failure(code=FailureCode.INTERNAL, message="m", details={"value": value})
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        with pytest.raises(ValueError, match="only finite numbers travel"):
            codec.encode(failure)
    else:
        assert b'"value":' in codec.encode(failure)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(payload: bytes) -> None:
    refused_or_read(payload)


@given(json_values)
def test_any_json_is_refused_or_read(value: Any) -> None:
    refused_or_read(json.dumps(value).encode())


@given(jobs, st.data())
def test_a_job_with_anything_in_any_place_is_refused_or_read(job: Job, data: st.DataObject) -> None:
    body = json.loads(codec.encode(job))
    holder: Any = {"": body}
    key: Any = ""
    while isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
        holder = holder[key]
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[key] = data.draw(json_values)
    refused_or_read(json.dumps(holder[""] if key == "" else body).encode())


@given(jobs, st.integers(0, 10_000), st.integers(0, 255))
def test_a_job_with_one_byte_changed_is_refused_or_read(job: Job, place: int, byte: int) -> None:
    payload = bytearray(codec.encode(job))
    payload[place % len(payload)] = byte
    refused_or_read(bytes(payload))
