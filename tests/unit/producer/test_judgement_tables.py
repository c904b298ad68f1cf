from __future__ import annotations

from rich.console import Console

from ledger.contracts.job_reports.judgement_report import JudgementReport
from producer.output.report_tables import report_tables
from tests.support.golden_reports import REPORTS


def test_every_figure_of_a_judgement_is_shown() -> None:
    report = REPORTS["report_judgement"]
    assert isinstance(report, JudgementReport)
    console = Console(width=120, record=True)
    for table in report_tables(report):
        console.print(table)
    shown = console.export_text()
    for text in (
        "refused",
        "worse than champion",
        "its log loss is worse",
        "768 fights of 64 events, 2023-07-08 to 2024-12-14",
        "4 models of their settings",
        "0.6250 [0.5000, 0.7500]",
        "62.5% [50.0, 75.0]",
        "base rate",
        "+0.6250 [+0.5000, +0.7500]",
    ):
        assert text in shown


def test_the_states_of_the_compared_answers_are_named() -> None:
    report = REPORTS["report_judgement_served"]
    console = Console(width=160, record=True)
    for table in report_tables(report):
        console.print(table)
    shown = " ".join(console.export_text().split())
    assert "compared are the answers from lagging states" in shown
    assert "challenger │ lagging │ unknown │ 0.6250 [0.5000, 0.7500] │ +0.6250 [+0.5000, +0.7500]" in shown
