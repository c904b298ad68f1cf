from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ledger.contracts.failures import FailureCode, JobFailedError
from ledger.contracts.local_protocol import PredictMatrix, RowAnswer
from producer.local.subprocess_runner import predict_matrix
from producer.output.console import Console


@pytest.mark.parametrize(
    "script",
    [
        "exit 9",
        "read request; exit 9",
        'read request; echo \'{"progress":{"stage":"x","done":1,"total":2}}\'; kill -9 $$',
    ],
)
def test_a_child_that_breaks_off_is_a_typed_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str
) -> None:
    child = tmp_path / "child"
    child.write_text(f"#!/bin/sh\n{script}\n")
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    rows: list[RowAnswer] = []
    with pytest.raises(JobFailedError, match="the process exited without a report") as error:
        predict_matrix(PredictMatrix(model="m", matrix="f"), Console(), rows.append)
    assert error.value.failure.code is FailureCode.WORKER_LOST
    assert rows == []
