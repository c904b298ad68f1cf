"""The reference pages are what the types say, and their examples can be read as a caller would read them."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import cornerman
from engine.data import reference_page
from engine.data.fight_log import read_fight_log
from engine.market.bet_decision import BetReason
from gateway.settings_reference import page as gateway_page
from ledger import reference_pages
from ledger.contracts import failures
from ledger.contracts.codec import decode_job, decode_report
from ledger.contracts.failures import FailureCode
from ledger.contracts.job_state import Outcome, Receipt
from ledger.contracts.jobs import PredictCard
from ledger.contracts.reports import Report
from ledger.settings import LedgerSettings, environment_variable
from producer.cli import reference_page as cli_page
from producer.feed_runner.settings_reference import page as feed_page
from workers import settings_reference
from workers.settings import WorkerSettings

FOLDER = Path(__file__).parents[3] / "docs" / "reference"
EXAMPLES = FOLDER / "examples"
REPORTS = {kind.__struct_config__.tag for kind in get_args(Report)}


@pytest.mark.parametrize("name", sorted(reference_pages.PAGES))
def test_a_page_is_what_the_types_say(name: str) -> None:
    written = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert written == reference_pages.reference_page(name, EXAMPLES), (
        "write it again: python -m ledger.reference_pages docs/reference"
    )


def test_the_page_of_a_fight_log_is_what_its_columns_say() -> None:
    written = (FOLDER / "fight-log.md").read_text(encoding="utf-8")
    again = "write it again: python -m engine.data.reference_page docs/reference/fight-log.md"
    assert written == reference_page.reference_page(EXAMPLES / "fight-log"), again


def test_the_gateways_configuration_page_is_what_its_settings_say() -> None:
    written = (FOLDER / "gateway-configuration.md").read_text(encoding="utf-8")
    again = "write it again: python -m gateway.settings_reference docs/reference/gateway-configuration.md"
    assert written == gateway_page(), again


def test_the_feed_runners_configuration_page_is_what_its_settings_say() -> None:
    written = (FOLDER / "feed-configuration.md").read_text(encoding="utf-8")
    again = "write it again: python -m producer.feed_runner.settings_reference docs/reference/feed-configuration.md"
    assert written == feed_page(), again


def test_the_configuration_page_is_what_the_settings_say() -> None:
    written = (FOLDER / "configuration.md").read_text(encoding="utf-8")
    again = "write it again: python -m workers.settings_reference docs/reference/configuration.md"
    assert written == settings_reference.page(), again
    kinds = (LedgerSettings, WorkerSettings)
    settings = {environment_variable(entry) for kind in kinds for entry in fields(kind) if entry.name != "ledger"}
    assert set(re.findall(r"^\| `(CORNERMAN_\w+)`", written, re.MULTILINE)) == settings


def test_the_page_of_the_command_line_is_what_its_help_says() -> None:
    written = (FOLDER / "cli.md").read_text(encoding="utf-8")
    again = "write it again: python -m producer.cli.reference_page docs/reference/cli.md"
    assert written == cli_page.page(), again


def test_the_api_page_has_every_public_name_once() -> None:
    written = (FOLDER / "api.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: cornerman\.(\w+)$", written, re.MULTILINE)) == cornerman.__all__


def test_every_code_and_exception_is_on_the_page_of_failures() -> None:
    written = (FOLDER / "failures.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", written, re.MULTILINE) == [code.value for code in FailureCode]
    errors = [
        name for name, value in vars(failures).items() if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert [name for name in errors if name not in written] == []


def test_every_reason_to_abstain_is_explained() -> None:
    written = (FOLDER.parent / "guides" / "bet-placers.md").read_text(encoding="utf-8")
    assert [reason.value for reason in BetReason if f"`{reason.value}`" not in written] == []


def test_every_column_has_a_meaning() -> None:
    known = {column.name for _, columns in reference_page.TABLES.values() for column in columns}
    assert known == set(reference_page.MEANINGS)


def test_the_example_of_a_fight_log_is_one() -> None:
    log = read_fight_log(EXAMPLES / "fight-log")
    assert len(log.fights) == 3


def test_there_is_an_example_of_every_report_and_each_can_be_read() -> None:
    reports = {path.stem: path.read_bytes() for path in EXAMPLES.glob("*_report.json")}
    assert set(reports) == REPORTS
    for content in reports.values():
        decode_report(content)


@pytest.mark.parametrize("path", sorted(set(EXAMPLES.glob("*.json")) - set(EXAMPLES.glob("*_report.json"))), ids=str)
def test_examples_of_jobs_are_accepted(path: Path) -> None:
    job = decode_job(path.read_bytes())
    assert job.__struct_config__.tag == path.stem == json.loads(path.read_bytes())["kind"]


def test_every_structure_of_a_card_and_an_outcome_has_its_section() -> None:
    pages = {name: (FOLDER / f"{name}.md").read_text(encoding="utf-8") for name in reference_pages.PAGES}
    assert f"## {PredictCard.__name__}" in pages["card"]
    assert "## Quote" in pages["card"]
    assert all(f"## {kind.__name__}" in pages["reports"] for kind in (Outcome, Receipt, *get_args(Report)))
