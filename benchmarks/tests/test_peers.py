from __future__ import annotations

import re
import signal
import subprocess
import sys

import psutil
import pytest

from benchmarks.peers.__main__ import ratios, table
from benchmarks.peers.contest import PROGRAMS
from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.peers.queues import OURS, QUEUES, RAW_LIST, Queue
from benchmarks.queue.competitors import wait_until

FOUND = {
    RAW_LIST: {"backlog": [9.0], "round trip p50": [1.0]},
    "one": {"backlog": [2.0, 3.0, 4.0], "round trip p50": [4.0]},
    "other": {"backlog": [1.0], "round trip p50": [3.0]},
    OURS: {"backlog": [12.0], "round trip p50": [1.5], "enqueued in bulk": [5.0]},
}


def test_ours_is_compared_with_the_best_of_the_others_and_with_a_raw_list() -> None:
    compared = ratios(FOUND)
    assert compared["backlog"] == {"best": "one", "ratio": 4.0, "ratio to a raw list": 12 / 9}
    assert compared["round trip p50"] == {"best": "other", "ratio": 2.0, "ratio to a raw list": 1 / 1.5}
    assert "enqueued in bulk" not in compared  # the others have no call for it
    assert ratios({"one": FOUND["one"]}) == {}


def test_the_table_has_a_line_for_each_queue_and_says_which_call_is_missing() -> None:
    lines = table(FOUND).splitlines()
    assert len(lines) == 2 + len(FOUND)
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith("| one | 3 (2 to 4) |")
    assert lines[3].endswith("| no call |")


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_each_queue_has_a_program_and_pinned_requirements(queue: Queue) -> None:
    assert (PROGRAMS / f"{queue.program}.py").is_file()
    if queue.requirements is not None:
        lines = (REQUIREMENTS / f"{queue.requirements}.txt").read_text().splitlines()
        assert all(re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line) for line in lines)


@pytest.mark.slow
def test_a_contest_that_is_ended_leaves_no_process() -> None:
    command = [sys.executable, "-m", "benchmarks.peers", "--queue", OURS, "--idle-seconds", "600"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as contest:
        process = psutil.Process(contest.pid)
        # A server, a producer, a pool and its two children.
        wait_until(lambda: len(process.children(recursive=True)) >= 5, "start of the contest")
        started = process.children(recursive=True)
        contest.terminate()
        code = contest.wait(timeout=60)
    _, left = psutil.wait_procs(started, timeout=10)
    for each in left:
        each.kill()
    assert (code, left) == (128 + signal.SIGTERM, [])
