"""Who may do what on a real server: the users of deploy/users.acl, TLS, and what is said of a password."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from ledger.contracts.failures import LedgerUnavailableError, PermissionDeniedError
from ledger.contracts.job_state import JobState, Progress
from ledger.contracts.jobs import CheckHealth, ShadowCard, TrainEnsemble
from ledger.contracts.prediction_record import PredictionPage, PredictionRecord
from ledger.contracts.reports import HealthReport
from ledger.contracts.webhooks import WebhookChange, WebhookDefinition
from ledger.feeds.listed_fights import ListedFight
from ledger.ledger import Ledger, LedgerSettings, Settlement
from ledger.models.fight_results import FightResult
from ledger.server.embedded_server import EmbeddedServer
from ledger.server.lua_scripts import script_texts
from ledger.webhooks.delivery_queue import DeliveryResult, HeldWebhook
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.acl_server import ROLES, USERS, guarded_server, url_of, users_text
from tests.support.certificates import make_certificate
from tests.support.tls_proxy import tls_before
from workers.app import create_app
from workers.settings import WorkerSettings

REPORT = HealthReport(status="healthy", checks=(), memory_mb=1.0)
WAIT_SECONDS = 30
Users = dict[str, Ledger]
START = datetime(2099, 1, 3, tzinfo=UTC)
SAID = PredictionRecord(
    day=START.date(),
    fighters=("Ana", "Bea"),
    model="d" * 64,
    role="live",
    job_id="own",
    probability=0.5,
    intervals=(),
    action="abstain",
)
PAGE = PredictionPage.from_records(START, [("ana v bea", SAID)])
RESULT = FightResult(date=date(2026, 11, 21), fighters=("Ana", "Bea"), winner=0)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server whose users are those of the file, with passwords, and a worker with fewer rights."""
    text = users_text()
    worker = next(line for line in text.splitlines() if line.startswith("user worker "))
    text += worker.replace("user worker", "user former").replace(" +pubsub|numsub", "") + "\n"
    with guarded_server(tmp_path_factory.mktemp("guarded"), text) as address:
        yield address


def test_placeholders_are_no_passwords(tmp_path: Path) -> None:
    with pytest.raises(redis.ResponseError, match=r"PRODUCER_SHA256|hash"), guarded_server(tmp_path, USERS.read_text()):
        pass


@pytest.fixture
def users(guarded: str) -> Iterator[Users]:
    opened = {role: Ledger.connect(LedgerSettings(redis_url=url_of(guarded, role))) for role in ROLES}
    yield opened
    for ledger in opened.values():
        ledger.close()


