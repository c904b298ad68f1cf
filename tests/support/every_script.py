"""A use of every script of the ledger, through the calls that users and pools make."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from ledger.contracts.bets import PlacedBet
from ledger.contracts.feeds import FeedState, RetrievalRecord
from ledger.contracts.fight_changes import FightChange, ListedState
from ledger.contracts.job_state import Progress
from ledger.contracts.jobs import CheckHealth, Fight, Fighter, PredictCard, Quote, ShadowCard
from ledger.contracts.schedules import Schedule
from ledger.contracts.webhooks import WebhookChange, WebhookDefinition
from ledger.feeds.fight_changes import ListedFeed
from ledger.feeds.listed_fights import ListedFight
from ledger.jobs.job_index import JobQuery
from ledger.ledger import Ledger
from ledger.models.drift_alarms import DriftAlarm
from ledger.models.fight_results import FightResult
from ledger.models.fighter_directories import FighterDirectory
from ledger.operations.tokens import CallerLimits
from ledger.webhooks.delivery_queue import DeliveryResult
from tests.support.archives import ALL_DUE, handler_context
from tests.support.claims import FAILURE, OWNER, REPORT, claim_one
from workers.handlers.archive_outcomes.archive_outcomes import archive_outcomes

NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=1)
PAST = NOW - timedelta(days=40)
BY = {"user": "ann", "reason": "a test"}
FIGHTERS = (Fighter(name="Ana"), Fighter(name="Bea"))


def card(card_id: str = "card", prices: float = 2.0) -> PredictCard:
    """Return a card with prices."""
    quotes = (Quote(bookmaker="a", prices={"Ana": prices, "Bea": 1.8}),)
    return PredictCard(card_id=card_id, event_start=SOON, fights=(Fight(id="f", fighters=FIGHTERS, quotes=quotes),))


def use_every_script(ledger: Ledger) -> None:
    """Call every script at least once."""
    use_jobs(ledger)
    use_operations(ledger)
    use_feeds(ledger)
    use_bets_and_models(ledger)
    use_schedules(ledger)
    use_webhooks(ledger)
    use_archive(ledger)


def use_jobs(ledger: Ledger) -> None:
    """Connect, and take jobs through all their states."""
    ledger.server.run(ledger.server.greet())
    ledger.submit(card(), key="older", caller="odds")
    ledger.submit(card(prices=2.5), key="card", caller="odds", supersede=True)
    claim = claim_one(ledger)
    assert ledger.set_progress(claim, Progress(stage="fitting", done=1, total=2))
    assert ledger.renew([(claim.job_id, claim.fence)]) == set()
    ledger.job_logs.append([(claim.job_id, b'{"event": "begun"}')])
    assert ledger.release(claim)
    claim = claim_one(ledger)
    assert ledger.snooze(claim, 60.0, b"note", Progress(stage="waiting", done=1, total=2))
    assert ledger.resume_now(claim.job_id)
    claim = claim_one(ledger)
    assert ledger.running_jobs()
    ledger.submit(CheckHealth(nonce="next"), key="next", after=claim.job_id)
    assert ledger.settle(claim, REPORT)
    assert ledger.settle(claim_one(ledger), FAILURE)
    ledger.submission.submit_shadows([ShadowCard(card="card")], callers=["odds"])
    ledger.chains.submit("chain", [CheckHealth(nonce="1"), CheckHealth(nonce="2")])
    ledger.chains.cancel("chain")
    ledger.submit(CheckHealth(nonce="waits"), key="waits", not_before=SOON)
    ledger.cancel("waits")
    ledger.submit(CheckHealth(nonce="poison"), key="poison", caller="odds")
    for _ in range(ledger.settings.max_attempts):
        for lost in ledger.claim("predict", OWNER):
            ledger.report_worker_lost(lost.job_id, lost.fence, "it crashed")
    ledger.reap()
    assert ledger.job_index.page(JobQuery(caller="odds")).jobs
    ledger.job_index.sweep()
    assert [letter.job_id for letter in ledger.dead_letters.newest()] == ["poison"]
    ledger.dead_letters.requeue("poison")
    ledger.dead_letters.purge_many(["poison"])
    assert ledger.queue_stats.backlog().queues
    counts = ledger.server.key("counts")
    ledger.server.execute("HSET", counts, "durability", "disk")
    ledger.submit(CheckHealth(nonce="shown"), key="shown")
    assert all(ledger.settle(claim, REPORT) for claim in ledger.claim("predict", OWNER, 10))
    assert ledger.outcome_confirmation.confirm().shown >= 1
    ledger.server.execute("HDEL", counts, "durability")


def use_operations(ledger: Ledger) -> None:
    """Set controls, and use tokens and the quarantine."""
    ledger.controls.set({"pause.predict": True}, **BY)
    ledger.controls.set({"pause.predict": None}, **BY)
    assert ledger.controls.changes(name="pause.predict")
    assert ledger.stored_format.set_compression(on=False, **BY)
    fights = tuple(replace(card().fights[0], id=f"fight {number}") for number in range(9))
    ledger.submit(replace(card("long"), fights=fights), key="long")
    assert ledger.stored_format.set_compression(on=True, **BY)
    assert [count.replaced for count in ledger.stored_format.rewrite()][-1] >= 1
    ledger.cancel("long")
    token = ledger.tokens.create("odds", "producer", **BY, limits=CallerLimits(requests_per_second=10.0))
    assert ledger.tokens.verify(token.text)
    ledger.tokens.admit("odds")
    ledger.tokens.set_limits("odds", CallerLimits(jobs_per_day=10), **BY)
    ledger.submit(CheckHealth(nonce="counted"), caller="odds")
    ledger.tokens.revoke(token.record.token_id, **BY)
    ledger.quarantine.add("predict", b"odd")
    ledger.quarantine.purge("predict")


def use_feeds(ledger: Ledger) -> None:
    """Read a feed, with a change of its fights, and record prices."""
    lease = ledger.feeds.leases.join("feed", "runner", source="a folder", lease_seconds=60.0)
    ledger.server.fence = lease.fence
    ledger.feeds.begin_poll("feed", FeedState())
    retrieval = RetrievalRecord(read_at=NOW, sha256="a" * 64, payload_bytes=10, quotes=4)
    ledger.feeds.end_poll("feed", FeedState(), retrieval=retrieval, totals={"polls": 1})
    ledger.feeds.add_listed_fights([ListedFight(id="f", bout=("Ana", "Bea"), start=SOON)])
    names = ("Ana", "Bea")
    state = ListedState(start=SOON, bout=names, fighters=names, card_id="card")
    change = FightChange(
        id="1 f", feed="feed", kind="withdrawn", fight_id="f", fighters=names, start=SOON, card_id="card", read_at=NOW
    )
    assert ledger.feeds.changes.store(
        "feed", ListedFeed(compared=0, fights={}), NOW, changed={"f": state}, removed=[], changes=[change]
    )
    ledger.feeds.changes.plan(change)
    ledger.feeds.changes.finish(change)
    ledger.server.fence = ""
    ledger.feeds.leases.leave("feed", "runner")
    ledger.feeds.remove("feed")
    ledger.prices.record(card().fights, PAST)
    _, newest = ledger.prices.read_whole("f")
    assert ledger.prices.drop_archived("f", newest, "2026-10")


def use_bets_and_models(ledger: Ledger) -> None:
    """Place a bet and end it; store what monitoring stores."""
    bet = PlacedBet(
        bet_id="bet",
        job_id="card",
        card_id="card",
        fight_id="f",
        event_start=SOON,
        fighters=("Ana", "Bea"),
        fighter="Ana",
        bookmaker="a",
        price=2.0,
        stake=100,
        who="ann",
    )
    assert ledger.bets.place(bet).created
    ledger.bets.settle({"bet": "won"}, user="ann")
    ledger.fight_results.add([FightResult(date=PAST.date(), fighters=("Ana", "Bea"), winner=0)], user="ann")
    digest = hashlib.sha256(b"model").hexdigest()
    alarm = DriftAlarm(model=digest, findings=(), fights=0, raised_at=NOW, job_id="review")
    ledger.drift_alarms.mark_acted(ledger.drift_alarms.raise_alarm(alarm))
    ledger.fighters.publish(digest, FighterDirectory(["1"], ["Ana"], [False]))


def use_schedules(ledger: Ledger) -> None:
    """Run a schedule by hand, by its clock, and skip slots."""
    schedule = Schedule(name="hourly", cron="7 * * * *", jobs=(CheckHealth(),))
    ledger.schedules.put(schedule, **BY)
    run = ledger.schedules.run_now("hourly", **BY)
    ledger.cancel(run.job_ids[0])
    pools = ledger.due_runs()
    assert pools.note_outcomes()
    done = int((NOW - timedelta(hours=5)).timestamp() * 1000)
    ledger.server.execute("HSET", ledger.server.key("schedule", "hourly"), "done", done)
    pools.look()
    ledger.schedules.remove("hourly", **BY)


def use_webhooks(ledger: Ledger) -> None:
    """Deliver to a webhook, fail, and send again."""
    definition = WebhookDefinition(url="https://example.com/hook", kinds=("predict_card", "check_health"))
    hook = ledger.webhooks.create(definition, user="ann", after="0").webhook.id
    (held,) = ledger.webhook_queue.hold("relay", [])[1]
    plan = ledger.webhook_queue.load(hook)
    assert plan is not None
    batch = ledger.webhook_queue.read(plan.cursor, plan.seen)
    assert ledger.webhook_queue.enqueue(held, batch, batch.outcomes)
    due = ledger.webhook_queue.exchange(held, [], 10)
    assert due is not None
    entry = {"message_id": "msg_1", "type": "t", "job_id": "card", "result": "dead", "attempt": 1}
    results = [DeliveryResult(due=each, verdict="dead", entry=entry, error="gone") for each in due.deliveries]
    ledger.webhook_queue.exchange(held, results, 10)
    assert ledger.webhooks.replay(hook) + ledger.webhooks.purge(hook) == len(results)
    ledger.webhook_queue.hold("relay", [held])
    ledger.webhooks.change(hook, WebhookChange(enabled=True), user="ann")
    ledger.webhooks.rotate_secret(hook, user="ann")
    ledger.webhooks.test(hook)
    ledger.webhook_queue.release("relay", [replace(held)], ends=True)
    ledger.webhooks.delete(hook)


def use_archive(ledger: Ledger) -> None:
    """Move outcomes to an archive."""
    with TemporaryDirectory() as folder:
        assert archive_outcomes(ALL_DUE, handler_context(ledger, Path(folder))).archived
