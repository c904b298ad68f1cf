from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from tests.unit.workers.logs.test_job_lines import CLAIM
from workers.logs import setup
from workers.logs.job_lines import JobLineWriter, job_line
from workers.logs.job_log import MAX_LINE_BYTES, shortened
from workers.settings import WorkerSettings


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, object]]]]:
    """What is passed on: the id of a job, and its line."""
    before = logging.getLogger().handlers[:], logging.getLogger().level
    lines: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(setup, "_send_job_line", lambda job_id, line: lines.append((job_id, json.loads(line))))
    setup.configure_logging(WorkerSettings())
    yield lines
    logging.getLogger().handlers[:], logging.getLogger().level = before


Sent = list[tuple[str, dict[str, object]]]


def test_lines_in_a_job_are_about_it(sent: Sent) -> None:
    log = structlog.get_logger("cornerman")
    log.warning("before")
    with setup.job_log_context(CLAIM):
        log.info("inside", step=1)
        logging.getLogger("engine").warning("foreign %s", "line")
        logging.getLogger("engine").debug("too much")
    log.warning("after")
    assert [(job_id, line["event"]) for job_id, line in sent] == [
        (CLAIM.job_id, "inside"),
        (CLAIM.job_id, "foreign line"),
    ]
    assert sent[0][1]["step"] == 1
    assert "job_id" not in sent[0][1]


def test_a_line_that_names_a_job_is_about_it(sent: Sent) -> None:
    structlog.get_logger("cornerman.guard").info("job", job_id="other", outcome="requeued")
    assert [(job_id, line["outcome"]) for job_id, line in sent] == [("other", "requeued")]


def test_a_warning_of_another_thread_is_about_the_job_of_its_process(sent: Sent) -> None:
    def speak() -> None:
        logging.getLogger("engine").info("elsewhere")
        logging.getLogger("engine").warning("slow")

    with setup.job_log_context(CLAIM):
        thread = threading.Thread(target=speak)
        thread.start()
        thread.join()
    assert [(job_id, line["event"]) for job_id, line in sent] == [(CLAIM.job_id, "slow")]


def test_finished_attempts_are_not_passed_on(sent: Sent) -> None:
    JobLineWriter().write([job_line(CLAIM, "succeeded", run_seconds=0.1, model=None)])
    assert sent == []


def test_a_sender_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch, sent: Sent) -> None:
    monkeypatch.setattr(setup, "_send_job_line", lambda job_id, line: 1 / 0)
    setup.configure_logging(WorkerSettings())
    structlog.get_logger("cornerman").info("job", job_id="j1")


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "x" * 10_000},
        {"event": "e", "traceback": "a" * 5_000 + "the end"},
        {"event": "e"} | {f"field {number}": "é" * 500 for number in range(30)},
        {"event": "e", "list": ["x" * 100] * 100},
    ],
)
def test_a_line_is_shortened(fields: dict[str, object]) -> None:
    basic = {"timestamp": "2026-01-01T00:00:00Z", "level": "info", "logger": "n", "pid": 1, "job_id": "j"}
    text = shortened(json.dumps(basic | fields))
    assert len(text) <= MAX_LINE_BYTES
    line = json.loads(text)
    assert line.items() >= {"level": "info", "pid": 1}.items()
    assert str(line.get("traceback", "the end")).endswith("the end")
