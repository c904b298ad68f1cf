"""Evaluations of models over HTTP, settled as a training pool would."""

from __future__ import annotations

import uuid
from pathlib import Path

import httpx
import msgspec

from ledger.contracts.job_reports.judgement_report import GateReason, JudgementReport, PromotionVerdict
from ledger.contracts.jobs import JudgeModels
from ledger.ledger import Ledger

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
EXAMPLE = Path(__file__).parents[2] / "docs/reference/examples/judgement_report.json"


def evaluated(ledger: Ledger, http: httpx.Client, alias: str, *, promote: bool = True) -> str:
    """Evaluate B against the model of an alias over HTTP, as a training pool would; return the id of the job."""
    made = http.post(
        f"/v1/models/{alias}/evaluate", json={"model": B, "data": f"/log/{uuid.uuid4().hex}", "data_digest": "e" * 64}
    )
    assert made.status_code == 201, made.text
    job_id = str(made.json()["job_id"])
    job = ledger.job_records.job(job_id)
    assert isinstance(job, JudgeModels)
    reasons = () if promote else (GateReason(code="no_intervals", message="it has no intervals"),)
    verdict = PromotionVerdict(promote=promote, reasons=reasons)
    fields = {"challenger": job.challenger, "champion": job.champion, "anchor": job.anchor, "tries": job.tries}
    report = msgspec.json.decode(EXAMPLE.read_bytes(), type=JudgementReport)
    (claim,) = ledger.claim("train", "judge#1/1")
    assert ledger.settle(claim, msgspec.structs.replace(report, **fields, verdict=verdict))
    return job_id
