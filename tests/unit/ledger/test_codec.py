from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from ledger.contracts import codec, lazy_decoder
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from ledger.contracts.jobs import MAX_FIGHTS, MAX_PAYLOAD_BYTES, CheckHealth, MemberWeights, PredictCard, TrainEnsemble
from ledger.contracts.lazy_decoder import LazyDecoder
from ledger.contracts.reports import HealthReport


def fight(**fields: Any) -> dict[str, Any]:
    return {"id": "1", "fighters": [{"name": "Ana"}, {"name": "Bea"}]} | fields


def card(*fights: dict[str, Any], **fields: Any) -> bytes:
    job = {"kind": "predict_card", "card_id": "c", "event_start": "2099-01-01T00:00:00Z", "fights": fights or [fight()]}
    return json.dumps(job | fields).encode()


def quoted(ana: Any, bea: Any = 2.0, **fields: Any) -> bytes:
    return card(fight(quotes=[{"bookmaker": "B", "prices": {"Ana": ana, "Bea": bea}} | fields]))


def refusal(payload: bytes) -> Failure:
    with pytest.raises(JobRefusedError) as caught:
        codec.decode_job(payload)
    return caught.value.failure


def test_a_card_is_read() -> None:
    job = codec.decode_job(card(fight(title_bout=True), deadline="2099-01-02T01:00:00+01:00"))
    assert isinstance(job, PredictCard)
    assert job.deadline == datetime(2099, 1, 2, tzinfo=UTC)
    assert [fighter.name for fighter in job.fights[0].fighters] == ["Ana", "Bea"]


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (b"", "not valid JSON"),
        (b"\x00\xff\xfe", "not valid JSON"),
        (b"\x80\x04\x95\x10", "not valid JSON"),
        (b'{"kind": "check_health"', "not valid JSON"),
        (b"[1, 2]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b'{"kind": "check_health", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
        (b'{"kind": "check_health", "nonce": "\xff"}', "utf-8"),
        (b'{"nonce": "x"}', "kind"),
        (b'{"kind": "launch"}', "launch"),
        (card(event_start="2099-01-01T00:00:00"), "event_start"),
        (card(event_start="tomorrow"), "event_start"),
        (card(fight(fighters=[{"name": "Ana"}])), "fighters"),
        (card(fight(fighters=[{"name": ""}, {"name": "Bea"}])), "name"),
        (card(fight(fighters=[{"name": "Ana"}, {"name": "ANA"}])), "cannot be both fighters"),
        (card(fight(fighters=[{"name": "Ana"}, {"name": " \t"}])), "name is blank"),
        (card(fight(fighters=[{"name": "Ana"}, {"name": ""}])), "name"),
        (quoted(2.0, bookmaker=" "), "bookmaker is blank"),
        (card(fight(), fight()), "'1' appears twice"),
        (card(fight(fighters=[{"name": n, "corner": "red"} for n in "ab"])), "both fighters have the red corner"),
        (card(fight(scheduled_rounds=4)), "scheduled_rounds"),
        (card(intervals={"levels": [1.0]}), "levels"),
        (card(intervals={"levels": []}), "levels"),
        (quoted(-150), "prices"),
        (quoted(1.0), "prices"),
        (quoted(1002), "prices"),
        (quoted("2.0"), "prices"),
        (quoted(float("nan")), "not valid JSON"),
        (quoted(float("inf")), "not valid JSON"),
        (quoted(2.0).replace(b'"Bea": 2.0', b'"Bea": 1e999'), "out of range"),
        (quoted(2.0).replace(b'"Bea": 2.0', b'"Cleo": 2.0'), "B prices ['Ana', 'Cleo']"),
        (quoted(2.0, as_of="2099-01-01"), "as_of"),
        (b'{"kind": "train_ensemble", "data": ""}', "data"),
        (b'{"kind": "train_ensemble", "data": "d", "seed": -1}', "seed"),
        (b'{"kind": "train_ensemble", "data": "d", "data_digest": "ab"}', "data_digest"),
        (b'{"kind": "train_ensemble", "data": "d", "model_weights": {"forest": 1}}', "forest"),
    ],
)
def test_what_cannot_be_a_job_is_refused_and_named(payload: bytes, named: str) -> None:
    failure = refusal(payload)
    assert failure.code is FailureCode.INVALID_INPUT
    assert named in failure.message
    assert not failure.retryable


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"losses": 1}, "wins"),
        ({"wins": -1, "losses": 1}, "record.wins"),
        ({"wins": 1, "losses": 201}, "record.losses"),
        ({"wins": 190, "losses": 8, "draws": 3}, "`record.wins` of 'Bea' and its losses and draws are 201 bouts"),
        ({"wins": 4, "losses": 1, "knock_out_wins": 5}, "`record.knock_out_wins` of 'Bea' makes 5 finishes of 4 wins"),
        ({"wins": 4, "losses": 1, "submission_wins": 5}, "`record.submission_wins`"),
        ({"wins": 4, "losses": 1, "knock_out_losses": 1, "submission_losses": 1}, "`record.knock_out_losses`"),
        ({"wins": 4, "losses": 1, "last_bout": "2099-01-01"}, "`record.last_bout` of 'Bea' is 2099-01-01, not before"),
        ({"wins": 4, "losses": 1, "last_bout": "2098-12-31"}, "`record.last_bout` of 'Bea' is 2098-12-31, in the futu"),
        ({"wins": 4, "losses": 1, "last_bout": "soon"}, "record.last_bout"),
    ],
)
def test_a_record_that_cannot_be_is_refused_and_its_field_named(record: dict[str, object], field: str) -> None:
    debutant = {"name": "Bea", "debut": True}
    failure = refusal(card(fight(fighters=[{"name": "Ana"}, debutant | {"record": record}])))
    assert failure.code is FailureCode.INVALID_INPUT
    assert field in failure.message


