from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger import wire
from ledger.failures import FailureCode, JobRefused
from ledger.freshness import fresh_until, stale_odds
from ledger.jobs import CheckHealth, Fight, Fighter, PredictCard, Quote

NOON = datetime(2099, 1, 1, 12, tzinfo=UTC)


def quote(bookmaker: str, minutes: float | None) -> Quote:
    as_of = None if minutes is None else NOON - timedelta(minutes=minutes)
    return Quote(bookmaker=bookmaker, prices={"Ana": 2.0, "Bea": 2.0}, as_of=as_of)


def card(*fights: tuple[Quote, ...], limit_seconds: float | None = 60.0) -> PredictCard:
    fighters = (Fighter(name="Ana"), Fighter(name="Bea"))
    return PredictCard(
        card_id="c",
        event_start=NOON,
        max_quote_age_seconds=limit_seconds,
        fights=tuple(
            Fight(id=f"f{number}", fighters=fighters, quotes=quotes) for number, quotes in enumerate(fights, start=1)
        ),
    )


@pytest.mark.parametrize(
    ("job", "until"),
    [
        (CheckHealth(), None),
        (card((quote("a", 5),), limit_seconds=None), None),
        (card((), ()), None),
        (card((quote("a", 0),)), NOON + timedelta(seconds=60)),
        (card((quote("a", 0), quote("b", 3)), (quote("a", 1),)), NOON - timedelta(minutes=2)),
    ],
)
def test_the_oldest_quote_decides(job: PredictCard, until: datetime | None) -> None:
    assert fresh_until(job) == until


def test_the_failure_names_fight_bookmaker_and_age() -> None:
    failure = stale_odds(card((quote("a", 1),), (quote("b", 3), quote("c", 2))), NOON)
    assert (failure.code, failure.retryable) == (FailureCode.STALE_ODDS, False)
    assert failure.details == {
        "fight": "f2", "bookmaker": "b", "age_seconds": 180.0, "max_quote_age_seconds": 60.0
    }  # fmt: skip
    assert "'f2': the prices of b are 180.0 s old, the limit is 60 s" in failure.message


def test_a_quote_without_its_time_cannot_be_held_to_an_age() -> None:
    with pytest.raises(JobRefused, match=r"'f1'.*b does not say its as_of"):
        wire.check_job(card((quote("a", 1), quote("b", None))))
    wire.check_job(card((quote("b", None),), limit_seconds=None))


@pytest.mark.parametrize("age_seconds", [0, -1, 1e9])
def test_an_age_that_makes_no_sense_is_refused(age_seconds: float) -> None:
    payload = wire.encode(card((quote("a", 1),))).replace(b"60.0", str(age_seconds).encode())
    with pytest.raises(JobRefused, match="max_quote_age_seconds"):
        wire.decode_job(payload)
