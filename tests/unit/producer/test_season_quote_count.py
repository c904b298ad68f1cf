"""The counts find what a faulty service would leave, and nothing in what a sound one leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ledger.contracts.feeds import RetrievalRecord
from ledger.contracts.prices import PriceChange
from producer.season.quote_count import Reading, count_quotes, readings_of, with_unlisted
from producer.service.played_provider import PlayedRequest
from producer.service.played_season import PlayedSeason

BEGINS = 1_790_000_000.0
ANN, BEA = "Ann Archer", "Bea Baker"
ODDS = "/odds"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(BEGINS + seconds, UTC)


LISTING = {
    "id": "fight-1",
    "fighters": [ANN, BEA],
    "listed": [[0, 100]],
    "starts": [[0, 90]],
    "moves": [[1, "Blue Corner", [-150, 130]], [2, "Ringside", [100, -120]], [5, "Blue Corner", None]],
    "results": [],
}
SEASON = PlayedSeason.from_document(
    {"format": "simulated season", "version": 1, "length_seconds": 100, "bouts": [{"listings": [LISTING]}]}, BEGINS, 1.0
)
READINGS = [Reading(_moment(seconds + 0.05), BEGINS + seconds) for seconds in (0.5, 1.5, 3, 4, 6, 7)]


def _change(seconds: float, bookmaker: str, fighter: str, price: float | None) -> PriceChange:
    return PriceChange(
        fight_id="fight-1", bookmaker=bookmaker, fighter=fighter, price=price, read_at=_moment(seconds + 0.05)
    )


HISTORY = (
    _change(1.5, "bluecorner", ANN, 1 + 100 / 150),
    _change(1.5, "bluecorner", BEA, 2.3),
    _change(3, "ringside", ANN, 2.0),
    _change(3, "ringside", BEA, 1 + 100 / 120),
    _change(6, "bluecorner", ANN, None),
    _change(6, "bluecorner", BEA, None),
)


def test_a_right_history_is_right() -> None:
    count = count_quotes(SEASON, READINGS, {"fight-1": HISTORY})
    assert (count.expected, count.right) == (3, True)


def test_each_lost_change_is_found() -> None:
    for left_out in range(0, len(HISTORY), 2):
        history = HISTORY[:left_out] + HISTORY[left_out + 2 :]
        count = count_quotes(SEASON, READINGS, {"fight-1": history})
        assert len(count.lost) >= 1
    assert len(count_quotes(SEASON, READINGS, {"fight-1": ()}).lost) == 3


def test_half_a_change_is_lost() -> None:
    assert count_quotes(SEASON, READINGS, {"fight-1": HISTORY[:1] + HISTORY[2:]}).lost


def test_a_change_kept_twice_is_found() -> None:
    again = msgspec.structs.replace(HISTORY[0], read_at=_moment(4.05))
    count = count_quotes(SEASON, READINGS, {"fight-1": (*HISTORY[:4], again, *HISTORY[4:])})
    assert (len(count.doubled), count.lost) == (1, ())
    count = count_quotes(SEASON, READINGS, {"fight-1": (*HISTORY[:1], *HISTORY)})
    assert (len(count.doubled), count.lost) == (1, ())


@pytest.mark.parametrize("change", [_change(4, "ringside", ANN, 2.1), _change(4, "parlour", ANN, 2.0)])
def test_a_price_that_was_never_played_is_found(change: PriceChange) -> None:
    other = msgspec.structs.replace(change, fighter=BEA)
    count = count_quotes(SEASON, READINGS, {"fight-1": (*HISTORY[:4], change, other, *HISTORY[4:])})
    assert len(count.wrong) == 1


def test_a_price_with_the_moment_of_another_reading_is_found() -> None:
    moved = tuple(msgspec.structs.replace(change, read_at=_moment(4.05)) for change in HISTORY[2:4])
    count = count_quotes(SEASON, READINGS, {"fight-1": (*HISTORY[:2], *moved, *HISTORY[4:])})
    assert (len(count.lost), len(count.wrong)) == (1, 1)


def test_an_older_reading_leaves_nothing() -> None:
    late = Reading(_moment(2), BEGINS + 6)
    assert count_quotes(SEASON, [*READINGS[:4], late, *READINGS[4:]], {"fight-1": HISTORY}).right


def test_a_fight_of_which_nothing_is_kept_is_lost_altogether() -> None:
    assert not count_quotes(SEASON, READINGS, {}).right


def test_readings_are_matched_by_the_digest_of_what_was_sent() -> None:
    requests = [
        PlayedRequest(BEGINS + 1, ODDS, 200, "aa"),
        PlayedRequest(BEGINS + 2, ODDS, 500),
        PlayedRequest(BEGINS + 3, "/scores", 200, "bb"),
        PlayedRequest(BEGINS + 4, ODDS, 200, "cc"),
    ]
    retrievals = [
        RetrievalRecord(read_at=_moment(seconds), sha256=digest, payload_bytes=2)
        for seconds, digest in ((1.1, "aa"), (3.1, "bb"), (4.1, "cc"))
    ]
    readings, unknown = readings_of(retrievals, requests, ODDS)
    assert readings == [Reading(_moment(1.1), BEGINS + 1), Reading(_moment(4.1), BEGINS + 4)]
    assert len(unknown) == 1


def _request(seconds: float, sha256: str = "aa") -> PlayedRequest:
    return PlayedRequest(BEGINS + seconds, ODDS, 200, sha256)


def test_a_reading_whose_runner_was_killed_before_it_was_listed_is_found_by_its_prices() -> None:
    listed = [READINGS[0], *READINGS[2:]]  # without the one that brought the first prices
    requests = [_request(seconds) for seconds in (0.5, 1.4, 1.5, 3, 4, 6, 7)]
    assert not count_quotes(SEASON, listed, {"fight-1": HISTORY}).right
    found = with_unlisted(SEASON, listed, requests, ODDS, {"fight-1": HISTORY})
    assert [reading.read_at for reading in found] == [reading.read_at for reading in READINGS]
    assert count_quotes(SEASON, found, {"fight-1": HISTORY}).right


def test_prices_that_no_request_showed_are_not_taken_for_such_a_reading() -> None:
    forged = tuple(msgspec.structs.replace(change, price=9.0, read_at=_moment(4.5)) for change in HISTORY[:1]) + tuple(
        msgspec.structs.replace(change, price=1.1, read_at=_moment(4.5)) for change in HISTORY[1:2]
    )
    history = {"fight-1": (*HISTORY[:4], *forged, *HISTORY[4:])}
    found = with_unlisted(SEASON, READINGS, [_request(4.4)], ODDS, history)
    assert found == READINGS
    assert count_quotes(SEASON, found, history).wrong


def test_a_half_of_such_a_reading_is_lost() -> None:
    listed = [READINGS[0], *READINGS[2:]]
    history = {"fight-1": HISTORY[1:]}
    found = with_unlisted(SEASON, listed, [_request(1.5)], ODDS, history)
    assert count_quotes(SEASON, found, history).lost


def test_rounding_of_a_moment_is_no_fault() -> None:
    shifted = tuple(
        msgspec.structs.replace(change, read_at=change.read_at + timedelta(microseconds=1)) for change in HISTORY
    )
    assert count_quotes(SEASON, READINGS, {"fight-1": shifted}).right
