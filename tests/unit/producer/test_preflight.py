"""The parts of the preflight that judge: each must be able to fail."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from queue import Empty

import msgspec
import pytest

from ledger.contracts.codec import refuse
from ledger.contracts.failures import FailureCode, JobFailed
from ledger.contracts.local_protocol import CarryLoad, LoadReport
from producer.preflight.alert_checks import listening
from producer.preflight.check import CheckFailed, carry_out, require
from producer.preflight.load_checks import CALLERS, Loads

Carry = Callable[[CarryLoad], LoadReport]


def report(request: CarryLoad, digest: str = "same", peak_memory_mb: float = 300.0) -> LoadReport:
    return LoadReport(
        digests=(digest,) * request.callers, own_memory_mb=200.0, peak_memory_mb=peak_memory_mb, seconds=1.0
    )


def loads(carry: Carry) -> Loads:
    return Loads(carry=carry, model="m", data="d", rows=1000, replicas=100, max_memory_mb=400.0)


def test_every_step_is_carried_out_and_told_of_also_after_one_that_fails() -> None:
    def fail() -> str:
        raise CheckFailed("two is not three")

    def break_down() -> str:
        raise JobFailed("j", refuse("no", FailureCode.WORKER_LOST).failure)

    begun: list[str] = []
    steps = [("fails", fail), ("breaks down", break_down), ("passes", lambda: "as it must be")]
    checks = carry_out(steps, begun.append)
    assert begun == ["fails", "breaks down", "passes"]
    assert [check.passed for check in checks] == [False, False, True]
    assert [check.detail for check in checks] == [
        "two is not three",
        "job j ended as worker_lost: no",
        "as it must be",
    ]


def test_what_must_hold_is_required() -> None:
    require(True, "never")
    with pytest.raises(CheckFailed, match="otherwise"):
        require(False, "otherwise")


def test_a_load_that_is_carried_alike_passes_with_its_figures() -> None:
    requests: list[CarryLoad] = []

    def carry(request: CarryLoad) -> LoadReport:
        requests.append(request)
        return report(request)

    sound = loads(carry)
    assert "1, 2, 4 threads" in sound.threads()
    assert [(request.threads, request.callers) for request in requests] == [(1, 1), (2, 1), (4, 1), (2, CALLERS)]
    assert "5 processes" in sound.runs()
    assert "peak 300 of 400 MB" in sound.memory()
    assert {(request.rows, request.replicas, request.max_memory_mb) for request in requests} == {(1000, 100, 400.0)}


@pytest.mark.parametrize(
    ("differs", "said"),
    [
        (lambda request: request.threads == 4, "4 threads give other bits"),
        (lambda request: request.callers > 1, "concurrent callers get other bits"),
    ],
)
def test_other_bits_fail(differs: Callable[[CarryLoad], bool], said: str) -> None:
    unsound = loads(lambda request: report(request, "other" if differs(request) else "same"))
    with pytest.raises(CheckFailed, match=said):
        unsound.threads()


def test_runs_that_differ_fail() -> None:
    digests = iter("aab")
    unsound = loads(lambda request: report(request, next(digests)))
    unsound.runs()
    unsound.runs()
    with pytest.raises(CheckFailed, match="3 runs gave 2 different predictions"):
        unsound.runs()


def test_a_peak_above_the_limit_fails() -> None:
    with pytest.raises(CheckFailed, match="peak 500 of 400 MB"):
        loads(lambda request: report(request, peak_memory_mb=500.0)).memory()


def test_what_is_posted_is_heard() -> None:
    with listening() as (variables, posts):
        body = msgspec.json.encode({"alert": "A", "status": "firing"})
        request = urllib.request.Request(variables["CORNERMAN_WEBHOOK_URL"], body)  # noqa: S310 - our own listener
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own listener
            assert answer.status == 204
        assert posts.get(timeout=10) == {"alert": "A", "status": "firing"}
        with pytest.raises(Empty):
            posts.get_nowait()
