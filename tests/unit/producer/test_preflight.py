"""The checks of the preflight: each must be able to fail."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from queue import Empty

import msgspec
import pytest

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import FailureCode, JobFailedError
from ledger.contracts.local_protocol import LoadTest, LoadTestReport
from producer.preflight.alert_checks import webhook_listener
from producer.preflight.check import CheckFailedError, expect, run_checks
from producer.preflight.load_checks import CALLERS, LoadChecks

Carry = Callable[[LoadTest], LoadTestReport]


def report(request: LoadTest, digest: str = "same", peak_memory_mb: float = 300.0) -> LoadTestReport:
    return LoadTestReport(
        digests=(digest,) * request.callers, own_memory_mb=200.0, peak_memory_mb=peak_memory_mb, seconds=1.0
    )


def loads(carry: Carry) -> LoadChecks:
    return LoadChecks(run_load=carry, model="m", data="d", rows=1000, replicas=100, max_memory_mb=400.0)


def test_every_step_is_carried_out_and_told_of_also_after_one_that_fails() -> None:
    def fail() -> str:
        raise CheckFailedError("two is not three")

    def break_down() -> str:
        raise JobFailedError("j", job_refused("no", FailureCode.WORKER_LOST).failure)

    begun: list[str] = []
    steps = [("fails", fail), ("breaks down", break_down), ("passes", lambda: "as it must be")]
    checks = run_checks(steps, begun.append)
    assert begun == ["fails", "breaks down", "passes"]
    assert [check.passed for check in checks] == [False, False, True]
    assert [check.detail for check in checks] == [
        "two is not three",
        "job j ended as worker_lost: no",
        "as it must be",
    ]


def test_what_must_hold_is_required() -> None:
    expect(True, "never")
    with pytest.raises(CheckFailedError, match="otherwise"):
        expect(False, "otherwise")


def test_a_load_that_is_carried_alike_passes_with_its_figures() -> None:
    requests: list[LoadTest] = []

    def carry(request: LoadTest) -> LoadTestReport:
        requests.append(request)
        return report(request)

    sound = loads(carry)
    assert "1, 2, 4 threads" in sound.check_threads()
    assert [(request.threads, request.callers) for request in requests] == [(1, 1), (2, 1), (4, 1), (2, CALLERS)]
    assert "5 processes" in sound.check_runs()
    assert "peak 300 of 400 MB" in sound.check_memory()
    assert {(request.rows, request.replicas, request.max_memory_mb) for request in requests} == {(1000, 100, 400.0)}


@pytest.mark.parametrize(
    ("differs", "message"),
    [
        (lambda request: request.threads == 4, "4 threads give other bits"),
        (lambda request: request.callers > 1, "concurrent callers get other bits"),
    ],
)
def test_other_bits_fail(differs: Callable[[LoadTest], bool], message: str) -> None:
    unsound = loads(lambda request: report(request, "other" if differs(request) else "same"))
    with pytest.raises(CheckFailedError, match=message):
        unsound.check_threads()


def test_runs_that_differ_fail() -> None:
    digests = iter("aab")
    unsound = loads(lambda request: report(request, next(digests)))
    unsound.check_runs()
    unsound.check_runs()
    with pytest.raises(CheckFailedError, match="3 runs gave 2 different predictions"):
        unsound.check_runs()


def test_a_peak_above_the_limit_fails() -> None:
    with pytest.raises(CheckFailedError, match="peak 500 of 400 MB"):
        loads(lambda request: report(request, peak_memory_mb=500.0)).check_memory()


def test_what_is_posted_is_heard() -> None:
    with webhook_listener() as (variables, posts):
        body = msgspec.json.encode({"alert": "A", "status": "firing"})
        request = urllib.request.Request(variables["CORNERMAN_WEBHOOK_URL"], body)  # noqa: S310 - our own listener
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own listener
            assert answer.status == 204
        assert posts.get(timeout=10) == {"alert": "A", "status": "firing"}
        with pytest.raises(Empty):
            posts.get_nowait()
