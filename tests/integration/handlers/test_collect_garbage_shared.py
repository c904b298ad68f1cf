"""What a collection leaves alone: what other ledgers use, and what somebody comes to use or name while it runs."""

from __future__ import annotations

import os
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.model.bundle import MANIFEST
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import CheckHealth, CollectGarbage, TrainPart
from ledger.contracts.reports import GarbageReport
from ledger.ledger import Ledger, LedgerSettings
from ledger.models.model_references import ModelReferences, find_digests
from ledger.server.embedded_server import EmbeddedServer
from ledger.server.server import Server
from workers.errors import StoreUnavailableError
from workers.handlers.collect_garbage import collect_garbage
from workers.jobs.context import ClaimLostError
from workers.models.model_store import PARTS, PREPARED, Store

NOW = CollectGarbage(keep_days=0, keep_training_days=0)
DIGEST = "0123456789abcdef" * 4
WHO = {"user": "ann", "reason": "a test"}


class InterruptedReferences(ModelReferences):
    """References to models; the next of `meanwhile` happens before each reading."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.meanwhile: list[Callable[[], object]] = []

    def referenced(self, *given: Any, **more: Any) -> set[str]:
        """Read, after something has happened."""
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return super().referenced(*given, **more)


class Shop(Ledger):
    """A ledger with a store; `meanwhile` is what happens before each reading of the references, in turn."""

    references: InterruptedReferences
    store: Store

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.references = InterruptedReferences(server)

    @property
    def meanwhile(self) -> list[Callable[[], object]]:
        return self.references.meanwhile

    @meanwhile.setter
    def meanwhile(self, events: list[Callable[[], object]]) -> None:
        self.references.meanwhile = events

    def model(self, seed: int = 1) -> str:
        """Write a model and register it."""
        digest = self.store.write({"numbers": np.arange(3)}, {"seed": seed}).digest
        self.models.register(digest, {"seed": seed})
        return digest

    def training(self, seed: int = 1) -> str:
        """Write what a training was prepared to, and a part."""
        digest = self.store.write({"rows": np.arange(3)}, {"seed": seed}, PREPARED).digest
        self.store.write({"logit": np.ones(2)}, {}, f"{PARTS}/{digest}", "fold-0-1")
        return digest

    def collect(self, job: CollectGarbage = NOW, progress: Callable[..., None] = lambda *_: None) -> GarbageReport:
        """Collect as a worker does."""
        context: Any = SimpleNamespace(
            store=self.store, ledger=self, claim=SimpleNamespace(job_id="collection"), progress=progress
        )
        return collect_garbage(job, context)

    def known(self) -> dict[str, Any]:
        """Return the summaries of the models by digest."""
        return {model["digest"]: model["summary"] for model in self.models.all()}


@pytest.fixture(params=["folder", "url"])
def open_shop(request: pytest.FixtureRequest, valkey: EmbeddedServer, tmp_path: Path) -> Iterator[Callable[[], Shop]]:
    opened: list[Shop] = []

    def new() -> Shop:
        shop = Shop.connect(LedgerSettings(redis_url=valkey.url, namespace=f"test-{uuid.uuid4().hex}"))
        opened.append(shop)
        folder = tmp_path / ("models" if request.param == "folder" else f"machine-{len(opened)}")
        url = "" if request.param == "folder" else f"file://{tmp_path / 'shared'}"
        shop.store = Store(folder, url, ledger=shop.references.ledger_id())
        return shop

    yield new
    for shop in opened:
        shop.close()


@pytest.fixture
def shop(open_shop: Callable[[], Shop]) -> Shop:
    return open_shop()


@pytest.fixture
def other(open_shop: Callable[[], Shop]) -> Shop:
    return open_shop()


def age(store: Store, days: float = 30) -> None:
    """Let all that lies in a store be old, but what is younger on this machine."""
    then = time.time() - days * 86_400
    for path in store.folder.parent.rglob("*"):
        os.utime(path, (then, then))


def test_each_collects_what_it_alone_uses(shop: Shop, other: Shop) -> None:
    champion, both, unused = shop.model(1), shop.model(2), shop.model(3)
    shop.aliases.set("champion", champion)
    other.model(2)
    theirs, ours = shop.training(1), other.training(2)
    assert other.collect().models == ()
    assert shop.store.bundle_names("") == {champion, both, unused}
    assert shop.store.bundle_names(PREPARED) == {theirs}
    assert shop.collect().models == (unused,)
    assert shop.store.bundle_names("") == {champion, both}
    assert ours not in shop.store.bundle_names(PREPARED)


def test_what_two_use_goes_when_both_have_done_with_it(shop: Shop, other: Shop) -> None:
    digest = shop.model()
    assert other.model() == digest
    assert shop.collect().models == ()
    other.store.owners.drop_claims(digest)
    assert shop.collect().models == (digest,)


def test_models_from_before_stay_until_they_are_adopted(shop: Shop, other: Shop) -> None:
    store = shop.store
    before = Store(store.folder, store._url)
    digests = [before.write({"numbers": np.arange(3)}, {"seed": seed}).digest for seed in range(3)]
    age(store)
    named, theirs, unused = digests
    shop.aliases.set("champion", named)
    other.aliases.set("champion", theirs)
    found = shop.collect()
    assert (found.models, found.unclaimed) == ((), 2)
    other.collect()  # claims what it names
    adopting = CollectGarbage(keep_days=7, adopt=True)
    assert shop.collect(CollectGarbage(keep_days=7, adopt=True, dry_run=True)).models == (unused,)
    found = shop.collect(adopting)
    assert (found.models, found.unclaimed) == ((unused,), 0)
    assert store.bundle_names("") == {named, theirs}


def test_a_model_that_gets_a_job_meanwhile_stays_and_is_known_again(shop: Shop) -> None:
    asked, unused = shop.model(1), shop.model(2)
    shop.meanwhile = [lambda: None, lambda: None, lambda: shop.submit(CheckHealth(model=asked))]
    assert shop.collect().models == (unused,)
    assert shop.known() == {asked: {"seed": 1}}
    assert shop.store.open(asked).digest == asked


def test_no_name_is_moved_to_a_model_that_goes(shop: Shop) -> None:
    digest = shop.model()

    def name() -> None:
        with pytest.raises(JobRefusedError, match="registered"):
            shop.aliases.move("champion", digest, verify=lambda _: None, **WHO)

    shop.meanwhile = [lambda: None, lambda: None, name]
    assert shop.collect().models == (digest,)
    assert shop.aliases.resolve("champion") is None


def test_a_name_that_was_just_being_moved_keeps_its_model(shop: Shop) -> None:
    digest = shop.model()
    shop.collect(progress=lambda *_: shop.aliases.set("champion", digest))
    assert shop.store.bundle_names("") == {digest}
    assert shop.known() == {digest: {"seed": 1}}


def test_a_model_that_is_trained_again_meanwhile_stays(shop: Shop) -> None:
    digest = shop.model()
    age(shop.store)
    shop.meanwhile = [lambda: shop.model()]
    assert shop.collect(CollectGarbage()).models == ()
    assert shop.known() == {digest: {"seed": 1}}
    assert shop.store.open(digest).digest == digest


def test_who_trains_it_again_too_late_is_told_to_come_again(shop: Shop) -> None:
    digest = shop.model()

    def train() -> None:
        with pytest.raises(StoreUnavailableError, match="is being removed"):
            shop.model()

    shop.meanwhile = [lambda: None, lambda: None, train]
    assert shop.collect().models == (digest,)
    assert shop.model() == digest
    assert shop.store.open(digest).digest == digest


def test_a_training_under_way_stays_however_old(shop: Shop) -> None:
    digest = shop.training()
    age(shop.store)
    part = TrainPart(
        of="whole",
        prepared=digest,
        name="fold-0-1",
        fights=3,
        columns=1,
        max_training_time_seconds=60.0,
        max_memory_mb=1e3,
    )
    job_id = shop.submit(part).job_id
    assert shop.collect().trainings == ()
    shop.cancel(job_id)
    assert shop.collect().trainings == (digest,)
    assert shop.store.bundle_names(f"{PARTS}/{digest}") == set()


def test_a_collection_that_is_cancelled_leaves_everything_as_it_was(shop: Shop) -> None:
    digests = {shop.model(seed) for seed in range(3)}

    def cancelled(stage: str, done: int, total: int) -> None:
        if done == 1:
            raise ClaimLostError

    with pytest.raises(ClaimLostError):
        shop.collect(progress=cancelled)
    left = shop.store.bundle_names("")
    assert len(left) == 2
    assert shop.known().keys() == left
    for digest in digests:
        shop.store.touch(digest)  # no removal is announced any more


def test_the_next_collection_makes_good_what_one_that_died_has_left(shop: Shop) -> None:
    named, half = shop.model(1), shop.model(2)
    shop.references.unregister([named, half])
    (shop.store.folder.parent / ("shared" if shop.store._url else "models") / half / MANIFEST).unlink()
    (shop.store.folder / half / MANIFEST).unlink(missing_ok=True)
    shop.aliases.set("champion", named)
    assert shop.collect().models == ()
    assert named in shop.known()
    assert not list(shop.store.folder.parent.rglob(f"*{half}*"))


@pytest.mark.parametrize("jobs", [500, 2500])
def test_what_a_look_holds_does_not_grow_with_what_is_kept(shop: Shop, jobs: int) -> None:
    size = 20_000
    with shop.server.client.pipeline(transaction=False) as pipeline:
        for number in range(jobs):
            texts = {"payload": b"x" * size, "report": b"y" * size}
            pipeline.hset(
                shop.server.key("job", str(number)), mapping={"kind": "predict_card", "state": "succeeded", **texts}
            )
        pipeline.execute()
    tracemalloc.start()
    assert shop.references.referenced({"0" * 64}) == set()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 200 * size


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", 0),
        (DIGEST, 1),
        (f'{{"model":"{DIGEST}"}}', 1),
        (f"{DIGEST}0", 0),
        (DIGEST[1:], 0),
        (f"{DIGEST} {DIGEST}", 2),
    ],
)
def test_a_digest_is_a_run_of_64_digits(text: str, found: int) -> None:
    assert list(find_digests(text.encode())) == [DIGEST.encode()] * found


def test_all_claims_are_looked_at_a_few_times_however_much_goes(
    shop: Shop, other: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = {shop.model(seed) for seed in range(7)}
    theirs = other.model(3)
    age(shop.store)
    monkeypatch.setattr("workers.handlers.collect_garbage.REMOVE_BATCH_SIZE", 3)
    reads = []
    claims = shop.store.owners.claims
    monkeypatch.setattr(shop.store.owners, "claims", lambda: reads.append(1) or claims())
    assert set(shop.collect().models) == digests - {theirs}
    assert len(reads) == 1 + 2  # once to choose six models, and once for each three of them
    assert shop.store.bundle_names("") == {theirs}
