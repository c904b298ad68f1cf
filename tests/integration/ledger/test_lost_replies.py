"""A reply gets lost on the way: what was asked for is done once, and the call answers as if nothing had happened.

Each call is made twice, on two ledgers that were prepared alike: straight, and over a connection that is cut when the
server has done what was asked. Both must answer the same and leave the same behind.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest
from msgspec import structs

from ledger.contracts.bets import PlacedBet
from ledger.contracts.job_state import Progress
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, Quote, ShadowCard
from ledger.contracts.schedules import CatchUp, Schedule, ScheduleRun
from ledger.contracts.webhooks import WebhookChange, WebhookDefinition
from ledger.jobs.claims import ReapCounts
from ledger.ledger import Claim, Ledger, LedgerSettings, Settlement
from ledger.models.drift_alarms import DriftAlarm
from ledger.models.fight_results import FightResult
from ledger.operations.control_store import ControlConflictError
from ledger.schedules.due_runs import DueRuns
from ledger.server.embedded_server import EmbeddedServer
from ledger.webhooks.delivery_queue import DeliveryResult, DueDelivery, HeldWebhook
from tests.support.claims import OWNER, REPORT, claim_one, submit
from tests.support.cutting_proxy import CuttingProxy
from tests.support.loop_ledger import LoopLedger

A, B = "a" * 64, "b" * 64
BY = {"user": "ann", "reason": "a test"}
DAY = date(2026, 1, 3)
PRICED_AT = datetime(2026, 8, 1, tzinfo=UTC)
ALARM = DriftAlarm(model=A, findings=(), fights=9, raised_at=datetime(2026, 1, 1, tzinfo=UTC), job_id="review")
HOOK = WebhookDefinition(url="https://example.com/hook", kinds=("check_health",))
ENTRY = {"message_id": "msg_1", "type": "outcome.succeeded", "attempt": 1, "result": "retry"}
Until = Callable[..., None]


def named(ledger: Ledger) -> None:
    for digest in (A, B):
        ledger.models.register(digest, {})
        ledger.aliases.set("champion", digest, **BY)


def claimed(ledger: Ledger) -> Claim:
    submit(ledger)
    return claim_one(ledger)


def snoozed(ledger: Ledger) -> Claim:
    claim = claimed(ledger)
    assert ledger.snooze(claim, 3600)
    return claim


def late(ledger: Ledger) -> Settlement:
    deadline = datetime.fromtimestamp(ledger.server.time() + 0.2, UTC)
    submit(ledger, deadline=deadline)
    claim = claim_one(ledger)
    while ledger.server.time() <= (deadline + timedelta(milliseconds=2)).timestamp():
        pass
    return Settlement.from_result(claim, REPORT)


def abandoned(ledger: Ledger) -> None:
    """A job whose lease has run out."""
    claim = claimed(ledger)
    ledger.server.execute("ZADD", ledger.server.key("leases"), 1, claim.job_id)


def without_moments(reaped: ReapCounts) -> ReapCounts:
    """What does not depend on the time: a fence is one, and doorbells are rung by it."""
    claims = tuple((job_id, 0) for job_id, _ in reaped.expired_leases)
    return msgspec.structs.replace(reaped, rung=0, expired_leases=claims)


def dead(ledger: Ledger) -> None:
    for name in ("one", "two"):
        submit(ledger, name)
        while ledger.outcome(name) is None:
            claim = claim_one(ledger)
            ledger.report_worker_lost(claim.job_id, claim.fence)


def scheduled(ledger: Ledger, catch_up: CatchUp = "last") -> DueRuns:
    """A schedule with a slot that was missed, and a pool that has not looked yet."""
    ledger.schedules.put(structs.replace(YEARLY, catch_up=catch_up), **BY)
    ledger.server.execute("HSET", ledger.server.key("schedule", "s"), "done", 1)
    return ledger.due_runs()


def ended(ledger: Ledger) -> DueRuns:
    due = scheduled(ledger)
    due.look()
    ledger.settle(claim_one(ledger), REPORT)
    return due


def states(runs: Iterable[ScheduleRun]) -> list[tuple[str, int]]:
    return [(run.state, run.slots) for run in runs]


def result(winner: int) -> FightResult:
    return FightResult(date=DAY, fighters=("Ana", "Bea"), winner=winner)  # type: ignore[arg-type]


def priced(price: float) -> Fight:
    quote = Quote(bookmaker="a", prices={"Ana": price, "Bea": 1.5})
    return Fight(id="f1", fighters=(Fighter(name="Ana"), Fighter(name="Bea")), quotes=(quote,))


def hooked(ledger: Ledger) -> HeldWebhook:
    """A webhook that a relay holds, and one delivery."""
    ledger.webhooks.create(HOOK, user="ann")
    _, (held,) = ledger.webhook_queue.hold("relay", [])
    ledger.settle(claimed(ledger), REPORT)
    batch = ledger.webhook_queue.read("0", 0)
    assert ledger.webhook_queue.enqueue(held, batch, batch.outcomes)
    return held


def taken(ledger: Ledger, held: HeldWebhook) -> tuple[DueDelivery, ...]:
    due = ledger.webhook_queue.exchange(held, [], 1)
    assert due is not None
    return due.deliveries


def buried(ledger: Ledger) -> HeldWebhook:
    held = hooked(ledger)
    (due,) = taken(ledger, held)
    ledger.webhook_queue.exchange(held, [DeliveryResult(due=due, verdict="dead", entry=ENTRY, error="x")], 0)
    return held


def alarmed(ledger: Ledger) -> None:
    named(ledger)
    ledger.drift_alarms.raise_alarm(ALARM)
    ledger.controls.set({f"abstain.{A}": True}, **BY)


BET = PlacedBet(
    job_id="job",
    card_id="card",
    fight_id="f1",
    event_start=datetime(2099, 1, 1, tzinfo=UTC),
    fighters=("Ana", "Bea"),
    fighter="Ana",
    bookmaker="a",
    price=2.0,
    stake=100,
    who="ann",
)
YEARLY = Schedule(name="s", cron="0 0 1 1 *", jobs=(CheckHealth(),))
CALLS: dict[str, tuple[str, Callable[[Ledger], Any], Callable[[Ledger, Any], Any]]] = {
    "compare and set": (
        "control",
        named,
        lambda ledger, _: ledger.aliases.move("champion", A, verify=lambda _: None, expected=B, **BY),
    ),
    "set a control": ("control", named, lambda ledger, _: ledger.controls.set({"max_threads": 2}, **BY)),
    "set an alias": ("control", named, lambda ledger, _: ledger.aliases.set("nightly", A, **BY)),
    "roll back": (
        "control",
        named,
        lambda ledger, _: ledger.aliases.roll_back("champion", verify=lambda _: None, **BY),
    ),
    "put a schedule": (
        "schedule_change",
        lambda _: None,
        lambda ledger, _: ledger.schedules.put(YEARLY, **BY).revision,
    ),
    "run a schedule": ("schedule_submit", scheduled, lambda ledger, _: ledger.schedules.run_now("s", **BY).state),
    "submit a slot": ("schedule_submit", scheduled, lambda ledger, due: states(due.look().runs)),
    "skip slots": ("schedule_decide", lambda ledger: scheduled(ledger, "skip"), lambda _, due: states(due.look().runs)),
    "end a run": ("schedule_end", ended, lambda ledger, due: states(due.note_outcomes())),
    "submit": ("submit", lambda _: None, lambda ledger, _: ledger.submit(CheckHealth(nonce="new"))),
    "submit to disk": ("submit", lambda _: None, lambda ledger, _: ledger.submit(CheckHealth(), durable=True)),
    "submit many": (
        "submit",
        lambda ledger: submit(ledger),
        lambda ledger, _: ledger.submit_many([CheckHealth(nonce="job"), CheckHealth()], keys=["job", "new"]),
    ),
    "submit first": (
        "submit",
        lambda _: None,
        lambda ledger, _: ledger.submission.submit_urgent(CheckHealth(deadline=datetime(2099, 1, 1, tzinfo=UTC))),
    ),
    "shadow": (
        "shadow",
        lambda _: None,
        lambda ledger, _: ledger.submission.submit_shadows([ShadowCard(card="a"), ShadowCard(card="b")]),
    ),
    "cancel": ("cancel", submit, lambda ledger, job_id: ledger.cancel(job_id).state),
    "resume": ("unsnooze", snoozed, lambda ledger, claim: ledger.resume_now(claim.job_id)),
    "claim": ("claim", submit, lambda ledger, _: [each.attempt for each in ledger.claim("predict", OWNER)]),
    "release": ("release", claimed, lambda ledger, claim: ledger.release(claim)),
    "snooze": ("snooze", claimed, lambda ledger, claim: ledger.snooze(claim, 3600)),
    "report a lost worker": (
        "worker_lost",
        claimed,
        lambda ledger, claim: ledger.report_worker_lost(claim.job_id, claim.fence),
    ),
    "progress": (
        "progress",
        claimed,
        lambda ledger, claim: ledger.set_progress(claim, Progress(stage="s", done=1, total=2)),
    ),
    "renew": ("renew", claimed, lambda ledger, claim: ledger.renew([(claim.job_id, claim.fence), ("never", 1)])),
    "settle": ("settle", claimed, lambda ledger, claim: ledger.settle(claim, REPORT)),
    "settle too late": ("settle", late, lambda ledger, settlement: ledger.settle_batch([settlement])),
    "reap": ("reap", abandoned, lambda ledger, _: without_moments(ledger.reap())),
    "requeue a dead job": ("submit", dead, lambda ledger, _: ledger.dead_letters.requeue("one")),
    "purge a dead job": ("purge", dead, lambda ledger, _: ledger.dead_letters.purge("one", "never")),
    "purge all dead jobs": ("purge", dead, lambda ledger, _: ledger.dead_letters.purge_all()),
    "quarantine": ("quarantine", lambda _: None, lambda ledger, _: ledger.quarantine.add("predict", b"odd")),
    "purge the quarantine": (
        "purge",
        lambda ledger: ledger.quarantine.add("predict", b"odd"),
        lambda ledger, _: ledger.quarantine.purge("predict"),
    ),
    "record prices": (
        "record_prices",
        lambda ledger: ledger.prices.record([priced(2.0)], PRICED_AT),
        lambda ledger, _: ledger.prices.record([priced(2.2)], PRICED_AT + timedelta(minutes=1)),
    ),
    "drop archived prices": (
        "drop_prices",
        lambda ledger: ledger.prices.record([priced(2.0)], PRICED_AT),
        lambda ledger, _: ledger.prices.drop_archived("f1", ledger.prices.read_whole("f1")[1], "2026-08"),
    ),
    "add results": (
        "fight_results",
        lambda ledger: ledger.fight_results.add([result(0)], user="ann"),
        lambda ledger, _: ledger.fight_results.add(
            [result(1), FightResult(date=DAY, fighters=("Cleo", "Dora"), winner=None, ending="draw")], user="ann"
        ),
    ),
    "raise an alarm": ("drift_alarm", lambda _: None, lambda ledger, _: ledger.drift_alarms.raise_alarm(ALARM)),
    "note an alarm": (
        "drift_alarm",
        alarmed,
        lambda ledger, _: ledger.drift_alarms.mark_acted(msgspec.structs.replace(ALARM, acted=True)),
    ),
    "create a webhook": (
        "webhook_create",
        lambda _: None,
        lambda ledger, _: ledger.webhooks.create(HOOK, user="ann").webhook.enabled,
    ),
    "change a webhook": (
        "webhook_change",
        hooked,
        lambda ledger, held: ledger.webhooks.change(held.id, WebhookChange(enabled=False), user="ann").enabled,
    ),
    "rotate a secret": (
        "webhook_rotate",
        hooked,
        lambda ledger, held: len(ledger.webhooks.rotate_secret(held.id, user="ann").secret),
    ),
    "delete a webhook": ("webhook_delete", hooked, lambda ledger, held: ledger.webhooks.delete(held.id)),
    "test a webhook": ("webhook_enqueue", hooked, lambda ledger, held: bool(ledger.webhooks.test(held.id))),
    "take a delivery": (
        "webhook_deliver",
        hooked,
        lambda ledger, held: len(taken(ledger, held)),
    ),
    "settle a delivery": (
        "webhook_deliver",
        lambda ledger: (held := hooked(ledger), taken(ledger, held)[0]),
        lambda ledger, both: ledger.webhook_queue.exchange(
            both[0], [DeliveryResult(due=both[1], verdict="retry", delay_seconds=60.0, error="x", entry=ENTRY)], 1
        ),
    ),
    "replay a letter": ("webhook_letters", buried, lambda ledger, held: ledger.webhooks.replay(held.id)),
    "give up a webhook": (
        "webhook_release",
        hooked,
        lambda ledger, held: ledger.webhook_queue.release("relay", [held], ends=True),
    ),
    "place a bet": ("place_bet", lambda _: None, lambda ledger, _: ledger.bets.place(BET).created),
    "void a bet": (
        "end_bets",
        lambda ledger: ledger.bets.place(BET),
        lambda ledger, _: ledger.bets.void(fight_id=BET.fight_id, **BY),
    ),
    "settle a bet": (
        "end_bets",
        lambda ledger: ledger.bets.place(BET),
        lambda ledger, _: ledger.bets.settle({BET.id: "won"}, user="ann"),
    ),
    "clear an alarm": ("control", alarmed, lambda ledger, _: ledger.drift_alarms.clear(A, **BY)),
}


@pytest.fixture(params=[Ledger, LoopLedger])
def ledger_type(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def pair(valkey: EmbeddedServer, ledger_type: type[Ledger]) -> Iterator[tuple[Ledger, Ledger, CuttingProxy]]:
    """Two empty ledgers on one server: straight to it, and over what may lose a reply."""
    where = urlsplit(valkey.url)
    proxy = CuttingProxy(str(where.hostname), int(where.port or 6379))
    user = f"{where.netloc.rpartition('@')[0]}@" if "@" in where.netloc else ""
    around = urlunsplit(where._replace(netloc=f"{user}127.0.0.1:{proxy.port}"))
    ledgers = [
        ledger_type.connect(LedgerSettings(redis_url=url, namespace=f"lost-{uuid.uuid4().hex}"))
        for url in (valkey.url, around)
    ]
    yield ledgers[0], ledgers[1], proxy
    for ledger in ledgers:
        ledger.close()
    proxy.close()


def plain(answer: Any) -> Any:
    """An answer without what two ledgers cannot have in common: places and times."""
    if isinstance(answer, list):
        return [plain(each) for each in answer]
    if isinstance(answer, msgspec.Struct):
        return {field: value for field, value in msgspec.to_builtins(answer).items() if field not in ("place", "at")}
    return answer


def left_behind(ledger: Ledger) -> dict[str, Any]:
    jobs = ("job", "new", "one", "two", "one~2")
    return {
        "changes": plain(ledger.controls.changes()),
        "results": [(change.before, change.after) for change in ledger.fight_results.changes()],
        "prices": (ledger.prices.history("f1"), ledger.prices.state("f1")),
        "dead": [letter.job_id for letter in ledger.dead_letters.newest()],
        "quarantine": ledger.quarantine.items("predict"),
        "waiting": ledger.queue_stats.depths(),
        "jobs": [(ledger.status(job).state, ledger.status(job).attempt) for job in jobs],
        "outcomes": [outcome.job_id for _, outcome in ledger.follow("0", idle_seconds=0.01)],
        "alarms": ledger.drift_alarms.active(),
        "schedules": [
            (status.decided_until if status.last_run else None, states(ledger.schedules.history(status.schedule.name)))
            for status in ledger.schedules.list()
        ],
        "schedule changes": [change.what for change in ledger.schedules.changes()],
        "bets": (ledger.bets.account(), ledger.bets.exposure(), len(ledger.bets.entries())),
        "models": ledger.models.all(),
        "webhooks": [
            (each.enabled, each.waiting, each.failed_attempts, each.dead_letters, each.relay)
            for each in ledger.webhooks.all()
        ],
        "attempts": [plain(ledger.webhooks.deliveries(each.id)) for each in ledger.webhooks.all()],
    }


@pytest.mark.parametrize("call", CALLS)
def test_a_call_whose_reply_was_lost_answers_what_it_would_have_answered(
    call: str, pair: tuple[Ledger, Ledger, CuttingProxy]
) -> None:
    straight, cut, proxy = pair
    script, prepare, do = CALLS[call]
    before = [prepare(ledger) for ledger in (straight, cut)]
    expected = do(straight, before[0])
    cut.controls.current()  # the connection is warm, so that what is cut is a connection in use
    proxy.marker = f"EVALSHA\r\n$40\r\n{cut.server.scripts[script].sha}".encode()
    assert plain(do(cut, before[1])) == plain(expected)
    assert proxy.cuts == 1
    assert left_behind(cut) == left_behind(straight)


def test_another_call_is_another_call(pair: tuple[Ledger, Ledger, CuttingProxy]) -> None:
    """Only the repetition of a call is answered from memory, not whoever asks for the same."""
    straight, _, _ = pair
    named(straight)
    straight.aliases.move("champion", A, verify=lambda _: None, expected=B, **BY)
    with pytest.raises(ControlConflictError):
        straight.aliases.move("champion", A, verify=lambda _: None, expected=B, **BY)
    assert straight.submit(CheckHealth()).created
    assert not straight.submit(CheckHealth()).created


def test_replies_are_kept_for_a_short_while_and_only_where_something_was_changed(
    pair: tuple[Ledger, Ledger, CuttingProxy],
) -> None:
    straight, _, _ = pair
    straight.submit(CheckHealth())
    straight.submit(CheckHealth())
    straight.reap()
    (kept,) = straight.server.client.keys(straight.server.key("reply", "*"))
    assert 0 < straight.server.execute("PTTL", kept) <= 65_000
