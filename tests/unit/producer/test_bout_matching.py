"""Duplicates and contradictions among the fights of feeds, and the shared stakes of a night."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import msgspec
import pytest

from ledger.contracts import codec
from ledger.contracts.bouts import bout_key, fighter_key, is_mma
from ledger.contracts.jobs import Fight, Fighter, PredictCard
from ledger.feeds.listed_fights import ListedFight
from producer.feed.bout_matching import listed_fights, match_fights

NIGHT = datetime(2099, 1, 3, 23, 45, tzinfo=UTC)


def card(*fights: tuple[str, str, str], hours: float = 0.0) -> PredictCard:
    start = NIGHT + timedelta(hours=hours)
    return PredictCard(
        card_id=f"card@{start}",
        event_start=start,
        fights=tuple(Fight(id=name, fighters=(Fighter(name=one), Fighter(name=other))) for name, one, other in fights),
    )


def found(cards: list[PredictCard]) -> dict[str, tuple[str | None, tuple[str, ...]]]:
    return {fight.id: (fight.same_bout_as, fight.conflicts_with) for card in cards for fight in card.fights}


def seen(job: PredictCard, listed: int) -> list[ListedFight]:
    return [msgspec.structs.replace(fight, listed=listed) for fight in listed_fights([job])]


FREE: tuple[str | None, tuple[str, ...]] = (None, ())
SPELLINGS = [("Ana Núñez", "Bea O'Neil"), ("Bea ONeil", "ana nunez"), ("Núñez Ana", "BEA  O'NEIL JR.")]


@pytest.mark.parametrize("spelt", SPELLINGS)
@pytest.mark.parametrize("hours", [0.0, 0.5, 23.9])
def test_one_bout_under_two_ids_is_bet_on_once(spelt: tuple[str, str], hours: float) -> None:
    """On one card, or half an hour later on another day."""
    first, second = ("d1", "Ana Núñez", "Bea O'Neil"), ("d2", *spelt)
    cards = [card(first, second)] if hours == 0 else [card(first), card(second, hours=hours)]
    assert found(match_fights(cards)) == {"d1": FREE, "d2": ("d1", ())}


def test_a_rematch_is_another_bout() -> None:
    assert set(found(match_fights([card(("d1", "Ana", "Bea")), card(("d2", "Bea", "Ana"), hours=24)])).values()) == {
        FREE
    }


def test_a_feed_that_contradicts_itself_is_not_bet_on() -> None:
    fights = [("a", "Ana", "Bea"), ("b", "Cleo", "Ana"), ("c", "Dora", "Eve")]
    for order in permutations(fights):
        assert found(match_fights([card(*order[:2]), card(order[2], hours=3)])) == {
            "a": (None, ("b",)),
            "b": (None, ("a",)),
            "c": FREE,
        }
    assert set(found(match_fights([card(fights[0]), card(fights[1], hours=24)])).values()) == {FREE}  # another day


def test_what_was_listed_first_keeps_the_bout() -> None:
    """Whatever its id, its start by now, and whether the feed still lists it."""
    old, new = card(("z", "Ana", "Bea")), card(("a", "Bea", "Ana"), hours=0.5)
    earlier = [*seen(old, 1), *seen(new, 2)]
    assert found(match_fights([new, old], earlier)) == {"a": ("z", ()), "z": FREE}
    assert found(match_fights([new], earlier)) == {"a": ("z", ())}
    assert found(match_fights([old], earlier)) == {"z": FREE}
    assert found(match_fights([card(("a", "Bea", "Ana"), hours=48)], earlier)) == {"a": FREE}  # postponed


def test_another_opponent_than_in_an_earlier_reading_is_no_contradiction() -> None:
    earlier = seen(card(("a", "Ana", "Bea")), 1)
    assert found(match_fights([card(("b", "Ana", "Cleo"))], earlier)) == {"b": FREE}


def test_the_cards_of_a_night_share_its_cap() -> None:
    main = card(("a", "Ana", "Bea"), ("b", "Cleo", "Dora"), ("c", "Eve", "Flo"), hours=3)
    prelims, next_week = card(("d", "Gia", "Hal")), card(("e", "Ida", "Jo"), hours=168)
    assert [job.stake_share for job in match_fights([prelims, main, next_week])] == [0.25, 0.75, 1.0]
    # The prelims have begun and left the feed: what may have been staked on them stays theirs.
    assert [job.stake_share for job in match_fights([main], seen(prelims, 1))] == [0.75]


def test_a_feed_without_any_of_it_makes_the_jobs_that_it_always_made() -> None:
    job = card(("a", "Ana", "Bea"), ("b", "Cleo", "Dora"))
    assert match_fights([job]) == [job]
    for name in (b"same_bout_as", b"conflicts_with", b"stake_share", b"priced_at"):
        assert name not in codec.encode(job)


def test_what_spellings_have_in_common() -> None:
    assert fighter_key("Zhang Weili") == fighter_key("Weili  ZHANG")
    assert fighter_key("José Aldo, Jr.") == fighter_key("jose aldo")
    assert fighter_key("???") != fighter_key("!!!")
    assert bout_key("Ana", "Bea") == bout_key("BEA", "ana")
    assert not is_mma("ammattilaisnyrkkeily")
