"""Every command of the command line and every kind of job, to its end, under the users of deploy/users.acl."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import pytest
import redis
from click.testing import CliRunner

from engine.data.fight_log import write_fight_log
from ledger.contracts import codec
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import JobState
from ledger.contracts.jobs import ROUTES, CheckHealth, CollectGarbage
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.drift_alarms import DriftAlarm
from producer.cli.main import main
from producer.output.exit_codes import ExitCode
from tests.support.acl_server import denied, guarded_server, url_of, users_text
from tests.support.foreign_estimators import plain_system, save
from tests.support.local_runner import runner_in_this_process
from tests.support.small_models import LATER, first_card, small_league
from workers.models.model_store import Store

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]

WITHOUT_THE_SERVER = {("demo",), ("up",), ("predict",), ("preflight",), ("check",), ("audit", "verify")}
"""Commands that start a server of their own, or need none."""
A_PROCESS = {("worker",), ("serve",), ("relay",)}
"""The commands that become another process: a pool, which the test has, or a gateway."""
NODE = "node"
WAIT_SECONDS = 30
WHY = ("--reason", "a test")
SMALL = (
    "--bootstrap-samples",
    "0",
    "--fits",
    "1",
    "--folds",
    "3",
    "--forest-trees",
    "10",
    "--wait",
    "--timeout",
    "300",
)

Step = tuple[str, ...]


@dataclass
class Shop:
    """A server with users, pools, and some input in a folder. `ran` are the commands that were run, as their words."""

    address: str
    folder: Path
    cutoff: str
    ran: set[Step]

    def __call__(self, role: str, command: str, *arguments: str, ends: ExitCode = ExitCode.OK) -> Any:
        """Run a command as a role: the server must refuse it nothing. Return its document."""
        words = tuple(command.split())
        self.ran.add(words)
        environment = {"CORNERMAN_REDIS_URL": url_of(self.address, role), "CORNERMAN_DATA": str(self.folder)}
        with runner_in_this_process():
            done = CliRunner().invoke(main, [*words, *arguments, "--json"], env=environment, catch_exceptions=False)
        assert denied(self.address) == [], f"{role}: cornerman {command}"
        assert done.exit_code == ends, f"{role}: cornerman {command}: {done.output}"
        return json.loads(done.stdout.splitlines()[0]) if command == "follow" else json.loads(done.stdout)


@pytest.fixture
def users() -> str:
    return users_text()


@pytest.fixture
def address(tmp_path: Path, users: str) -> Iterator[str]:
    folder = tmp_path / "server"
    folder.mkdir()
    with guarded_server(folder, users) as address:
        yield address


@pytest.fixture
def ledger_settings(address: str) -> LedgerSettings:
    return LedgerSettings(redis_url=url_of(address, "worker"))


@pytest.fixture
def shop(address: str, ledger: Ledger, tmp_path: Path, start_pool: Callable[..., Any]) -> Shop:
    league = small_league(700)
    write_fight_log(league.log, tmp_path / "league")
    card = msgspec.structs.replace(first_card(league), event_start=LATER)
    (tmp_path / "card.json").write_bytes(codec.encode(card))
    (tmp_path / "results.csv").write_text("date,red,blue,winner\n2026-11-21,Ana,Bea,red\n")
    cutoff = sorted(league.log.fights["date"])[450]
    producer = Ledger.connect(LedgerSettings(redis_url=url_of(address, "producer")))
    for poison in ("poison", "poisons"):
        producer.submit(CheckHealth(nonce=poison), key=poison)
        while producer.status(poison).state is JobState.QUEUED:
            (claim,) = ledger.claim("predict", "n#1/1")
            ledger.report_worker_lost(poison, claim.fence)
    producer.close()
    ledger.quarantine.add("predict", b"odd")
    for queue in ("predict", "train", "monitor"):
        start_pool(queue=queue, real=True, concurrency=1, CORNERMAN_NODE=NODE)
    return Shop(address, tmp_path, str(cutoff)[:10], set())


def commands(group: click.Group = main, path: Step = ()) -> set[Step]:
    """Return every command that there is, as its words."""
    found: set[Step] = set()
    for name, command in group.commands.items():
        inner = (*path, name)
        found |= commands(command, inner) if isinstance(command, click.Group) else {inner}
    return found


def use_chains(shop: Shop) -> None:
    (shop.folder / "jobs.json").write_text('[{"kind": "check_health", "nonce": "1"}, {"kind": "check_health"}]')
    for role in ("producer", "operator"):
        shop(role, "chains submit", f"chain of {role}", str(shop.folder / "jobs.json"), "--after", "card of producer")
        shop(role, "chains cancel", f"chain of {role}")


def run_bet_commands(shop: Shop) -> None:
    answered = msgspec.json.decode((shop.folder / "card.json").read_bytes())
    bout = answered["fights"][0]["id"]
    names = [fighter["name"] for fighter in answered["fights"][0]["fighters"]]
    for role, name in zip(("producer", "operator"), names, strict=True):
        taken = ("--stake", "100", "--fighter", name, "--bookmaker", "A", "--price", "2", "--bet-id", role)
        shop(role, "bets place", "card of producer", bout, *taken)
        shop(role, "bets follow", "--once")
        shop(role, "bets settle")
        shop(role, "bets void", role, *WHY)
    for role in ("producer", "reader", "operator"):
        shop(role, "bets list", "--all")
        shop(role, "bets show", "producer")
        shop(role, "bets exposure")
        shop(role, "bets account")


def run_archive_commands(shop: Shop) -> None:
    for role in ("producer", "operator"):
        shop(role, "archive run", "--keep-days", "0")
    for role in ("reader", "operator"):
        shop(role, "archive status")
        assert shop(role, "archive list", "--kind", "backtest")
        shop(role, "archive find", "trained")
        shop(role, "archive verify")


def test_every_command_and_every_kind_of_job(shop: Shop, ledger: Ledger) -> None:
    league = str(shop.folder / "league")
    enqueue = ("enqueue", "--card", str(shop.folder / "card.json"), "--key")
    files = [f"{name}={path}" for name, path in save(plain_system(), shop.folder).items()]

    # What stands in the lists that only operators may touch.
    shop("operator", "dead-letters list")
    shop("operator", "dead-letters show", "poison")
    shop("operator", "dead-letters requeue", "poison")
    shop("operator", "dead-letters purge", "--all")
    shop("operator", "quarantine list")
    shop("operator", "quarantine purge")

    # Models, cards and what is made of them.
    train = ("train", league, "--cutoff", shop.cutoff, *SMALL)
    shop("producer", *train, "--key", "trained")
    shop("operator", *train, "--seed", "2")
    shop("producer", "backtest", league, "--from", "2025", *SMALL)
    for role in ("producer", "operator"):
        shop(role, "health")
        shop(role, *enqueue, f"card of {role}", "--wait")
        shop(role, "replay", f"card of {role}")
        shop(role, "models compare")
        shop(role, "models review")
        shop(role, "models collect", "--dry-run" if role == "producer" else "--keep-days=0")
    shop("producer", "replay", "trained", "--retrain", "--timeout", "300")
    shop("operator", "models promote", "challenger", "--data", league, "--force", *WHY)
    shop("operator", "models rollback", *WHY)
    raise_alarm(ledger, str(ledger.aliases.resolve("champion")))
    shop("operator", "models clear-alarm", "champion", *WHY)
    shop("producer", "models update", league, "--rerun")
    shop("operator", "models update", league, "--promote", *WHY)
    shop("operator", "models reanchor", league, "--base", "champion", *WHY)
    shop("operator", "models import-joblib", *files, "--trust", "--trained-until", "2024-01-01", "--alias", "other")
    shop("operator", "fight-results add", str(shop.folder / "results.csv"))
    shop("operator", "fight-results list", "--changes")
    shop("producer", "fight-log import", league, "--log", str(shop.folder / "log"))
    shop("reader", "fight-log links", str(shop.folder / "log"))
    shop("reader", "fight-log changes", str(shop.folder / "log"))

    # Feeds.
    dump = shop.folder / "dump.json"
    dump.write_text('{"timestamp": "2026-11-20T12:00:00Z", "data": []}')
    for role in ("producer", "operator"):
        shop(role, "feed run", str(dump), "--format", "decimal", "--name", role)
    for role in ("reader", "operator"):
        shop(role, "feed status")
        shop(role, "feed retrievals", "producer")
        shop(role, "feed events", "producer")
    shop("operator", "feed remove", "producer")

    # Prices.
    begun = datetime.now(UTC) - timedelta(days=40)
    market = {"key": "h2h", "outcomes": [{"name": "Ana", "price": 2.0}, {"name": "Bea", "price": 1.8}]}
    fight = {"id": "priced", "commence_time": begun.isoformat(), "home_team": "Ana", "away_team": "Bea"}
    fight_with_prices = {**fight, "bookmakers": [{"key": "a", "markets": [market]}]}
    read = (begun - timedelta(hours=1)).isoformat()
    dump.write_text(json.dumps({"timestamp": read, "data": [fight_with_prices]}))
    shop("producer", "feed run", str(dump), "--format", "decimal", "--name", "prices")
    for role in ("producer", "operator"):
        shop(role, "prices archive")
    for role in ("producer", "reader", "operator"):
        shop(role, "prices list")
        shop(role, "prices history", "priced")
        shop(role, "prices at", "priced", begun.isoformat())
        shop(role, "prices export", str(shop.folder / "prices.csv"), "priced")
        assert shop(role, "prices close", "priced")["quotes"]
    use_chains(shop)

    run_bet_commands(shop)

    # What everybody may read.
    for role in ("producer", "reader", "operator"):
        shop(role, "result", "card of producer")
        shop(role, "follow", "--after", "0", "--limit", "1")
        shop(role, "status", "card of producer")
        shop(role, "models list")
        shop(role, "models show", "champion")
        shop(role, "models diff", "champion", "challenger")
        shop(role, "models history")
        shop(role, "jobs list", "--kind", "predict_card")
        shop(role, "jobs show", "card of producer")
        shop(role, "chains show", "chain of producer")
    for role in ("reader", "operator"):
        shop(role, "status")
        shop(role, "dead-letters list")
        shop(role, "quarantine list")
        shop(role, "fight-results list")
        shop(role, "set", "--list")
        shop(role, "set", "--history")

    # Webhooks, without a relay.
    hook = shop("operator", "webhooks create", "https://example.com/hook")["webhook"]["id"]
    for role in ("reader", "operator"):
        shop(role, "webhooks list")
        shop(role, "webhooks show", hook)
        shop(role, "webhooks deliveries", hook)
        shop(role, "webhooks dead-letters", hook)
    shop("operator", "webhooks test", hook, "--timeout", "0", ends=ExitCode.TIMEOUT)
    shop("operator", "webhooks update", hook, "--decision", "bet")
    shop("operator", "webhooks rotate-secret", hook)
    shop("operator", "webhooks replay", hook, "--all")
    shop("operator", "webhooks delete", hook)

    # The tokens of gateways.
    token = shop("operator", "tokens create", "odds", "--role", "producer", *WHY)["token"]["token_id"]
    shop("operator", "tokens limit", "odds", "--rate", "10", *WHY)
    shop("operator", "tokens list")
    shop("operator", "tokens revoke", token, *WHY)
    shop("operator", "tokens history")

    # Bets.
    for role in ("producer", "operator"):
        shop(role, "bets review", "--wait")

    schedules(shop)

    # The controls.
    shop("operator", "set", "max_threads=1", *WHY)
    shop("operator", "unset", "max_threads", *WHY)
    shop("operator", "scale", "1", "--pool", "predict", *WHY)
    shop("operator", "pause", "predict", *WHY)
    for role in ("reader", "operator"):
        shop(role, "alerts", ends=ExitCode.FAILED)
        shop(role, "bets export", "--output", str(shop.folder / "bets.csv"))
        shop(role, "audit export", "--output", str(shop.folder / "audit.jsonl"))
    for role in ("producer", "operator"):
        shop(role, *enqueue, f"late card of {role}", "--durable")
        shop(role, "cancel", f"late card of {role}")
    shop("operator", "resume", "predict", *WHY)
    shop("operator", "drain", NODE, "--wait", *WHY)
    shop("operator", "resume", NODE, *WHY)
    shop("reader", "compression")
    shop("operator", "compression", "off", "--rewrite", *WHY)
    shop("operator", "compression", "on", "--rewrite", *WHY)
    ended = endings(shop.address)
    run_archive_commands(shop)
    ended |= endings(shop.address)

    assert shop.ran == commands() - WITHOUT_THE_SERVER - A_PROCESS
    assert ended.keys() == ROUTES.keys()
    assert not {"internal", "queued", "running"} & set().union(*ended.values()), ended
    assert denied(shop.address) == []


def schedules(shop: Shop) -> None:
    """Run every command about schedules."""
    nightly = ("nightly", "--cron", "30 2 * * *", "--job", "check_health")
    shop("operator", "schedules put", *nightly, *WHY)
    shop("operator", "schedules run", "nightly", *WHY)
    shop("operator", "schedules pause", "nightly", *WHY)
    shop("operator", "schedules resume", "nightly", *WHY)
    for role in ("producer", "reader", "operator"):
        shop(role, "schedules list")
        shop(role, "schedules show", "nightly")
        shop(role, "schedules history", "nightly")
        shop(role, "schedules changes")
    shop("operator", "schedules remove", "nightly", *WHY)


def raise_alarm(worker: Ledger, model: str) -> None:
    """Raise an alarm about a model and act on it, as a review does that has found something."""
    raised = DriftAlarm(model=model, findings=(), fights=0, raised_at=datetime.now(UTC), job_id="review")
    worker.drift_alarms.mark_acted(worker.drift_alarms.raise_alarm(raised))
    worker.controls.set({f"abstain.{model}": True}, user="review", reason="a test")


def endings(address: str) -> dict[str, set[str]]:
    """Return how jobs ended, by kind."""
    ended: dict[str, set[str]] = {}
    with redis.Redis.from_url(url_of(address, "admin")) as admin:
        for key in admin.scan_iter("cornerman:job:*"):
            kind, state, failure = admin.hmget(key, "kind", "state", "failure")
            how = codec.decode_failure(failure).code.value if failure else state.decode()
            ended.setdefault(kind.decode(), set()).add(how)
    return ended


class TestAWorkerThatMayNot:
    @pytest.fixture
    def users(self) -> str:
        return users_text().replace(" +scan", "")

    def test_ends_the_job_and_says_why(self, address: str, start_pool: Callable[..., Any], tmp_path: Path) -> None:
        Store(tmp_path / "models").write({"numbers": np.arange(3)}, {})  # or there is nothing to look for
        producer = Ledger.connect(LedgerSettings(redis_url=url_of(address, "producer")))
        pool = start_pool(queue="train", real=True, concurrency=1)
        outcome = producer.wait(producer.submit(CollectGarbage(nonce="x")).job_id, WAIT_SECONDS)
        assert outcome.failure is not None
        assert (outcome.failure.code, outcome.failure.retryable) == (FailureCode.INTERNAL, True)
        assert "deploy/users.acl" in outcome.failure.message
        assert '"event": "ledger permission denied"' in pool.log.read_text()
        producer.close()
