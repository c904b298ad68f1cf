"""Webhooks in the ledger: definitions, leases of relays, cursors, deliveries in order, dead letters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ledger.contracts.failures import FailureCode, JobRefusedError
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard
from ledger.contracts.webhooks import OutcomeEvent, WebhookChange, WebhookDefinition
from ledger.ledger import Ledger
from ledger.webhooks import delivery_queue
from ledger.webhooks.delivery_queue import DeliveryResult, DueDelivery, HeldWebhook
from ledger.webhooks.webhook_store import MAX_WEBHOOKS, UnknownWebhookError
from tests.support.claims import FAILURE, OWNER, REPORT

HOOK = WebhookDefinition(url="https://example.com/hook", kinds=("check_health", "predict_card"))
SOON = datetime.now(UTC) + timedelta(days=1)


def settle(ledger: Ledger, *names: str, card: str | None = None) -> None:
    """Settle jobs in this order: health checks, or with `card` failures of that card."""
    for name in names:
        job: CheckHealth | PredictCard = CheckHealth(nonce=name)
        if card is not None:
            fighters = (Fighter(name="Ana"), Fighter(name="Bea"))
            job = PredictCard(card_id=card, event_start=SOON, fights=(Fight(id=name, fighters=fighters),))
        ledger.submit(job, key=name, correlation_id=f"about {name}", caller="odds")
        (claim,) = ledger.claim("predict", OWNER)
        assert ledger.settle(claim, REPORT if card is None else FAILURE)


def create(ledger: Ledger, after: str = "$", **fields: Any) -> str:
    return ledger.webhooks.create(msgspec.structs.replace(HOOK, **fields), user="ann", after=after).webhook.id


def hold(ledger: Ledger, relay: str = "relay", *delivers: HeldWebhook) -> list[HeldWebhook]:
    return ledger.webhook_queue.hold(relay, delivers)[1]


def fetch(ledger: Ledger, held: HeldWebhook) -> int:
    """Read outcomes as a relay does, and return how many."""
    plan = ledger.webhook_queue.load(held.id)
    assert plan is not None
    batch = ledger.webhook_queue.read(plan.cursor, plan.seen)
    assert ledger.webhook_queue.enqueue(held, batch, batch.outcomes)
    return len(batch.outcomes)


def take(ledger: Ledger, held: HeldWebhook, *results: DeliveryResult, limit: int = 10) -> list[DueDelivery]:
    due = ledger.webhook_queue.exchange(held, results, limit)
    assert due is not None
    return list(due.deliveries)


def jobs(deliveries: list[DueDelivery]) -> list[str]:
    return [each.event[1:] for each in deliveries]


def entry(job_id: str = "one", result: str = "retry", attempt: int = 1) -> dict[str, Any]:
    return {"message_id": "msg_1", "type": "outcome.failed", "job_id": job_id, "result": result, "attempt": attempt}


@pytest.fixture
def held(ledger: Ledger) -> HeldWebhook:
    create(ledger)
    (held,) = hold(ledger)
    return held


class TestDefinitions:
    def test_a_webhook_is_created_changed_and_deleted(self, ledger: Ledger) -> None:
        created = ledger.webhooks.create(HOOK, user="ann")
        assert created.secret.startswith("whsec_")
        assert ledger.webhooks.all() == [created.webhook]
        assert (created.webhook.url, created.webhook.created_by, created.webhook.enabled) == (HOOK.url, "ann", True)
        changed = ledger.webhooks.change(created.webhook.id, WebhookChange(decision="bet"), user="bea")
        assert (changed.decision, changed.kinds, changed.changed_by) == ("bet", HOOK.kinds, "bea")
        ledger.webhooks.delete(created.webhook.id)
        assert ledger.webhooks.all() == []
        assert not ledger.server.client.keys(ledger.server.key("webhook*"))
        assert not ledger.server.client.exists(delivery_queue.secrets_key(ledger.server))

    @pytest.mark.parametrize(
        "fields",
        [
            {"url": "http://example.com"},
            {"url": "https://10.0.0.1/"},
            {"kinds": ("nothing",)},
            {"kinds": ("shadow_card",)},
            {"cards": ("",)},
            {"states": ("running",)},
            {"decision": "maybe"},
            {"description": "two\nlines"},
        ],
    )
    def test_an_invalid_one_is_refused(self, ledger: Ledger, fields: dict[str, Any]) -> None:
        with pytest.raises(JobRefusedError) as refused:
            create(ledger, **fields)
        assert refused.value.failure.code is FailureCode.INVALID_INPUT
        webhook_id = create(ledger)
        with pytest.raises(JobRefusedError):
            ledger.webhooks.change(webhook_id, WebhookChange(**fields), user="ann")
        assert ledger.webhooks.get(webhook_id).changed_at == ledger.webhooks.get(webhook_id).created_at

    def test_a_place_must_be_one(self, ledger: Ledger) -> None:
        with pytest.raises(JobRefusedError, match="no place"):
            create(ledger, after="yesterday")

    def test_there_is_a_limit(self, ledger: Ledger) -> None:
        for _ in range(MAX_WEBHOOKS):
            create(ledger)
        with pytest.raises(JobRefusedError, match="delete one"):
            create(ledger)

    def test_an_unknown_one_is_named(self, ledger: Ledger) -> None:
        for call in (
            lambda: ledger.webhooks.get("wh_none"),
            lambda: ledger.webhooks.change("wh_none", WebhookChange(enabled=False), user="ann"),
            lambda: ledger.webhooks.delete("wh_none"),
            lambda: ledger.webhooks.rotate_secret("wh_none", user="ann"),
            lambda: ledger.webhooks.test("wh_none"),
            lambda: ledger.webhooks.deliveries("wh_none"),
            lambda: ledger.webhooks.dead_letters("wh_none"),
            lambda: ledger.webhooks.replay("wh_none"),
        ):
            with pytest.raises(UnknownWebhookError, match="wh_none"):
                call()

    def test_two_secrets_sign_while_one_replaces_the_other(self, ledger: Ledger) -> None:
        first = ledger.webhooks.create(HOOK, user="ann")
        webhook_id = first.webhook.id

        def signing() -> tuple[str, ...]:
            plan = ledger.webhook_queue.load(webhook_id)
            assert plan is not None
            return plan.secrets

        second = ledger.webhooks.rotate_secret(webhook_id, user="ann")
        assert signing() == (second.secret, first.secret)
        third = ledger.webhooks.rotate_secret(webhook_id, user="ann", overlap_seconds=0.001)
        while ledger.server.time() % 1 > 0.99:
            pass
        assert third.secret in signing()
        assert first.secret not in signing()
        fourth = ledger.webhooks.rotate_secret(webhook_id, user="ann", overlap_seconds=0)
        assert signing() == (fourth.secret,)
        with pytest.raises(JobRefusedError, match="overlap_seconds"):
            ledger.webhooks.rotate_secret(webhook_id, user="ann", overlap_seconds=-1)

    def test_secrets_are_in_nothing_that_is_listed(self, ledger: Ledger) -> None:
        created = ledger.webhooks.create(HOOK, user="ann")
        for key in ledger.server.client.keys(ledger.server.key("*")):
            assert created.secret.encode() not in ledger.server.client.dump(key)


class TestLeases:
    def test_a_webhook_is_one_relays_until_its_lease_ends(self, ledger: Ledger, held: HeldWebhook) -> None:
        assert hold(ledger, "other") == []
        assert hold(ledger, "relay", held) == [held]
        ledger.server.execute("HSET", ledger.server.key("webhook", held.id), "until", 1)
        (taken,) = hold(ledger, "other")
        assert taken.fence > held.fence
        assert ledger.webhooks.get(held.id).relay == "other"
        assert ledger.webhook_queue.exchange(held, [], 1) is None
        assert hold(ledger, "relay", held) == []

    def test_who_lost_a_reply_takes_its_webhook_over_again(self, ledger: Ledger, held: HeldWebhook) -> None:
        (again,) = hold(ledger)
        assert again.fence > held.fence

    def test_what_was_being_sent_is_sent_again_by_the_next(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one")
        fetch(ledger, held)
        assert jobs(take(ledger, held)) == ["one"]
        assert take(ledger, held) == []
        (again,) = hold(ledger)
        assert jobs(take(ledger, again)) == ["one"]

    def test_a_released_one_is_taken_over_at_once(self, ledger: Ledger, held: HeldWebhook) -> None:
        ledger.webhook_queue.release("relay", [held], ends=True)
        assert [each.id for each in hold(ledger, "other")] == [held.id]
        ledger.webhook_queue.release("relay", [held])  # no longer its own
        assert ledger.webhooks.get(held.id).relay == "other"

    def test_relays_share_the_webhooks(self, ledger: Ledger) -> None:
        for _ in range(5):
            create(ledger)
        first = hold(ledger, "first")
        assert len(first) == 5
        assert hold(ledger, "second") == []
        surplus, first = ledger.webhook_queue.hold("first", first)
        assert (surplus, len(first)) == (2, 5)
        ledger.webhook_queue.release("first", first[:2])
        assert len(hold(ledger, "second")) == 2
        assert ledger.webhook_queue.hold("first", first[2:]) == (0, first[2:])

    def test_a_disabled_one_is_nobodys(self, ledger: Ledger, held: HeldWebhook) -> None:
        ledger.webhooks.change(held.id, WebhookChange(enabled=False), user="ann")
        assert hold(ledger, "relay", held) == []
        assert ledger.webhook_queue.exchange(held, [], 1) is None
        ledger.webhooks.change(held.id, WebhookChange(enabled=True), user="ann")
        (again,) = hold(ledger, "other")
        assert again.fence > held.fence

    def test_a_change_is_seen_with_the_next_call(self, ledger: Ledger, held: HeldWebhook) -> None:
        ledger.webhooks.change(held.id, WebhookChange(description="new"), user="ann")
        (now,) = hold(ledger, "relay", held)
        due = ledger.webhook_queue.exchange(held, [], 1)
        assert due is not None
        assert now.revision == due.revision > held.revision

    def test_a_clock_that_is_set_back_delays_nothing(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one")
        fetch(ledger, held)
        (due,) = take(ledger, held)
        take(ledger, held, DeliveryResult(due=due, verdict="retry", delay_seconds=0.01, entry=entry()))
        ahead = round(ledger.server.time() * 1000) + 3_600_000
        key = ledger.server.key("webhook", held.id, "due")
        for member, score in ledger.server.client.zrange(key, 0, -1, withscores=True):
            ledger.server.execute("ZADD", key, score + 3_600_000, member)
        ledger.server.execute("SET", ledger.server.key("relays", "looked"), ahead)
        hold(ledger, "relay", held)
        while not (again := take(ledger, held)):
            pass
        assert jobs(again) == ["one"]


class TestReading:
    def test_what_is_settled_later_is_read_once(self, ledger: Ledger) -> None:
        settle(ledger, "before")
        create(ledger)
        (held,) = hold(ledger)
        settle(ledger, "one", "two")
        assert (fetch(ledger, held), fetch(ledger, held)) == (2, 0)
        assert jobs(take(ledger, held)) == ["one", "two"]

    def test_it_can_begin_with_the_oldest(self, ledger: Ledger) -> None:
        settle(ledger, "before")
        create(ledger, after="0")
        (held,) = hold(ledger)
        assert fetch(ledger, held) == 1
        assert ledger.webhooks.get(held.id).missed == 0

    def test_a_cursor_moves_once(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one")
        batch = ledger.webhook_queue.read("0", 0)
        assert ledger.webhook_queue.enqueue(held, batch, batch.outcomes)
        assert not ledger.webhook_queue.enqueue(held, batch, batch.outcomes)
        assert len(take(ledger, held)) == 1

    def test_outcomes_that_were_dropped_are_counted_and_reported(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one", "two", "three", "four")
        ledger.server.execute("XTRIM", ledger.server.key("outcomes"), "MAXLEN", "=", 1)
        assert fetch(ledger, held) == 1
        assert ledger.webhooks.get(held.id).missed == 3
        gap, four = take(ledger, held)
        message = ledger.webhook_queue.message(held.id, gap)
        assert message is not None
        body = msgspec.json.decode(message.body)
        assert (message.type, body["type"], body["data"]["count"]) == ("outcomes.missed", "outcomes.missed", 3)
        assert jobs([four]) == ["four"]

    def test_also_if_the_stream_is_empty(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one", "two")
        ledger.server.execute("XTRIM", ledger.server.key("outcomes"), "MAXLEN", "=", 0)
        fetch(ledger, held)
        fetch(ledger, held)
        assert ledger.webhooks.get(held.id).missed == 2
        settle(ledger, "three")
        assert fetch(ledger, held) == 1
        assert ledger.webhooks.get(held.id).missed == 2

    def test_and_if_the_retention_ended(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one", "two")
        ledger.server.execute("DEL", ledger.server.key("job", "one"))
        assert fetch(ledger, held) == 1
        assert ledger.webhooks.get(held.id).missed == 1

    def test_the_age_of_what_is_undelivered_is_known(self, ledger: Ledger, held: HeldWebhook) -> None:
        assert ledger.webhooks.get(held.id).oldest_seconds is None
        settle(ledger, "one")
        assert ledger.webhooks.get(held.id).oldest_seconds is not None  # nobody has read it yet
        fetch(ledger, held)
        assert ledger.webhooks.get(held.id).oldest_seconds is not None
        (due,) = take(ledger, held)
        take(ledger, held, DeliveryResult(due=due, verdict="delivered", entry=entry()))
        assert ledger.webhooks.get(held.id).oldest_seconds is None


class TestDeliveries:
    def test_those_of_a_card_come_one_after_the_other(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "a1", "a2", card="a")
        settle(ledger, "b1", card="b")
        fetch(ledger, held)
        first = take(ledger, held)
        assert jobs(first) == ["a1", "b1"]
        retry = DeliveryResult(due=first[0], verdict="retry", delay_seconds=60.0, error="HTTP 500", entry=entry())
        assert take(ledger, held, retry, DeliveryResult(due=first[1], verdict="delivered")) == []
        settle(ledger, "b2", card="b")
        fetch(ledger, held)
        assert jobs(take(ledger, held)) == ["b2"]  # not held back by the other card

    def test_the_next_of_a_card_follows_a_delivery_or_a_dead_letter(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "a1", "a2", "a3", card="a")
        fetch(ledger, held)
        (due,) = take(ledger, held)
        (due,) = take(ledger, held, DeliveryResult(due=due, verdict="delivered"))
        assert jobs([due]) == ["a2"]
        (due,) = take(
            ledger, held, DeliveryResult(due=due, verdict="dead", error="HTTP 500", entry=entry("a2", "dead"))
        )
        assert jobs([due]) == ["a3"]
        assert [letter.job_id for letter in ledger.webhooks.dead_letters(held.id)] == ["a2"]

    def test_a_retry_knows_what_was_before_it(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one")
        fetch(ledger, held)
        (due,) = take(ledger, held)
        retry = DeliveryResult(due=due, verdict="retry", delay_seconds=0.05, error="HTTP 500", entry=entry())
        answer = ledger.webhook_queue.exchange(held, [retry], 10)
        assert answer is not None
        assert answer.deliveries == ()
        assert 0 < (answer.next_seconds or 0) <= 0.05
        while not (again := take(ledger, held)):
            pass
        assert (again[0].attempts, again[0].waited_seconds) == (1, 0.05)
        webhook = ledger.webhooks.get(held.id)
        assert (webhook.failed_attempts, webhook.error) == (1, "HTTP 500")
        assert webhook.failing_since is not None
        take(
            ledger, held, DeliveryResult(due=again[0], verdict="delivered", entry=entry(result="delivered", attempt=2))
        )
        webhook = ledger.webhooks.get(held.id)
        assert (webhook.delivered, webhook.failing_since, webhook.error, webhook.waiting) == (1, None, None, 0)
        assert [each.result for each in ledger.webhooks.deliveries(held.id)] == ["delivered", "retry"]

    def test_what_a_receiver_asks_for_holds_all_back(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one", "two")
        fetch(ledger, held)
        (due,) = take(ledger, held, limit=1)
        busy = DeliveryResult(due=due, verdict="retry", delay_seconds=60.0, hold_seconds=60.0, entry=entry())
        answer = ledger.webhook_queue.exchange(held, [busy], 10)
        assert answer is not None
        assert answer.deliveries == ()
        assert 59 < (answer.next_seconds or 0) <= 60
        ledger.webhooks.change(held.id, WebhookChange(enabled=True), user="ann")  # an operator knows better
        assert jobs(take(ledger, held)) == ["two"]

    def test_gone_disables_the_webhook_and_keeps_what_waits(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one", "two")
        fetch(ledger, held)
        one, two = take(ledger, held)
        gone = DeliveryResult(due=one, verdict="disable", error="HTTP 410", entry=entry(result="disabled"))
        assert ledger.webhook_queue.exchange(held, [gone], 10) is None
        assert ledger.webhook_queue.exchange(held, [DeliveryResult(due=two, verdict="delivered")], 0) is None
        webhook = ledger.webhooks.get(held.id)
        assert (webhook.enabled, webhook.disabled_reason, webhook.waiting) == (False, "HTTP 410", 1)
        assert ledger.webhooks.figures().disabled == 1
        assert ledger.webhooks.change(held.id, WebhookChange(enabled=True), user="ann").disabled_reason is None
        (again,) = hold(ledger)
        assert jobs(take(ledger, again)) == ["one"]

    def test_a_result_counts_once_and_only_from_the_holder(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one")
        fetch(ledger, held)
        (due,) = take(ledger, held)
        done = DeliveryResult(due=due, verdict="delivered", entry=entry(result="delivered"))
        (again,) = hold(ledger)
        assert ledger.webhook_queue.exchange(held, [done], 0) is None
        assert ledger.webhooks.get(held.id).delivered == 0
        take(ledger, again, done, done, limit=0)
        assert ledger.webhooks.get(held.id).delivered == 1

    def test_second_attempts_leave_places_for_first_ones_and_the_other_way(
        self, ledger: Ledger, held: HeldWebhook
    ) -> None:
        settle(ledger, *(f"old{number}" for number in range(4)))
        fetch(ledger, held)
        retries = [DeliveryResult(due=due, verdict="retry", delay_seconds=0.001) for due in take(ledger, held)]
        take(ledger, held, *retries, limit=0)
        settle(ledger, *(f"new{number}" for number in range(4)))
        fetch(ledger, held)
        assert sorted(job[:3] for job in jobs(take(ledger, held, limit=4))) == ["new", "new", "old", "old"]

    def test_a_message_is_the_outcome_and_the_same_every_time(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one")
        settle(ledger, "card", card="ufc-300")
        fetch(ledger, held)
        one, card = take(ledger, held)
        message = ledger.webhook_queue.message(held.id, one)
        assert message is not None
        assert message == ledger.webhook_queue.message(held.id, one)
        event = msgspec.json.decode(message.body, type=OutcomeEvent)
        assert event.data == ledger.outcome("one")
        assert (event.type, event.timestamp, event.card_id) == ("outcome.succeeded", event.data.settled_at, None)
        failed = ledger.webhook_queue.message(held.id, card)
        assert failed is not None
        assert msgspec.json.decode(failed.body, type=OutcomeEvent).card_id == "ufc-300"
        assert failed.message_id != message.message_id

    def test_every_field_of_an_outcome_is_in_the_message(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one")
        key = ledger.server.key("job", "one")
        ledger.server.execute(
            "HSET",
            key,
            "origin",
            b'{"claimed_at":"2026-01-01T00:00:00Z","models":{},"controls":{},'
            b'"surroundings":{"processor":"x","libraries":{}}}',
        )
        ledger.server.execute("HSET", key, "failure", b'{"code":"internal","message":"x"}')
        fetch(ledger, held)
        (due,) = take(ledger, held)
        message = ledger.webhook_queue.message(held.id, due)
        assert message is not None
        data = msgspec.json.decode(message.body)["data"]
        whole = msgspec.json.decode(msgspec.json.encode(ledger.outcome("one")))
        assert data == whole
        # It may be set between two attempts, which post the same body. The newer card has an event of its own.
        assert data.keys() >= set(Outcome.__struct_fields__) - {"superseded_by"}

    def test_an_outcome_of_a_newer_version_is_delivered(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one")
        ledger.server.execute("HSET", ledger.server.key("job", "one"), "report", b'{"kind":"of_tomorrow"}')
        fetch(ledger, held)
        (due,) = take(ledger, held)
        message = ledger.webhook_queue.message(held.id, due)
        assert message is not None
        assert msgspec.json.decode(message.body)["data"]["report"] == {"kind": "of_tomorrow"}

    def test_a_test_is_a_delivery(self, ledger: Ledger, held: HeldWebhook) -> None:
        message_id = ledger.webhooks.test(held.id)
        (due,) = take(ledger, held)
        message = ledger.webhook_queue.message(held.id, due)
        assert message is not None
        assert (message.message_id, message.type) == (message_id, "webhook.test")


class TestDeadLetters:
    @pytest.fixture
    def dead(self, ledger: Ledger, held: HeldWebhook) -> HeldWebhook:
        settle(ledger, "a1", "a2", card="a")
        settle(ledger, "b1", card="b")
        fetch(ledger, held)
        while due := take(ledger, held):
            for each in due:
                letter = entry(jobs([each])[0], "dead", 9)
                take(ledger, held, DeliveryResult(due=each, verdict="dead", error="HTTP 500", entry=letter), limit=0)
        return held

    def test_are_listed_newest_first(self, ledger: Ledger, dead: HeldWebhook) -> None:
        letters = ledger.webhooks.dead_letters(dead.id)
        assert {letter.job_id for letter in letters} == {"a1", "a2", "b1"}
        assert letters == sorted(letters, key=lambda letter: letter.died_at, reverse=True)
        assert letters[0].attempts == 9
        assert ledger.webhooks.get(dead.id).dead_letters == 3

    def test_are_sent_again_in_their_order(self, ledger: Ledger, dead: HeldWebhook) -> None:
        settle(ledger, "a3", card="a")
        fetch(ledger, dead)
        assert ledger.webhooks.replay(dead.id) == 3
        assert ledger.webhooks.dead_letters(dead.id) == []
        sent: list[str] = []
        while due := take(ledger, dead):
            assert all(each.attempts == 0 for each in due)
            sent += jobs(due)
            take(ledger, dead, *(DeliveryResult(due=each, verdict="delivered") for each in due), limit=0)
        assert [job for job in sent if job.startswith("a")] == ["a3", "a1", "a2"]
        assert "b1" in sent

    def test_single_ones_can_be_chosen(self, ledger: Ledger, dead: HeldWebhook) -> None:
        (chosen,) = (letter.id for letter in ledger.webhooks.dead_letters(dead.id) if letter.job_id == "b1")
        assert ledger.webhooks.replay(dead.id, [chosen, "4711"]) == 1
        assert ledger.webhooks.replay(dead.id, [chosen]) == 0
        assert ledger.webhooks.purge(dead.id) == 2
        assert jobs(take(ledger, dead)) == ["b1"]

    def test_are_bounded(self, ledger: Ledger, held: HeldWebhook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(delivery_queue, "MAX_DEAD_LETTERS", 2)
        settle(ledger, "one", "two", "three")
        fetch(ledger, held)
        letters = [
            DeliveryResult(due=due, verdict="dead", entry=entry(jobs([due])[0], "dead")) for due in take(ledger, held)
        ]
        take(ledger, held, *letters, limit=0)
        assert len(ledger.webhooks.dead_letters(held.id)) == 2

    def test_an_outcome_that_is_gone_becomes_one_without_an_attempt(self, ledger: Ledger, held: HeldWebhook) -> None:
        settle(ledger, "one")
        fetch(ledger, held)
        (due,) = take(ledger, held)
        ledger.server.execute("DEL", ledger.server.key("job", "one"))
        assert ledger.webhook_queue.message(held.id, due) is None
        take(ledger, held, DeliveryResult(due=due, verdict="gone", entry=entry(result="dead", attempt=0)))
        webhook = ledger.webhooks.get(held.id)
        assert (webhook.dead_letters, webhook.failed_attempts, webhook.failing_since) == (1, 0, None)


def test_a_full_server_still_settles_deliveries(ledger: Ledger, held: HeldWebhook) -> None:
    settle(ledger, "one", "two")
    fetch(ledger, held)
    due = take(ledger, held)
    ledger.server.client.config_set("maxmemory", 1)
    try:
        take(ledger, held, *(DeliveryResult(due=each, verdict="delivered", entry=entry()) for each in due))
        assert hold(ledger, "relay", held) == [held]
    finally:
        ledger.server.client.config_set("maxmemory", 0)
    assert ledger.webhooks.get(held.id).delivered == 2