def test_each_can_do_its_own_work(users: Users) -> None:
    producer, worker, reader, operator, gateway = (users[role] for role in ROLES)
    job_id = producer.submit(CheckHealth(nonce="own"), durable=True).job_id
    cancelled = producer.submit(CheckHealth(nonce="cancelled")).job_id
    assert producer.cancel(cancelled).state is JobState.CANCELLED
    listed = ListedFight(id="f", bout=("ann", "bea"), start=datetime.fromtimestamp(producer.server.time() + 3600, UTC))
    assert [fight.id for fight in producer.feeds.add_listed_fights([listed])] == ["f"]
    producer.feeds.remember_request("card", "digest", job_id, until=listed.start)
    assert producer.feeds.last_request("card") == ("digest", job_id)
    (claim,) = worker.claim("predict", "n#1/1")
    assert worker.renew([(job_id, claim.fence)]) == set()
    assert worker.set_progress(claim, Progress(stage="s", done=1, total=2))
    assert [held.job_id for held in worker.running_jobs("n#1/")] == [job_id]
    assert worker.release(claim)
    (claim,) = worker.claim("predict", "n#1/1")
    assert worker.settle_batch([Settlement.from_result(claim, REPORT, PAGE)]) == [True]
    worker.reap()
    assert worker.submission.submit_shadows([ShadowCard(card=job_id)]) == 1
    assert (
        [entry.day for entry in worker.prediction_log.entries()]
        == [entry.day for entry in operator.prediction_log.entries()]
        == [SAID.day]
    )
    assert operator.fight_results.add([RESULT], user="ann").added == 1
    assert len(worker.fight_results.all()) == len(operator.fight_results.changes()) == 1
    worker.models.register("d" * 64, {"fights": 1})
    worker.aliases.set("champion", "d" * 64)
    worker.models.register("e" * 64, {})
    step = {"verify": lambda _: None, "user": "job 1", "reason": "a test"}
    worker.aliases.move("champion", "e" * 64, **step)
    worker.aliases.roll_back("champion", **step)
    assert worker.aliases.resolve("champion") == "d" * 64
    worker.pools.announce("n#1", {"children": 1}, 60.0)
    worker.quarantine.add("predict", b"odd")
    worker.liveness_probes.send("canary-n#1", b"q", 60.0)
    worker.liveness_probes.set_answer("canary-n#1", b"a", 60.0)
    assert (worker.liveness_probes.question("canary-n#1"), worker.liveness_probes.answer("canary-n#1")) == (b"q", b"a")
    for side in (producer, reader, operator, gateway):
        assert side.wait(job_id, 5).report == REPORT
        assert side.status("never").state is JobState.UNKNOWN
        assert [outcome.job_id for _, outcome in side.follow("0", idle_seconds=0.01)][-1] == job_id
        assert side.pools.alive()[0]["name"] == "n#1"
        assert side.models.all()[0]["aliases"] == ["champion"]
        assert side.queue_stats.depths()["predict"] == 0
        assert side.server.time() > 0
    assert reader.quarantine.items("predict") == operator.quarantine.items("predict") == [b"odd"]
    poison = producer.submit(CheckHealth(nonce="poison"), key="poison").job_id
    while producer.status(poison).state is JobState.QUEUED:
        (claim,) = worker.claim("predict", "n#1/1")
        worker.report_worker_lost(poison, claim.fence)
    assert [letter.job_id for letter in reader.dead_letters.newest()] == [poison]
    assert operator.dead_letters.requeue(poison).job_id == "poison~2"
    assert operator.dead_letters.purge_all() == 0
    assert operator.quarantine.purge("predict") == 1
    assert operator.cancel("poison~2").state is JobState.CANCELLED
    operator.aliases.set("challenger", "d" * 64)
    operator.controls.set({"max_threads": 1, "model.champion": "d" * 64}, user="ann", reason="a test")
    assert [change.name for change in operator.controls.last_changes()] == ["max_threads"]
    assert operator.controls.changes()[0].name == "model.champion"
    assert operator.queue_stats.backlog().queues["predict"].waiting == 0
    assert operator.outcome_stats.recent().ends["cancelled"] > 0
    assert operator.server.memory().used_bytes > 0
    assert worker.controls.current() == operator.controls.current()
    created = operator.webhooks.create(WebhookDefinition(url="https://example.com"), user="ann", after="0")
    held = deliver_all(gateway)
    for side in (worker, reader, operator, gateway):
        assert side.webhooks.get(created.webhook.id).delivered == side.webhooks.figures().delivered > 0
    for side in (operator, gateway):
        assert side.webhooks.rotate_secret(created.webhook.id, user="ann").secret != created.secret
        side.webhooks.test(created.webhook.id)
        side.webhooks.replay(created.webhook.id)
        assert not side.webhooks.change(created.webhook.id, WebhookChange(enabled=False), user="ann").enabled
    gateway.webhook_queue.release("relay", held, ends=True)
    operator.webhooks.delete(created.webhook.id)


def deliver_all(gateway: Ledger) -> list[HeldWebhook]:
    """Let a relay deliver everything that is settled, without posting it."""
    queue = gateway.webhook_queue
    _, (held,) = queue.hold("relay", [])
    plan = queue.load(held.id)
    assert plan is not None
    batch = queue.read(plan.cursor, plan.seen)
    assert queue.enqueue(held, batch, batch.outcomes)
    due = queue.exchange(held, [], 100)
    assert due is not None
    assert all(queue.message(held.id, each) for each in due.deliveries)
    assert queue.exchange(held, [DeliveryResult(due=each, verdict="delivered") for each in due.deliveries], 0)
    return [held]


