from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.contracts import codec
from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.jobs import MAX_PAYLOAD_BYTES, CheckHealth, Fight, Fighter, Job, PredictCard, Quote
from ledger.ledger import Claim
from tests.support.handler_context import claim_of
from workers.jobs.decoding import decode_claim

READ = datetime(2099, 1, 1, 12, tzinfo=UTC)
QUOTE = Quote(bookmaker="Acme", prices={"Ana": 2.0, "Bea": 2.0}, as_of=READ)
FIGHT = Fight(id="main event", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=(QUOTE,))
CARD = PredictCard(card_id="c", event_start=READ, fights=(FIGHT,), max_quote_age_seconds=60.0)


def claim(job: Job | bytes, *, kind: str = "predict_card", after_seconds: float = 0.0) -> Claim:
    return claim_of(
        kind,
        job if isinstance(job, bytes) else codec.encode(job),
        submitted_at=READ,
        claimed_at=READ + timedelta(seconds=after_seconds),
    )


def test_a_claim_holds_the_job_that_was_submitted() -> None:
    assert decode_claim(claim(CARD, after_seconds=59.9)) == CARD
    assert decode_claim(claim(CheckHealth(), kind="check_health")) == CheckHealth()


def test_quotes_that_grew_too_old_in_the_queue_are_not_predicted() -> None:
    with pytest.raises(JobRefusedError) as caught:
        decode_claim(claim(CARD, after_seconds=90.0))
    assert caught.value.failure.code is FailureCode.STALE_ODDS
    assert caught.value.failure.details["age_seconds"] == 90.0


@pytest.mark.parametrize(
    ("payload", "kind", "said"),
    [
        (b"!", "predict_card", "not valid JSON"),
        (b" " * (MAX_PAYLOAD_BYTES + 1), "predict_card", "the limit is 1,000,000"),
        (codec.encode(CheckHealth()), "predict_card", "has kind predict_card, its payload check_health"),
        (codec.encode(CheckHealth()), "os.system", "has kind os.system"),
        (b'{"kind": "os.system"}', "os.system", "os.system"),
    ],
)
def test_what_did_not_come_through_submit_reaches_no_handler(payload: bytes, kind: str, said: str) -> None:
    with pytest.raises(JobRefusedError, match=said) as caught:
        decode_claim(claim(payload, kind=kind))
    assert caught.value.failure.code is FailureCode.INVALID_INPUT
