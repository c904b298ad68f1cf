"""A short run of `make requests`, and that it finds what it looks for."""

from __future__ import annotations

import pytest

from tests.generated_requests.run import read_document, run

pytestmark = pytest.mark.timeout(300)


def test_generated_requests_get_the_answers_that_the_document_lists() -> None:
    counts = run(cases=300, first_seed=2)
    assert counts.faults == []
    assert counts.requests >= 200


def test_an_answer_that_the_document_does_not_list_is_found() -> None:
    document = read_document()
    status, outcome = (document["paths"][path]["get"] for path in ("/v1/jobs/{job_id}", "/v1/jobs/{job_id}/outcome"))
    del status["responses"]["404"]
    outcome["responses"]["202"]["content"]["application/json"]["schema"] = {"type": "string"}
    document["paths"] = {"/v1/jobs/{job_id}": {"get": status}, "/v1/jobs/{job_id}/outcome": {"get": outcome}}
    faults = run(cases=40, first_seed=1, document=document).faults
    assert any(fault.startswith("GET /v1/jobs/{job_id}: 404") for fault in faults)
    assert any(fault.startswith("GET /v1/jobs/{job_id}/outcome: 202") for fault in faults)
