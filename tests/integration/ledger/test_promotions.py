"""Promotion by a stored comparison: what it must be about, that its try counts, and what the history keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger.contracts.failures import Failure, FailureCode, JobRefusedError
from ledger.contracts.job_reports.judgement_report import GateReason, JudgementReport, PromotionVerdict
from ledger.contracts.job_state import Outcome
from ledger.contracts.jobs import JudgeModels
from ledger.ledger import Ledger
from ledger.operations.control_store import ControlChange, ControlConflictError

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
EXAMPLE = Path(__file__).parents[3] / "docs/reference/examples/judgement_report.json"
AGAINST = PromotionVerdict(promote=False, reasons=(GateReason(code="no_intervals", message="it has no intervals"),))


@pytest.fixture
def book(ledger: Ledger) -> Ledger:
    for digest in (A, B, C):
        ledger.models.register(digest, {})
    ledger.aliases.set("champion", A, user="ann", reason="the first")
    return ledger


def settled(book: Ledger, job: JudgeModels, verdict: PromotionVerdict | None = None, **changed: Any) -> Outcome:
    """Run a comparison as a worker would."""
    report = msgspec.json.decode(EXAMPLE.read_bytes(), type=JudgementReport)
    fields = {"challenger": job.challenger, "champion": job.champion, "anchor": job.anchor, "tries": job.tries}
    answer = msgspec.structs.replace(report, **fields, verdict=verdict or PromotionVerdict(promote=True), **changed)
    receipt = book.submit(job)
    (claim,) = book.claim("train", "prover#1/1")
    book.settle(claim, answer)
    outcome = book.outcome(receipt.job_id)
    assert outcome is not None
    return outcome


def promote(
    book: Ledger, challenger: str, comparison: tuple[JudgeModels, Outcome] | None, **options: Any
) -> ControlChange:
    audit = {"user": "ann", "reason": "better", "verify": lambda _: None, "expected": A}
    return book.promotions.promote("champion", challenger, comparison, **{**audit, **options})


def test_a_comparison_that_allows_it_moves_the_alias_and_is_its_evidence(book: Ledger) -> None:
    job = book.promotions.plan_comparison("champion", B, {"data": "/log"})
    assert (job.challenger, job.champion, job.anchor, job.tries) == (B, A, None, 1)
    outcome = settled(book, job)
    book.promotions.check_comparison("champion", job, outcome)
    change = promote(book, B, (job, outcome))
    assert (change.before, change.after, change.who, change.why) == (A, B, "ann", "better")
    evidence = change.evidence or {}
    assert (evidence["forced"], evidence["judgement"], evidence["report"]["champion"]) == (False, outcome.job_id, A)
    with pytest.raises(JobRefusedError, match="already"):
        promote(book, B, (job, outcome))


def test_a_verdict_against_it_refuses_with_the_reasons_and_force_overrides(book: Ledger) -> None:
    job = book.promotions.plan_comparison("champion", B, {"data": "/log"})
    outcome = settled(book, job, AGAINST)
    with pytest.raises(JobRefusedError, match="it has no intervals") as refused:
        promote(book, B, (job, outcome))
    assert refused.value.failure.details["reasons"] == [{"code": "no_intervals", "message": "it has no intervals"}]
    assert book.aliases.resolve("champion") == A
    assert (promote(book, B, (job, outcome), force=True).evidence or {})["forced"]


def test_a_promotion_without_a_comparison_needs_force(book: Ledger) -> None:
    with pytest.raises(JobRefusedError, match="no comparison"):
        promote(book, B, None)
    assert promote(book, B, None, force=True).evidence == {"forced": True}


def test_a_comparison_of_other_models_or_with_another_anchor_is_refused(book: Ledger) -> None:
    job = book.promotions.plan_comparison("champion", B, {"data": "/log"})
    outcome = settled(book, job)
    with pytest.raises(JobRefusedError, match="the comparison is of bbbbbbbbbbbb with aaaaaaaaaaaa"):
        promote(book, C, (job, outcome))
    kept = {"user": "ann", "reason": "next", "evidence": {"anchor": A}}
    book.aliases.move("champion", C, verify=lambda _: None, **kept)
    with pytest.raises(ControlConflictError):
        promote(book, B, (job, outcome))
    other = msgspec.structs.replace(job, champion=C)
    with pytest.raises(JobRefusedError, match="lacks the anchor aaaaaaaaaaaa"):
        promote(book, B, (other, outcome), expected=C)


@pytest.mark.parametrize("tries", [1, 2])
def test_a_comparison_that_counts_too_few_tries_is_refused(book: Ledger, tries: int) -> None:
    book.promotions.plan_comparison("champion", C, {"data": "/log"})
    uncounted = JudgeModels(challenger=B, champion=A, data="/log", tries=tries)
    with pytest.raises(JobRefusedError, match="not counted as a try"):
        promote(book, B, (uncounted, settled(book, uncounted)))
    counted = book.promotions.plan_comparison("champion", B, {"data": "/log"})
    assert counted.tries == 2
    fewer = msgspec.structs.replace(counted, tries=1)
    with pytest.raises(JobRefusedError, match="not counted as a try"):
        promote(book, B, (fewer, settled(book, msgspec.structs.replace(fewer, data_digest="e" * 64))))


def failed(outcome: Outcome) -> Outcome:
    failure = Failure(code=FailureCode.TRAINING_FAILED, message="too few fights")
    return msgspec.structs.replace(outcome, report=None, failure=failure)


def test_a_comparison_that_failed_is_no_try_and_promotes_nothing(book: Ledger) -> None:
    job = book.promotions.plan_comparison("champion", B, {"data": "/log"})
    outcome = failed(settled(book, job))
    with pytest.raises(JobRefusedError, match="the comparison failed: too few fights"):
        promote(book, B, (job, outcome))
    book.promotions.check_comparison("champion", job, outcome)
    assert book.promotions.plan_comparison("champion", C, {"data": "/log"}).tries == 1
    assert (promote(book, B, (job, outcome), force=True).evidence or {})["failure"]["message"] == "too few fights"


@pytest.mark.parametrize(
    "ignore", [lambda _: {"tries": 7}, lambda job: {"anchor": job.champion}], ids=["tries", "anchor"]
)
def test_a_report_of_an_older_pool_is_refused(book: Ledger, ignore: Callable[[JudgeModels], dict[str, Any]]) -> None:
    job = book.promotions.plan_comparison("champion", B, {"data": "/log"})
    outcome = settled(book, job)
    assert outcome.report is not None
    older = msgspec.structs.replace(outcome, report=msgspec.structs.replace(outcome.report, **ignore(job)))
    with pytest.raises(JobRefusedError, match="upgrade the training pools"):
        book.promotions.check_comparison("champion", job, older)
