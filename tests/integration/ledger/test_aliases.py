"""Names of models on a real server: compare-and-set, the history with its evidence, and the way back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from ledger.contracts.codec import decode_job
from ledger.contracts.failures import Failure, FailureCode, JobRefusedError, LedgerError, WaitTimeoutError
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.ledger import Ledger
from ledger.models.aliases import ANY_DIGEST
from ledger.operations.control_store import MAX_EVIDENCE_CHARACTERS, ControlChange, ControlConflictError

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
BY = {"user": "ann@desk", "reason": "a test"}


@pytest.fixture
def book(ledger: Ledger) -> Ledger:
    for digest in (A, B, C):
        ledger.models.register(digest, {})
    return ledger


def verified(digest: str) -> None:
    """A verifier that every model passes."""


def move(ledger: Ledger, digest: str, expected: str | None = ANY_DIGEST) -> ControlChange:
    return ledger.aliases.move("champion", digest, verify=verified, expected=expected, **BY)


def back(ledger: Ledger, to: str | None = None) -> ControlChange:
    return ledger.aliases.roll_back("champion", verify=verified, to=to, **BY)


def test_a_move_stands_in_the_history_with_its_evidence(book: Ledger) -> None:
    first = move(book, A, expected=None)
    evidence = {"job": "j1", "log_loss": {"champion": 0.6431, "challenger": 0.6402}, "forced": False}
    second = book.aliases.move("champion", B, verify=verified, evidence=evidence, **BY)
    assert (first.before, first.after, first.evidence, first.rollback) == (None, A, None, False)
    assert (second.before, second.after, second.evidence) == (A, B, evidence)
    assert (second.who, second.why) == ("ann@desk", "a test")
    assert book.aliases.history("champion") == [second, first]
    assert book.aliases.history("challenger") == []
    assert book.aliases.resolve("champion") == B


def test_a_rollback_goes_one_step_further_back_each_time(book: Ledger) -> None:
    for digest in (A, B, C):
        move(book, digest)
    first = back(book)
    assert (first.before, first.after, first.rollback) == (C, B, True)
    assert back(book).after == A
    with pytest.raises(JobRefusedError, match="its earlier models: none"):
        back(book)
    move(book, C)  # a step on again
    assert back(book).after == A
    assert len(book.aliases.history("champion")) == 7


def test_a_rollback_goes_to_a_named_model_that_the_name_stood_for(book: Ledger) -> None:
    for digest in (A, B):
        move(book, digest)
    with pytest.raises(JobRefusedError, match=f"to {C[:12]}: its earlier models: {A[:12]}"):
        back(book, C)
    move(book, C)
    assert back(book, A).after == A


def test_a_name_that_is_moved_back_by_hand_can_be_rolled_back_to_what_it_left(book: Ledger) -> None:
    for digest in (A, B, A):
        move(book, digest)
    assert back(book).after == B


def many_others(ledger: Ledger, count: int) -> None:
    """Let another control change very often, as under a job that scales pools every minute."""
    with ledger.server.client.pipeline(transaction=False) as pipeline:
        for number in range(count):
            fields = {"who": "cron", "name": "max_children.predict", "from": "", "to": str(number), "why": "load"}
            pipeline.xadd(ledger.server.key("controls", "changes"), fields)
        pipeline.execute()


def test_the_way_back_is_found_behind_any_number_of_other_changes(book: Ledger) -> None:
    first = move(book, A, expected=None)
    many_others(book, 10_001)
    second = move(book, B)
    many_others(book, 10_001)
    assert book.aliases.history("champion") == [second, first]
    assert book.aliases.all_histories() == [second, first]
    assert back(book).after == A


def test_moves_that_do_not_name_the_one_before_are_found_as_well(book: Ledger) -> None:
    """As those of ledgers from before moves did so."""
    changes, changed = book.server.key("controls", "changes"), book.server.key("controls", "changed")
    for before, after in (("", A), (A, B)):
        fields = {"who": "ann", "name": "model.champion", "from": before, "to": after, "why": "before"}
        place = book.server.client.xadd(changes, fields)
        many_others(book, 2_500)
    book.server.execute("HSET", changed, "model.champion", place)
    book.server.execute("HSET", book.server.key("aliases"), "champion", B)
    third = move(book, C)
    assert [change.after for change in book.aliases.history("champion")] == [C, B, A]
    assert book.aliases.history("champion", 1) == [third]
    assert back(book).after == B


def test_all_names_are_looked_back_on_together(book: Ledger) -> None:
    moves = [book.aliases.move(name, A, verify=verified, **BY) for name in ("champion", "nightly", "challenger")]
    book.controls.set({"max_threads": 2}, **BY)
    assert book.aliases.all_histories() == moves[::-1]
    assert book.aliases.all_histories(2) == moves[:0:-1]


def test_a_model_that_is_forgotten_while_it_is_verified_gets_no_name(book: Ledger) -> None:
    move(book, A)

    def forgotten(digest: str) -> None:  # while it is verified, it is collected
        book.references.unregister([digest])

    with pytest.raises(JobRefusedError, match="no model b"):
        book.aliases.move("champion", B, verify=forgotten, **BY)
    with pytest.raises(JobRefusedError, match="no model b"):
        book.controls.set({"model.champion": B}, **BY)
    assert book.aliases.resolve("champion") == A
    book.references.restore([B])
    assert move(book, B).after == B


def test_of_two_who_promote_at_the_same_time_one_wins_and_one_is_told(book: Ledger) -> None:
    move(book, A)
    together = Barrier(2)

    def promote(digest: str) -> ControlChange | LedgerError:
        try:
            return book.aliases.move(
                "champion",
                digest,
                verify=lambda _: together.wait() and None,
                expected=A,
                user=digest[:1],
                reason="better",
            )
        except LedgerError as error:
            return error

    with ThreadPoolExecutor(2) as threads:
        ends = list(threads.map(promote, (B, C)))
    (won,) = [end for end in ends if isinstance(end, ControlChange)]
    (lost,) = [end for end in ends if isinstance(end, ControlConflictError)]
    assert str(won.after) in str(lost)
    assert "nothing was changed" in str(lost)
    assert book.aliases.resolve("champion") == won.after
    assert len(book.aliases.history("champion")) == 2


def test_a_rollback_that_another_has_overtaken_changes_nothing(book: Ledger) -> None:
    for digest in (A, B):
        move(book, digest)
    with pytest.raises(ControlConflictError):
        book.aliases.roll_back("champion", verify=lambda _: move(book, C) and None, **BY)
    with pytest.raises(ControlConflictError):
        book.aliases.roll_back("champion", verify=verified, expected=B, **BY)
    assert book.aliases.resolve("champion") == C


def test_what_is_unknown_unverified_or_too_long_moves_nothing(book: Ledger) -> None:
    def refuse(digest: str) -> None:
        raise JobRefusedError(Failure(code=FailureCode.MODEL_CORRUPT, message="its bytes were changed"))

    with pytest.raises(JobRefusedError, match="no model d"):
        move(book, "d" * 64)
    with pytest.raises(JobRefusedError, match="bytes were changed"):
        book.aliases.move("champion", A, verify=refuse, **BY)
    with pytest.raises(JobRefusedError, match="evidence"):
        book.aliases.move("champion", A, verify=verified, evidence={"x": "y" * MAX_EVIDENCE_CHARACTERS}, **BY)
    assert (book.aliases.resolve("champion"), book.aliases.history("champion")) == (None, [])


LOADED = HealthCheck(name="model_loaded", passed=True, detail=A)
RIGHT = HealthCheck(name="prediction", passed=True, detail="known answers differ by at most 0.0e+00")
BUSY = HealthCheck(name="memory", passed=False, detail="5000 MB of 4096 MB")
WRONG = HealthCheck(name="prediction", passed=False, detail="known answers differ by at most 1.0e-02")
GONE = HealthCheck(name="model_loaded", passed=False, detail="not here", code=FailureCode.MODEL_NOT_FOUND)


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ((LOADED, RIGHT, BUSY), None),
        ((LOADED,), FailureCode.INTERNAL),
        ((LOADED, WRONG), FailureCode.MODEL_CORRUPT),
        ((GONE,), FailureCode.MODEL_NOT_FOUND),
    ],
)
def test_a_worker_verifies_a_model(book: Ledger, checks: tuple[HealthCheck, ...], code: FailureCode | None) -> None:
    report = HealthReport(status="healthy" if code is None else "unhealthy", checks=checks, memory_mb=1.0)

    def answer() -> CheckHealth:
        while not (claims := book.claim("predict", "n#1/1")):
            pass
        assert book.settle(claims[0], report)
        job = decode_job(claims[0].payload)
        assert isinstance(job, CheckHealth)
        return job

    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(answer)
        if code is None:
            book.verification.verify_model(A)
        else:
            with pytest.raises(JobRefusedError, match="was not verified") as refused:
                book.verification.verify_model(A)
            assert refused.value.failure.code is code
        job = asked.result()
    assert (job.model, job.anew) == (A, True)
    assert job.deadline is not None  # so that it comes before cards that may wait for longer


def test_a_verification_without_a_worker_times_out(book: Ledger) -> None:
    with pytest.raises(WaitTimeoutError, match="no worker has verified"):
        book.verification.verify_model(A, timeout_seconds=0.2)
    book.controls.set({"pause.predict": True}, **BY)
    with pytest.raises(JobRefusedError, match="resume predict"):
        book.verification.verify_model(A)
