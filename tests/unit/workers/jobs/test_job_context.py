from __future__ import annotations

import time
from typing import Any

import pytest

from ledger.contracts.failures import LedgerUnavailableError
from ledger.contracts.job_state import Progress
from ledger.ledger import Claim
from tests.support.handler_context import claim_of, context_of
from workers.jobs.context import ClaimLostError, JobContext

CLAIM = claim_of(kind="train_ensemble", job_id="j1")


class Book:
    """A ledger that answers to progress as configured."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.published: list[Progress] = []

    def set_progress(self, claim: Claim, progress: Progress) -> bool:
        self.published.append(progress)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def context(book: Any, started_seconds: float = 0.0) -> JobContext:
    return context_of(CLAIM, ledger=book, started_seconds=started_seconds)


@pytest.mark.parametrize("answer", [True, LedgerUnavailableError("gone for a moment")])
def test_progress_is_told_and_an_unavailable_ledger_stops_no_job(answer: bool | Exception) -> None:
    book = Book(answer)
    context(book).progress("folds", 2, 10)
    assert book.published == [Progress(stage="folds", done=2, total=10)]


def test_a_job_that_is_no_longer_ours_is_stopped() -> None:
    with pytest.raises(ClaimLostError, match="j1"):
        context(Book(False)).progress("folds", 2, 10)


def test_what_remains_counts_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 145.0)
    assert context(Book(True), started_seconds=100.0).remaining_seconds() == 15.0