def test_a_record_is_for_debutants() -> None:
    whole = {"wins": 100, "losses": 60, "draws": 40, "knock_out_wins": 50, "submission_wins": 50}
    codec.decode_job(card(fight(fighters=[{"name": "Ana"}, {"name": "Bea", "debut": True, "record": whole}])))
    failure = refusal(card(fight(fighters=[{"name": "Ana"}, {"name": "Bea", "record": whole}])))
    assert "`record` of 'Bea' is for debutants" in failure.message
    assert failure.details["field"] == "record"


def test_weights_that_do_not_sum_to_one_are_refused_with_their_sum() -> None:
    weights = {"random_forest": 0.4, "xgboost": 0.3, "neural_network": 0.2}
    payload = json.dumps({"kind": "train_ensemble", "data": "d", "model_weights": weights}).encode()
    assert "0.9" in refusal(payload).message


def test_weights_that_sum_to_one_but_for_rounding_are_taken() -> None:
    weights = MemberWeights(random_forest=0.1, xgboost=0.2, neural_network=0.7)
    codec.check_job(TrainEnsemble(data="d", model_weights=weights))


@pytest.mark.parametrize("alias", ["a" * 64, "A" * 64])
def test_an_alias_that_could_be_taken_for_a_digest_is_refused(alias: str) -> None:
    payload = json.dumps({"kind": "train_ensemble", "data": "d", "alias": alias}).encode()
    assert "shape of a model's digest" in refusal(payload).message
    codec.check_job(TrainEnsemble(data="d", alias=alias[:63]))
    codec.check_job(TrainEnsemble(data="d", alias=None))


@pytest.mark.parametrize("version", [0, 2, 10**30])
def test_another_schema_version_is_refused_before_anything_else(version: int) -> None:
    failure = refusal(json.dumps({"kind": "of_tomorrow", "schema_version": version, "fights": 7}).encode())
    assert failure.code is FailureCode.UNSUPPORTED_SCHEMA
    assert str(version) in failure.message


