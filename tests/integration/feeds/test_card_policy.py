"""Cards follow the prices: several runners that read one movement, or read it twice, make one job."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import Fight, Fighter, PredictCard, Quote
from ledger.ledger import Ledger, LedgerSettings
from producer.client import Client
from producer.feed_runner.card_policy import CardPolicy, submit_moved_cards
from producer.polling import CardSubmission, card_name


@pytest.fixture
def client(ledger: Ledger) -> Client:
    return Client(ledger)


class Readings:
    """Readings of one card, a minute after each other."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)
        self.start = self.now + timedelta(days=2)

    def card(self, ana: float = 1.9, *, minutes: float = 1.0, card_id: str = "c", fights: int = 1) -> PredictCard:
        self.now += timedelta(minutes=minutes)
        return PredictCard(
            card_id=card_id,
            event_start=self.start,
            priced_at=self.now,
            fights=tuple(
                Fight(
                    id=f"f{number}",
                    fighters=(Fighter(name=f"Ana {number}"), Fighter(name=f"Bea {number}")),
                    quotes=(Quote(bookmaker="a", prices={f"Ana {number}": ana, f"Bea {number}": 1.9}, as_of=self.now),),
                )
                for number in range(fights)
            ),
        )


@pytest.fixture
def readings() -> Readings:
    return Readings()


def submit(client: Client, card: PredictCard, **options: dict[str, str]) -> CardSubmission:
    [entry] = submit_moved_cards(client, [card], CardPolicy(step=0.01), **options)
    return entry


def job_of(entry: CardSubmission) -> str:
    assert entry.receipt is not None, entry.refused
    return entry.receipt.job_id


def test_a_movement_supersedes_the_answer_that_waits(client: Client, readings: Readings) -> None:
    first = submit(client, readings.card())
    same = submit(client, readings.card(1.91))
    assert (job_of(same), same.unchanged) == (job_of(first), True)
    moved = submit(client, readings.card(2.1))
    assert not moved.unchanged
    status = client.status(job_of(first))
    assert (status.state, status.superseded_by) == (JobState.CANCELLED, job_of(moved))
    back = submit(client, readings.card())
    assert client.status(job_of(moved)).superseded_by == job_of(back)
    assert job_of(back) != job_of(first)
    assert client.ledger.card_answers.count("c") == 3


def test_small_movements_add_up(client: Client, readings: Readings) -> None:
    jobs = [job_of(submit(client, readings.card(1.9 + 0.01 * step))) for step in range(10)]
    assert jobs[0] == jobs[3]  # within the step of the last answer, not of the last reading
    assert 2 <= len(set(jobs)) <= 4


def test_the_same_reading_again_makes_no_second_job(client: Client, readings: Readings) -> None:
    card = readings.card()
    first = submit(client, card)
    assert job_of(submit(client, card)) == job_of(first)
    client.ledger.server.execute("DEL", client.ledger.feeds._request_key(card_name(card)))  # as after an outage
    again = submit(client, readings.card())
    assert (job_of(again), again.unchanged) == (job_of(first), True)
    assert client.ledger.card_answers.count("c") == 1


def test_an_older_reading_makes_no_job(client: Client, readings: Readings) -> None:
    older = readings.card(3.0)
    first = submit(client, readings.card())
    assert job_of(submit(client, older)) == job_of(first)


def test_runners_at_once_make_one_job_of_a_movement(
    client: Client, readings: Readings, ledger_settings: LedgerSettings
) -> None:
    first = submit(client, readings.card())
    cards = [readings.card(2.1 + 0.001 * number, minutes=0.01) for number in range(4)]
    found: list[str] = []
    ready = threading.Barrier(len(cards))

    def run(card: PredictCard) -> None:
        with Client(Ledger.connect(ledger_settings)) as own:
            ready.wait()
            found.append(job_of(submit(own, card)))

    threads = [threading.Thread(target=run, args=(card,)) for card in cards]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert client.status(job_of(first)).superseded_by == found[0]
    assert client.ledger.card_answers.count("c") == 2


def test_a_job_without_a_report_is_followed_by_one_of_the_next_reading(client: Client, readings: Readings) -> None:
    card = readings.card()
    first = submit(client, card)
    [claim] = client.ledger.claim("predict", "w#1/1")
    client.ledger.settle(claim, Failure(code=FailureCode.MODEL_NOT_FOUND, message="none"))
    assert job_of(submit(client, card)) == job_of(first)
    assert job_of(submit(client, readings.card())) != job_of(first)


def test_an_answered_card_is_marked(client: Client, readings: Readings) -> None:
    first = submit(client, readings.card())
    [claim] = client.ledger.claim("predict", "w#1/1")
    client.ledger.settle(claim, Failure(code=FailureCode.INTERNAL, message="x"))
    moved = submit(client, readings.card(2.5))
    outcome = client.outcome(job_of(first))
    assert outcome is not None
    assert outcome.superseded_by == job_of(moved)


def test_a_fight_less_is_a_new_answer(client: Client, readings: Readings) -> None:
    both = submit(client, readings.card(fights=2))
    one = submit(client, readings.card())
    assert client.status(job_of(both)).superseded_by == job_of(one)


def test_a_card_that_moved_supersedes_the_card_before(client: Client, readings: Readings) -> None:
    before = submit(client, readings.card())
    readings.start += timedelta(hours=1)
    after = submit(client, readings.card(card_id="d"), replaces={"d": "c"})
    assert client.status(job_of(before)).superseded_by == job_of(after)


def test_a_refused_card_does_not_affect_others(client: Client, readings: Readings) -> None:
    sound = readings.card()
    begun = PredictCard(
        card_id="begun", event_start=readings.now, fights=(msgspec.structs.replace(sound.fights[0], id="other"),)
    )
    refused, accepted = submit_moved_cards(client, [begun, sound])
    assert refused.refused is not None
    assert refused.refused.code is FailureCode.EXPIRED
    assert accepted.receipt is not None