@pytest.mark.parametrize("role", ["reader", "operator"])
def test_who_reads_sees_how_everything_stands(
    users: Users, guarded: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    users["producer"].submit(TrainEnsemble(data=f"for {role}"))
    assert users[role].server.execute(
        "SCRIPT", "LOAD", script_texts()["backlog"]
    )  # as `status` does where the server has forgotten it
    monkeypatch.setenv("CORNERMAN_REDIS_URL", url_of(guarded, role))
    done = CliRunner().invoke(main, ["status", "--json"])
    assert done.exit_code == ExitCode.OK, done.output
    assert json.loads(done.stdout)["queues"]["train"]["waiting"] > 0


SECRETS = ("HGETALL", "cornerman/webhooks:secrets")
FORBIDDEN: dict[str, list[Callable[[Ledger], Any]]] = {
    "producer": [
        lambda ledger: ledger.server.execute(*SECRETS),
        lambda ledger: ledger.webhooks.create(WebhookDefinition(url="https://example.com"), user="ann"),
        lambda ledger: ledger.claim("predict", "n#1/1"),
        lambda ledger: ledger.running_jobs(),
        lambda ledger: ledger.reap(),
        lambda ledger: ledger.quarantine.items("predict"),
        lambda ledger: ledger.pools.announce("p", {}, 1.0),
        lambda ledger: ledger.dead_letters.purge_all(),
        lambda ledger: ledger.server.execute("BRPOP", "cornerman:doorbell:predict", 1),
    ],
    "worker": [
        lambda ledger: ledger.server.execute(*SECRETS),
        lambda ledger: ledger.webhooks.create(WebhookDefinition(url="https://example.com"), user="ann"),
        lambda ledger: ledger.dead_letters.purge_all(),
        lambda ledger: next(ledger.follow("0", idle_seconds=0.01)),
        lambda ledger: ledger.quarantine.items("predict"),
    ],
    "reader": [
        lambda ledger: ledger.server.execute(*SECRETS),
        lambda ledger: ledger.webhooks.create(WebhookDefinition(url="https://example.com"), user="ann"),
        lambda ledger: ledger.submit(CheckHealth(nonce="from a reader")),
        lambda ledger: ledger.cancel("own"),
        lambda ledger: ledger.claim("predict", "n#1/1"),
        lambda ledger: ledger.renew([("own", 1)]),
        lambda ledger: ledger.reap(),
        lambda ledger: ledger.aliases.set("champion", "e" * 64),
        lambda ledger: ledger.controls.set({"bootstrap": False}, user="r", reason="w"),
        lambda ledger: ledger.quarantine.add("predict", b"x"),
        lambda ledger: ledger.quarantine.purge("predict"),
        lambda ledger: ledger.dead_letters.purge_all(),
        lambda ledger: ledger.server.execute("HSET", "cornerman:job:own", "state", "succeeded"),
        lambda ledger: ledger.server.execute("PUBLISH", "cornerman:news:0:own", "settled"),
    ],
    "operator": [
        lambda ledger: ledger.claim("predict", "n#1/1"),
        lambda ledger: ledger.reap(),
        lambda ledger: ledger.server.execute("BRPOP", "cornerman:doorbell:predict", 1),
    ],
    "gateway": [
        lambda ledger: ledger.reap(),
        lambda ledger: ledger.server.execute("BRPOP", "cornerman:doorbell:predict", 1),
    ],
}


def test_a_worker_whose_rights_are_from_before_can_settle(users: Users, guarded: str) -> None:
    producer = users["producer"]
    former = Ledger.connect(LedgerSettings(redis_url=url_of(guarded, "worker", name="former")))
    with pytest.raises(PermissionDeniedError, match="may not do that"):
        former.server.execute("PUBSUB", "NUMSUB", "cornerman:news:0:x")
    job_id = producer.submit(CheckHealth(nonce="before")).job_id
    (claim,) = former.claim("predict", "n#1/1")
    assert former.settle(claim, REPORT)
    assert producer.wait(job_id, WAIT_SECONDS).report == REPORT
    former.close()


@pytest.mark.parametrize("role", ROLES)
def test_each_can_do_nothing_else(users: Users, role: str) -> None:
    for attempt in FORBIDDEN[role]:
        with pytest.raises(PermissionDeniedError, match="may not do that"):
            attempt(users[role])


HARMFUL: list[tuple[str, ...]] = [
    ("FLUSHALL",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("SHUTDOWN",),
    ("KEYS", "*"),
    ("SCRIPT", "FLUSH"),
    ("ACL", "LIST"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("MODULE", "LIST"),
    ("REPLICAOF", "NO", "ONE"),
    ("GET", "another:key"),
    ("HGET", "another:key", "field"),
    ("SUBSCRIBE", "another:channel"),
    ("PUBLISH", "celery.pidbox", "shutdown"),
]


@pytest.mark.parametrize("role", ROLES)
def test_nobody_can_harm_the_server_or_leave_the_namespace(users: Users, role: str) -> None:
    for command in HARMFUL:
        with pytest.raises(PermissionDeniedError, match="may not do that"):
            users[role].server.execute(*command)


def test_nobody_comes_in_without_a_name(guarded: str) -> None:
    with pytest.raises(LedgerUnavailableError, match=r"asks for a password|does not accept"):
        Ledger.connect(LedgerSettings(redis_url=f"redis://{guarded}"))


@pytest.fixture
def tls(valkey: EmbeddedServer, tmp_path: Path) -> Iterator[str]:
    """A `rediss://` address whose certificate only those trust who name it."""
    authority = make_certificate(tmp_path)
    with tls_before(valkey.url.removeprefix("redis://"), authority) as port:
        yield f"rediss://localhost:{port}/0?ssl_ca_certs={authority}"


class TestTls:
    @pytest.fixture
    def ledger_settings(self, tls: str) -> LedgerSettings:
        return LedgerSettings(redis_url=tls, namespace=f"tls-{re.sub('[^0-9]', '', tls)[:8]}")

    def test_client_and_pool_speak_it(self, ledger: Ledger, start_pool: Callable[..., Any]) -> None:
        pool = start_pool(concurrency=1)
        job_id = ledger.submit(CheckHealth(nonce="answer"), durable=True).job_id
        assert ledger.wait(job_id, WAIT_SECONDS).state is JobState.SUCCEEDED
        assert pool.stop() == 0

    def test_a_certificate_that_nobody_vouches_for_is_refused(self, tls: str) -> None:
        with pytest.raises(LedgerUnavailableError, match=r"(?i)certificate"):
            Ledger.connect(LedgerSettings(redis_url=tls.partition("?")[0]))

    def test_a_certificate_for_another_host_is_refused(self, tls: str) -> None:
        with pytest.raises(LedgerUnavailableError, match=r"(?i)mismatch|certificate"):
            Ledger.connect(LedgerSettings(redis_url=tls.replace("localhost", "127.0.0.1")))

    def test_who_speaks_no_tls_is_not_answered(self, tls: str) -> None:
        with pytest.raises(LedgerUnavailableError):
            Ledger.connect(LedgerSettings(redis_url=tls.partition("?")[0].replace("rediss", "redis")))


class TestPassword:
    """A pool under a user with a password, whatever goes wrong, never says it."""

    @pytest.fixture
    def ledger_settings(self, guarded: str) -> LedgerSettings:
        return LedgerSettings(redis_url=url_of(guarded, "worker"))

    def test_no_log_shows_it(self, users: Users, start_pool: Callable[..., Any], until: Callable[..., None]) -> None:
        pool = start_pool(concurrency=1, CORNERMAN_LOG_LEVEL="DEBUG")
        job_id = users["producer"].submit(CheckHealth(nonce="nan")).job_id
        assert users["producer"].wait(job_id, WAIT_SECONDS).state is JobState.FAILED
        assert pool.stop() == 0
        log = pool.log.read_text()
        assert '"event": "job"' in log
        assert not re.search("s3cret|w0rd", log)

    def test_no_value_shows_it(self, ledger_settings: LedgerSettings, ledger: Ledger) -> None:
        settings = WorkerSettings(ledger=ledger_settings)
        app = create_app(settings, {})
        shown = (settings, ledger_settings, ledger, ledger.server.client, app, app.conf.humanize(), app.connection())
        for value in (*shown, app.conf.broker_url, app.conf.table()):
            assert not re.search("s3cret|w0rd", f"{value!r} {value!s}"), type(value)

    @pytest.mark.parametrize("role", ["worker", "stranger"])
    def test_no_error_shows_it(self, guarded: str, role: str) -> None:
        for address in (guarded, "127.0.0.1:1"):
            url = url_of(address, role).replace("-worker", "-wrong")
            with pytest.raises(LedgerUnavailableError) as caught:
                Ledger.connect(LedgerSettings(redis_url=url))
            error: BaseException | None = caught.value
            while error is not None:
                assert not re.search("s3cret|w0rd", f"{error!r} {error!s}")
                error = error.__cause__ or error.__context__


def test_a_pool_under_its_user_trains_no_stranger(users: Users) -> None:
    """The list of doorbells is the worker's to read; who may only read cannot wake one."""
    with pytest.raises(PermissionDeniedError, match="may not do that"):
        users["reader"].submit(TrainEnsemble(data="d"))
    with pytest.raises(redis.ResponseError):
        users["reader"].server.client.lpush("cornerman:doorbell:predict", "!")
