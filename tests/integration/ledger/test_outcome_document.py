"""An outcome whose parts are passed on as stored: the same JSON as that of the outcome."""

from __future__ import annotations

import asyncio

import msgspec

from ledger.async_ledger import AsyncLedger
from ledger.contracts.failures import Failure, FailureCode
from ledger.contracts.job_state import Outcome, OutcomeDocument
from ledger.contracts.jobs import CheckHealth
from ledger.contracts.reports import HealthCheck, HealthReport
from ledger.ledger import Ledger

REPORT = HealthReport(status="healthy", checks=(HealthCheck(name="a", passed=True, detail="é"),), memory_mb=1.5)


def test_it_encodes_to_the_json_of_the_outcome(ledger: Ledger) -> None:
    for number, result in enumerate((REPORT, Failure(code=FailureCode.INTERNAL, message="m", details={"a": [1]}))):
        receipt = ledger.submit(CheckHealth(nonce=str(number)), correlation_id="c", caller="odds")
        assert document_of(ledger, receipt.job_id) is None
        [claim] = ledger.claim("predict", "n#1")
        ledger.settle(claim, result)
        document, outcome = document_of(ledger, receipt.job_id), ledger.outcome(receipt.job_id)
        assert msgspec.json.decode(msgspec.json.encode(document)) == msgspec.json.decode(msgspec.json.encode(outcome))
        assert msgspec.json.decode(msgspec.json.encode(document), type=Outcome) == outcome


def test_it_has_the_fields_of_the_outcome() -> None:
    assert OutcomeDocument.__struct_fields__ == Outcome.__struct_fields__


def document_of(ledger: Ledger, job_id: str) -> OutcomeDocument | None:
    async def read() -> OutcomeDocument | None:
        async with AsyncLedger(ledger.settings) as asynchronous:
            return await asynchronous.outcome_document(job_id)

    return asyncio.run(read())
