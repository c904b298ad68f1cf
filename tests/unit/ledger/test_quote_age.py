from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ledger.contracts import codec
from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard, Quote
from ledger.jobs.quote_age import fresh_until, quote_window, stale_odds_failure

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
    failure = stale_odds_failure(card((quote("a", 1),), (quote("b", 3), quote("c", 2))), NOON)
    assert (failure.code, failure.retryable) == (FailureCode.STALE_ODDS, False)
    assert failure.details == {
        "fight": "f2", "bookmaker": "b", "age_seconds": 180.0, "max_quote_age_seconds": 60.0
    }  # fmt: skip
    assert "'f2': the prices of b are 180.0 s old, the limit is 60 s" in failure.message


def test_a_quote_without_its_time_cannot_be_held_to_an_age() -> None:
    with pytest.raises(JobRefusedError, match=r"'f1'.*b has no as_of"):
        codec.check_job(card((quote("a", 1), quote("b", None))))
    codec.check_job(card((quote("b", None),), limit_seconds=None))


@pytest.mark.parametrize("age_seconds", [0, -1, 1e9])
def test_an_age_that_makes_no_sense_is_refused(age_seconds: float) -> None:
    payload = codec.encode(card((quote("a", 1),))).replace(b"60.0", str(age_seconds).encode())
    with pytest.raises(JobRefusedError, match="max_quote_age_seconds"):
        codec.decode_job(payload)


HOUR = 60


@pytest.mark.parametrize(
    ("to_event_minutes", "limit_minutes"),
    [(9 * 24 * HOUR, 24 * HOUR), (2 * 24 * HOUR, 12 * HOUR), (4 * HOUR, HOUR), (30, 15), (0, 15), (-60, 15)],
)
def test_the_older_a_price_may_be_the_longer_the_event_is_off(to_event_minutes: float, limit_minutes: float) -> None:
    read_at = NOON - timedelta(minutes=to_event_minutes)
    job = msgspec.structs.replace(card(limit_seconds=None), priced_at=read_at)
    oldest, newest = quote_window(job)
    assert oldest == read_at - timedelta(minutes=limit_minutes)
    assert newest == read_at + timedelta(minutes=10)
    told = msgspec.structs.replace(job, quote_age_limit_seconds=1.0)
    assert quote_window(told).oldest == read_at - timedelta(seconds=1)


def test_without_the_moment_of_reading_the_newest_price_is_it() -> None:
    job = card((quote("a", 600), quote("b", 8)), (quote("c", -3), quote("d", None)), limit_seconds=None)
    assert quote_window(job) == (NOON - timedelta(minutes=8 + 15), NOON)
    usable = [each.bookmaker for fight in job.fights for each in fight.quotes if quote_window(job).contains(each)]
    assert usable == ["b", "d"]
    replayed = msgspec.structs.replace(job, deadline=NOON + timedelta(hours=1))  # prices of a started event
    assert quote_window(replayed).newest == NOON + timedelta(hours=1)
    assert quote_window(card((quote("d", None),), limit_seconds=None)).oldest is None


def test_the_ends_of_the_calendar_are_no_error() -> None:
    first, last = (datetime(year, 1, 1, tzinfo=UTC) for year in (1, 9999))
    end = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    for moment in (first, last, end):
        job = msgspec.structs.replace(card(limit_seconds=None), priced_at=moment)
        assert quote_window(job).newest >= moment
        dated = Quote(bookmaker="a", prices={"Ana": 2.0, "Bea": 2.0}, as_of=moment)
        assert quote_window(card((dated,), limit_seconds=None)).newest == NOON
