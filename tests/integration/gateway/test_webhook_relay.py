"""Relays as processes: deliveries in order, retries, rotation, several relays, kills, outages."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from msgspec import structs

from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard
from ledger.contracts.webhooks import Webhook, WebhookChange, WebhookDefinition
from ledger.ledger import Ledger, LedgerSettings
from ledger.webhooks.delivery_queue import secrets_key
from tests.support.claims import FAILURE, OWNER, REPORT
from tests.support.fork_server import ForkedProcess
from tests.support.relays import free_port, running_relay, start_relay, stop
from tests.support.webhook_receiver import OK, Post, Reply, WebhookReceiver

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

Until = Callable[..., None]
SOON = datetime.now(UTC) + timedelta(days=1)
PATIENCE_SECONDS = 60.0
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def ledger_settings(ledger_settings: LedgerSettings) -> LedgerSettings:
    return replace(ledger_settings, lease_seconds=2.0, webhook_allowed_hosts="127.0.0.1,localhost")


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as running:
        yield running


def subscribe(ledger: Ledger, receiver: WebhookReceiver, **fields: object) -> Webhook:
    definition = WebhookDefinition(url=receiver.url, kinds=("check_health", "predict_card"))
    created = ledger.webhooks.create(structs.replace(definition, **fields), user="ann")
    receiver.secrets.append(created.secret)
    return created.webhook


def settle(ledger: Ledger, *names: str, card: str | None = None, traceparent: str | None = None) -> None:
    """Settle jobs in this order: health checks, or with `card` failures of that card."""
    for name in names:
        job: CheckHealth | PredictCard = CheckHealth(nonce=name)
        if card is not None:
            fighters = (Fighter(name="Ana"), Fighter(name="Bea"))
            job = PredictCard(card_id=card, event_start=SOON, fights=(Fight(id=name, fighters=fighters),))
        ledger.submit(job, key=name, traceparent=traceparent)
        (claim,) = ledger.claim("predict", OWNER)
        assert ledger.settle(claim, REPORT if card is None else FAILURE)


def firsts(receiver: WebhookReceiver, card: str) -> list[str]:
    """The jobs of a card in the order in which they came first."""
    return list(dict.fromkeys(post.job for post in list(receiver.posts) if post.card == card))


def test_outcomes_arrive_signed_and_once(
    ledger: Ledger, ledger_settings: LedgerSettings, receiver: WebhookReceiver, tmp_path: Path, until: Until
) -> None:
    webhook = subscribe(ledger, receiver)
    port = free_port()
    with running_relay(ledger_settings, tmp_path / "relay.log", CORNERMAN_RELAY_HTTP_PORT=str(port)) as relay:
        names = [f"job{number}" for number in range(50)]
        settle(ledger, *names[1:])
        settle(ledger, names[0], traceparent=TRACEPARENT)
        until(lambda: ledger.webhooks.get(webhook.id).delivered == 50, PATIENCE_SECONDS)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert [http.get(path).json() for path in ("/healthz", "/readyz")] == [{"status": "passed"}] * 2
            assert 'cornerman_webhook_attempts_total{result="delivered"} 50.0' in http.get("/metrics").text
            assert http.get("/").status_code == 404
        taken = start_relay(ledger_settings, tmp_path / "other.log", CORNERMAN_RELAY_HTTP_PORT=str(port))
        assert taken.wait(PATIENCE_SECONDS) == 71
        assert (
            (tmp_path / "other.log").read_text().startswith(f"127.0.0.1:{port} cannot be used: Address already in use")
        )
        assert stop(relay) == 0
    assert sorted(receiver.jobs()) == sorted(names)
    assert len(receiver.posts) == 50
    assert all(post.verified for post in receiver.posts)
    assert {post.headers["traceparent"]: post.job for post in receiver.posts if "traceparent" in post.headers} == {
        TRACEPARENT: names[0]
    }
    assert {post.body["type"] for post in receiver.posts} == {"outcome.succeeded"}
    attempts = ledger.webhooks.deliveries(webhook.id)
    assert {(each.result, each.status_code, each.attempt) for each in attempts} == {("delivered", 204, 1)}
    assert ledger.webhooks.get(webhook.id).relay is None


def test_filters_choose(
    ledger: Ledger, ledger_settings: LedgerSettings, receiver: WebhookReceiver, tmp_path: Path, until: Until
) -> None:
    webhook = subscribe(ledger, receiver, cards=("ufc-*",), states=("failed",))
    with running_relay(ledger_settings, tmp_path / "relay.log"):
        settle(ledger, "other", card="bellator-1")
        settle(ledger, "health")
        settle(ledger, "wanted", card="ufc-1")
        until(lambda: receiver.posts, PATIENCE_SECONDS)
        assert receiver.jobs() == ["wanted"]
        ledger.webhooks.change(webhook.id, WebhookChange(cards=("bellator-*",)), user="ann")
        until(lambda: ledger.webhooks.get(webhook.id).delivered == 1, PATIENCE_SECONDS)
        settle(ledger, "first", card="ufc-2")
        settle(ledger, "second", card="bellator-2")
        until(lambda: len(receiver.posts) == 2, PATIENCE_SECONDS)
        assert receiver.jobs()[-1] == "second"


def test_a_failing_delivery_holds_back_its_card_alone(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path, until: Until
) -> None:
    broken = threading.Event()
    broken.set()

    def answer(post: Post, before: int) -> Reply:
        return Reply(500) if post.card == "a" and broken.is_set() else OK

    with WebhookReceiver(answer) as receiver:
        webhook = subscribe(ledger, receiver)
        with running_relay(ledger_settings, tmp_path / "relay.log"):
            settle(ledger, "a1", "a2", "a3", card="a")
            settle(ledger, "b1", "b2", card="b")
            until(lambda: firsts(receiver, "b") == ["b1", "b2"] and len(receiver.posts) > 4, PATIENCE_SECONDS)
            assert firsts(receiver, "a") == ["a1"]
            state = ledger.webhooks.get(webhook.id)
            assert (state.waiting, state.error) == (3, "HTTP 500")
            broken.clear()
            until(lambda: ledger.webhooks.get(webhook.id).delivered == 5, PATIENCE_SECONDS)
    assert firsts(receiver, "a") == ["a1", "a2", "a3"]
    tried = [post for post in receiver.posts if post.job == "a1"]
    assert len({post.message_id for post in tried}) == 1
    assert len({post.raw for post in tried}) == 1


def test_what_is_never_accepted_becomes_a_dead_letter_and_can_be_replayed(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path, until: Until
) -> None:
    broken = threading.Event()
    broken.set()

    def answer(post: Post, before: int) -> Reply:
        return Reply(400, body=b"no such card") if post.job == "a1" and broken.is_set() else OK

    with WebhookReceiver(answer) as receiver:
        webhook = subscribe(ledger, receiver)
        quick = {"CORNERMAN_WEBHOOK_GIVE_UP_SECONDS": "0.3"}
        with running_relay(ledger_settings, tmp_path / "relay.log", **quick):
            settle(ledger, "a1", "a2", card="a")
            until(lambda: ledger.webhooks.get(webhook.id).delivered == 1, PATIENCE_SECONDS)
            assert firsts(receiver, "a") == ["a1", "a2"]  # the next went on when the first had become a dead letter
            (letter,) = ledger.webhooks.dead_letters(webhook.id)
            assert (letter.job_id, letter.card_id, letter.status_code) == ("a1", "a", 400)
            assert letter.error == "HTTP 400: no such card"
            assert letter.attempts == sum(post.job == "a1" for post in receiver.posts) > 1
            broken.clear()
            assert ledger.webhooks.replay(webhook.id, [letter.id]) == 1
            until(lambda: ledger.webhooks.get(webhook.id).delivered == 2, PATIENCE_SECONDS)
    assert receiver.posts[-1].job == "a1"
    assert receiver.posts[-1].message_id == letter.message_id
    assert ledger.webhooks.dead_letters(webhook.id) == []


def test_busy_receivers_are_left_alone_and_gone_ones_for_good(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path, until: Until
) -> None:
    busy, gone = Reply(429, {"Retry-After": "2"}), Reply(410)
    with WebhookReceiver(lambda post, before: OK if before else busy) as receiver:
        webhook = subscribe(ledger, receiver)
        with running_relay(ledger_settings, tmp_path / "relay.log"):
            settle(ledger, "one")
            until(lambda: ledger.webhooks.get(webhook.id).delivered == 1, PATIENCE_SECONDS)
            first, second = receiver.posts
            assert second.at_seconds - first.at_seconds >= 2.0
            receiver.answer = lambda post, before: gone
            settle(ledger, "two")
            until(lambda: not ledger.webhooks.get(webhook.id).enabled, PATIENCE_SECONDS)
            assert ledger.webhooks.get(webhook.id).disabled_reason == "HTTP 410"
            settle(ledger, "three")
            receiver.answer = lambda post, before: OK
            ledger.webhooks.change(webhook.id, WebhookChange(enabled=True), user="ann")
            until(lambda: ledger.webhooks.get(webhook.id).delivered == 3, PATIENCE_SECONDS)
    assert receiver.jobs() == ["one", "two", "three"]


def test_a_receiver_that_hangs_delays_no_other(
    ledger: Ledger, ledger_settings: LedgerSettings, receiver: WebhookReceiver, tmp_path: Path, until: Until
) -> None:
    with WebhookReceiver(lambda post, before: Reply(delay_seconds=60)) as hanging:
        slow, quick = subscribe(ledger, hanging), subscribe(ledger, receiver)
        with running_relay(ledger_settings, tmp_path / "relay.log"):
            settle(ledger, *(f"job{number}" for number in range(20)))
            until(lambda: ledger.webhooks.get(quick.id).delivered == 20, PATIENCE_SECONDS)
            until(lambda: ledger.webhooks.get(slow.id).failed_attempts > 0, PATIENCE_SECONDS)
            assert "no complete answer within 2 s" in str(ledger.webhooks.get(slow.id).error)


def test_both_secrets_sign_while_one_replaces_the_other(
    ledger: Ledger, ledger_settings: LedgerSettings, receiver: WebhookReceiver, tmp_path: Path, until: Until
) -> None:
    webhook = subscribe(ledger, receiver)
    (former,) = receiver.secrets
    with running_relay(ledger_settings, tmp_path / "relay.log"):
        current = ledger.webhooks.rotate_secret(webhook.id, user="ann").secret
        for number, secrets in enumerate(([former], [current])):
            receiver.secrets[:] = secrets
            settle(ledger, f"job{number}")
            until(lambda: len(receiver.posts) == number + 1, PATIENCE_SECONDS)  # noqa: B023 - it is asked now
            assert receiver.posts[-1].verified
        ledger.webhooks.rotate_secret(webhook.id, user="ann", overlap_seconds=0)
        settle(ledger, "last")
        until(lambda: len(receiver.posts) == 3, PATIENCE_SECONDS)
        assert not receiver.posts[-1].verified


def test_what_the_relay_cannot_send_is_tried_again_and_holds_back_no_other(
    ledger: Ledger, ledger_settings: LedgerSettings, receiver: WebhookReceiver, tmp_path: Path, until: Until
) -> None:
    webhook = subscribe(ledger, receiver)
    settle(ledger, "one")
    ledger.server.execute("HSET", secrets_key(ledger.server), webhook.id, "whsec_broken")
    with running_relay(ledger_settings, tmp_path / "relay.log"):
        until(lambda: ledger.webhooks.get(webhook.id).failed_attempts, PATIENCE_SECONDS)
        assert "the relay failed" in str(ledger.webhooks.get(webhook.id).error)
        assert ledger.webhooks.deliveries(webhook.id)[-1].result == "retry"
        ledger.webhooks.rotate_secret(webhook.id, user="ann", overlap_seconds=0)
        until(lambda: ledger.webhooks.get(webhook.id).delivered == 1, PATIENCE_SECONDS)


def test_a_test_event_is_tried_once(
    ledger: Ledger, ledger_settings: LedgerSettings, receiver: WebhookReceiver, tmp_path: Path, until: Until
) -> None:
    webhook = subscribe(ledger, receiver)
    with running_relay(ledger_settings, tmp_path / "relay.log"):
        message_id = ledger.webhooks.test(webhook.id)
        until(lambda: ledger.webhooks.deliveries(webhook.id), PATIENCE_SECONDS)
        receiver.answer = lambda post, before: Reply(500)
        ledger.webhooks.test(webhook.id)
        until(lambda: len(ledger.webhooks.deliveries(webhook.id)) == 2, PATIENCE_SECONDS)
    assert (receiver.posts[0].message_id, receiver.posts[0].verified) == (message_id, True)
    assert [each.result for each in ledger.webhooks.deliveries(webhook.id)] == ["dead", "delivered"]
    assert ledger.webhooks.get(webhook.id).waiting == 0
    assert ledger.webhooks.dead_letters(webhook.id) == []


def test_outcomes_that_the_stream_dropped_are_reported_to_the_receiver(
    ledger: Ledger, ledger_settings: LedgerSettings, receiver: WebhookReceiver, tmp_path: Path, until: Until
) -> None:
    webhook = subscribe(ledger, receiver)
    settle(ledger, "one", "two", "three")
    ledger.server.execute("XTRIM", ledger.server.key("outcomes"), "MAXLEN", "=", 1)
    with running_relay(ledger_settings, tmp_path / "relay.log"):
        until(lambda: len(receiver.posts) == 2, PATIENCE_SECONDS)
    (missed,) = (post for post in receiver.posts if post.body["type"] == "outcomes.missed")
    assert missed.body["data"]["count"] == 2
    assert ledger.webhooks.get(webhook.id).missed == 2


def test_relays_share_the_webhooks_and_take_over_from_a_dead_one(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path, until: Until
) -> None:
    def holders() -> list[str | None]:
        return [webhook.relay for webhook in ledger.webhooks.all()]

    def shared(names: list[str | None]) -> bool:
        return None not in names and sorted(map(names.count, set(names))) == [2, 2]

    with ExitStack() as stack:
        receivers = [stack.enter_context(WebhookReceiver()) for _ in range(4)]
        for receiver in receivers:
            subscribe(ledger, receiver)
        first = stack.enter_context(running_relay(ledger_settings, tmp_path / "first.log"))
        until(lambda: None not in holders() and len(set(holders())) == 1, PATIENCE_SECONDS)
        second = stack.enter_context(running_relay(ledger_settings, tmp_path / "second.log"))
        until(lambda: shared(holders()), PATIENCE_SECONDS)
        settle(ledger, *(f"job{number}" for number in range(10)))
        first.kill()
        first.wait()
        settle(ledger, *(f"more{number}" for number in range(10)))
        until(lambda: all(len(receiver.jobs()) == 20 for receiver in receivers), PATIENCE_SECONDS)
        assert stop(second) == 0
        assert holders() == [None] * 4


def test_a_frozen_relay_that_goes_on_delivers_nothing_out_of_turn(
    ledger: Ledger, ledger_settings: LedgerSettings, receiver: WebhookReceiver, tmp_path: Path, until: Until
) -> None:
    webhook = subscribe(ledger, receiver)
    with running_relay(ledger_settings, tmp_path / "first.log") as first:
        until(lambda: ledger.webhooks.get(webhook.id).relay, PATIENCE_SECONDS)
        former = ledger.webhooks.get(webhook.id).relay
        settle(ledger, *(f"a{number}" for number in range(10)), card="a")
        first.send_signal(signal.SIGSTOP)
        with running_relay(ledger_settings, tmp_path / "second.log"):
            settle(ledger, *(f"a{number}" for number in range(10, 20)), card="a")
            until(lambda: ledger.webhooks.get(webhook.id).relay not in (None, former), PATIENCE_SECONDS)
            first.send_signal(signal.SIGCONT)
            settle(ledger, *(f"a{number}" for number in range(20, 30)), card="a")
            until(lambda: len(firsts(receiver, "a")) == 30, PATIENCE_SECONDS)
            until(lambda: ledger.webhooks.get(webhook.id).waiting == 0, PATIENCE_SECONDS)
    assert firsts(receiver, "a") == [f"a{number}" for number in range(30)]


@pytest.mark.slow
def test_killed_at_any_moment_and_receivers_that_fail_nothing_is_lost_and_the_order_of_a_card_is_kept(
    ledger: Ledger, ledger_settings: LedgerSettings, tmp_path: Path, until: Until
) -> None:
    """Two relays of which one is killed again and again, while a receiver fails now and then and breaks connections."""
    rng = random.Random(7)
    moods = random.Random(8)

    def answer(post: Post, before: int) -> Reply:
        if before < 3 and moods.random() < 0.2:
            return Reply(status=moods.choice((500, 302, 503)), delay_seconds=moods.choice((0.0, 0.05)))
        return OK

    expected: dict[str, list[str]] = {f"card{number}": [] for number in range(10)}
    with WebhookReceiver(answer) as receiver:
        webhook = subscribe(ledger, receiver)
        relays: list[ForkedProcess] = [start_relay(ledger_settings, tmp_path / "relay.log") for _ in range(2)]
        try:
            for round_number in range(6):
                for number in range(40):
                    card, name = rng.choice(list(expected)), f"job{round_number}-{number}"
                    settle(ledger, name, card=card)
                    expected[card].append(name)
                    if number == 20:
                        time.sleep(rng.uniform(0, 0.5))
                        dead = relays.pop(rng.randrange(2))
                        dead.kill()
                        dead.wait()
                        relays.append(start_relay(ledger_settings, tmp_path / "relay.log"))
            until(lambda: ledger.webhooks.get(webhook.id).delivered >= 240, PATIENCE_SECONDS)
        finally:
            for relay in relays:
                relay.kill()
                relay.wait()
        state = ledger.webhooks.get(webhook.id)
        assert (state.delivered, state.waiting, state.dead_letters, state.missed) == (240, 0, 0, 0)
        for card, names in expected.items():
            assert firsts(receiver, card) == names
        assert all(post.verified for post in receiver.posts)