def test_ten_megabytes_are_refused_with_figures() -> None:
    failure = refusal(b" " * 10_000_000)
    assert failure.details == {"bytes": 10_000_000, "limit_bytes": MAX_PAYLOAD_BYTES}
    assert "10,000,000" in failure.message


def test_five_hundred_fights_are_too_many() -> None:
    assert "fights" in refusal(card(*(fight(id=str(number)) for number in range(500)))).message
    codec.decode_job(card(*(fight(id=str(number)) for number in range(MAX_FIGHTS))))


def test_an_event_in_the_past_can_be_read() -> None:
    """Whether it is too late is a question to the server's clock, at submit."""
    job = codec.decode_job(card(event_start="1999-01-01T00:00:00Z"))
    assert isinstance(job, PredictCard)
    assert job.event_start.year == 1999


def test_fields_of_tomorrow_are_ignored() -> None:
    plain = codec.decode_job(card())
    assert codec.decode_job(card(fight(mood={"deep": [1]}), weather="fine")) == plain


def test_what_is_written_does_not_depend_on_the_order_it_came_in() -> None:
    one, other = quoted(1.5), quoted(1.5).replace(b'"Ana": 1.5, "Bea": 2.0', b'"Bea": 2.0, "Ana": 1.5')
    assert one != other
    assert len({codec.encode(codec.decode_job(payload)) for payload in (one, other)}) == 1
    payloads = {codec.encode_canonical(codec.decode_job(payload)) for payload in (one, other)}
    assert len(payloads) == 1
    keys = list(json.loads(payloads.pop()))
    assert keys == sorted(keys)


def test_the_digest_is_of_the_content() -> None:
    digest = codec.content_digest(codec.encode(CheckHealth(nonce="a")))
    assert len(digest) == 32
    assert digest == codec.content_digest(codec.encode(CheckHealth(nonce="a")))
    assert digest != codec.content_digest(codec.encode(CheckHealth(nonce="b")))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_without_a_word_in_json_do_not_travel(number: float) -> None:
    for value, path in [
        (HealthReport(status="healthy", checks=(), memory_mb=number), "memory_mb"),
        (Failure(code=FailureCode.INTERNAL, message="m", details={"a": [1.0, {"b": number}]}), r"details\.a\[1\]\.b"),
    ]:
        with pytest.raises(ValueError, match=f"^{path} is"):
            codec.encode(value)


def test_reports_and_failures_round_trip() -> None:
    report = HealthReport(status="healthy", checks=(), memory_mb=0.1 + 0.2)
    assert codec.decode_report(codec.encode(report)) == report
    failure = Failure(code=FailureCode.STALE_ODDS, message="old", retryable=True, details={"age_seconds": 1e-7})
    assert codec.decode_failure(codec.encode(failure)) == failure
    with pytest.raises(msgspec.DecodeError):
        codec.decode_failure(b'{"code": "of_tomorrow", "message": "m"}')


@pytest.mark.parametrize(
    "first_use",
    [
        lambda kind: LazyDecoder(kind).decode(b'{"parts": [{"type": "second"}]}'),
        lambda kind: lazy_decoder.decode(b'{"parts": [{"type": "second"}]}', kind),
        lambda kind: lazy_decoder.convert({"parts": [{"type": "second"}]}, kind),
    ],
    ids=["decoder", "decode", "convert"],
)
def test_threads_may_use_a_type_first_at_the_same_time(first_use: Callable[[Any], Any]) -> None:
    """Describing one struct in several threads at once ends the process; new types, since each is described once."""
    barrier = threading.Barrier(8)

    def use(kind: Any) -> Any:
        barrier.wait(timeout=20)
        return first_use(kind)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            first, second = (
                msgspec.defstruct(name, [(f"field_{number}", int | None, None) for number in range(20)], tag=name)
                for name in ("first", "second")
            )
            whole = msgspec.defstruct("Whole", [("parts", tuple[first | second, ...])])
            answers = list(pool.map(use, [whole] * 8))
            assert [answer.parts for answer in answers] == [(second(),)] * 8
