"""The store in an object store: a real server that speaks S3, pools that share it and nothing else."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.fight_log import write_fight_log
from engine.errors import BundleNotFoundError
from engine.model.bundle import MANIFEST
from engine.simulation.league import LeagueConfig, simulate_league
from ledger.contracts.jobs import TrainEnsemble
from ledger.contracts.reports import TrainingReport
from ledger.ledger import Ledger
from ledger.server.embedded_server import EmbeddedServer
from tests.support.archives import ArchiveShop, archived_ids
from workers.errors import StoreUnavailableError
from workers.handlers.archive_outcomes import merging
from workers.handlers.training.train_ensemble import train_in_process
from workers.models.model_store import Store

pytest.importorskip("s3fs", reason="s3fs is not installed (extra s3)")
moto_server = pytest.importorskip("moto.server", reason="moto[s3] and flask are not installed")

WAIT_SECONDS = 180


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of this test's own; its URL is set where clients of S3 look for it."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    bucket = f"models-{uuid.uuid4().hex}"  # servers of one process share what they hold
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
    yield f"s3://{bucket}/shop"
    server.stop()


def test_what_one_machine_writes_another_opens(s3: str, tmp_path: Path) -> None:
    one, two = Store(tmp_path / "one", s3), Store(tmp_path / "two", s3)
    digest = one.write({"folder/numbers": np.arange(10)}, {"seed": 1}).digest
    assert two.bundle_names("") == {digest}
    assert np.array_equal(two.open(digest).array("folder/numbers"), np.arange(10))
    age_seconds = two.age_seconds(digest)
    assert age_seconds is not None
    assert 0 <= age_seconds < WAIT_SECONDS
    one.remove(digest)
    assert two.bundle_names("") == set()
    with pytest.raises(BundleNotFoundError):
        one.fetch(digest)


def test_an_upload_that_broke_off_is_not_there(s3: str, tmp_path: Path) -> None:
    import s3fs

    store = Store(tmp_path / "one", s3)
    bundle = store.write({"numbers": np.arange(10)}, {"seed": 1})
    s3fs.S3FileSystem(skip_instance_cache=True).rm_file(f"{s3}/{bundle.digest}/{MANIFEST}")
    other = Store(tmp_path / "two", s3)
    assert other.bundle_names("") == set()
    store.publish(bundle)
    assert other.open(bundle.digest).digest == bundle.digest


def test_a_server_that_is_gone_is_unavailable_and_no_failure(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreUnavailableError, match="cannot be used"):
        Store(tmp_path / "one", s3).fetch("0" * 64)


def test_two_pools_train_over_it(s3: str, ledger: Ledger, start_pool: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    write_fight_log(simulate_league(LeagueConfig(fights=450, seed=11)).log, log)
    small = {"bootstrap_samples": 12, "fits": 2, "folds": 3, "forest_trees": 10, "alias": None, "part_refits": 2}
    job = TrainEnsemble(data=str(log), **small)
    for name in ("one", "two"):
        variables = {"CORNERMAN_STORE": s3, "CORNERMAN_DATA": str(tmp_path / name), "CORNERMAN_NODE": name}
        start_pool(queue="train", real=True, concurrency=1, **variables, **_credentials())
    outcome = ledger.wait(ledger.submit(job).job_id, WAIT_SECONDS)
    assert isinstance(outcome.report, TrainingReport), outcome.failure
    here = train_in_process(job, tmp_path / "here", lambda stage, done, total: None, float("inf"))
    assert outcome.report.model == here.digest
    assert Store(tmp_path / "three", s3).open(here.digest).digest == here.digest


def _credentials() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def test_outcomes_are_archived_and_found(s3: str, valkey: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MERGED_RUNS", 2)
    shop = ArchiveShop(valkey.url, f"{s3}/outcomes")
    ids = shop.settle("a", "b")
    before = shop.outcomes(ids)
    shop.archive()
    ids += shop.settle("c")
    assert shop.archive().merged_files == 2
    assert shop.on_server() == set()
    assert shop.outcomes(ids)[:2] == before
    assert sorted(archived_ids(shop)) == ids
    assert [fault for _, fault in shop.ledger.job_archive.verify()] == [None]
    shop.ledger.close()
