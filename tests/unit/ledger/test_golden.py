"""Payloads and outcomes as this version writes them. A later version must read every one of these files.

A change of schema adds files; one that is here is never edited. `python tests/unit/ledger/test_golden.py` writes those
that are missing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ledger.contracts import codec
from ledger.contracts.failures import FailureCode
from ledger.contracts.provenance import decode_provenance, encode_provenance
from tests.support.golden_jobs import JOBS, ORIGINS
from tests.support.golden_reports import FAILURES, REPORTS

FOLDER = Path(__file__).parents[2] / "golden"
WRITTEN = (
    {name: codec.encode_canonical(job) for name, job in JOBS.items()}
    | {name: codec.encode(value) for name, value in {**REPORTS, **FAILURES}.items()}
    | {name: encode_provenance(origin) for name, origin in ORIGINS.items()}
)


def golden(name: str) -> bytes:
    return FOLDER.joinpath(f"{name}.json").read_bytes().removesuffix(b"\n")


def test_every_value_has_its_file_and_every_file_its_value() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(WRITTEN)


@pytest.mark.parametrize("name", sorted(JOBS))
def test_a_job_is_read(name: str) -> None:
    assert codec.decode_job(golden(name)) == JOBS[name]


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_a_report_is_read(name: str) -> None:
    assert codec.decode_report(golden(name)) == REPORTS[name]


def test_a_judgement_of_an_earlier_version_is_read() -> None:
    earlier = msgspec.json.decode(golden("report_judgement"))
    for name in ("anchor", "tries", "error", "corner_known", "recalibrated"):
        del earlier[name]
    del earlier["paired"][0]["most"], earlier["verdict"]["remarks"]
    assert codec.decode_report(msgspec.json.encode(earlier)) == REPORTS["report_judgement"]


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_a_failure_is_read(name: str) -> None:
    assert codec.decode_failure(golden(name)) == FAILURES[name]


@pytest.mark.parametrize("name", sorted(ORIGINS))
def test_an_origin_is_read(name: str) -> None:
    assert decode_provenance(golden(name)) == ORIGINS[name]


@pytest.mark.parametrize("name", sorted(JOBS | ORIGINS))
def test_today_writes_the_same_bytes(name: str) -> None:
    assert WRITTEN[name] == golden(name)


@pytest.mark.parametrize("name", sorted(REPORTS | FAILURES))
def test_today_writes_the_same_values(name: str) -> None:
    """The order of the fields was another once, and means nothing."""
    assert msgspec.json.decode(WRITTEN[name]) == msgspec.json.decode(golden(name))


@pytest.mark.parametrize("name", sorted(JOBS))
def test_a_job_keeps_its_id(name: str) -> None:
    """A caller who submits the same content to a newer version must not get a second job."""
    assert codec.content_digest(codec.encode_canonical(codec.decode_job(golden(name)))) == codec.content_digest(
        golden(name)
    )


def test_every_code_of_this_version_is_read() -> None:
    codes = FOLDER.joinpath("failure_codes.txt").read_text().split()
    assert [codec.decode_failure(b'{"code":"%s","message":"m"}' % code.encode()).code for code in codes] == codes
    assert set(codes) == set(FailureCode), "a new code needs a new schema version"


if __name__ == "__main__":
    for missing in (name for name in sorted(WRITTEN) if not FOLDER.joinpath(f"{name}.json").exists()):
        FOLDER.joinpath(f"{missing}.json").write_bytes(WRITTEN[missing] + b"\n")
