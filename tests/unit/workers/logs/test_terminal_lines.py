from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

PROGRAM = """
import logging
from pathlib import Path
from workers.logs.setup import RENDERED, configure_logging
from workers.settings import WorkerSettings
configure_logging(WorkerSettings(log_file=Path({log!r})))
logging.getLogger("cornerman").warning("several\\nlines \\x1b[2J")
record = logging.getLogger("cornerman").makeRecord("cornerman", logging.INFO, "", 0, "", (), None)
line = '{{"job_id": "j%d", "outcome": "succeeded", "event": "job", "level": "info", '
line += '"timestamp": "2030-01-05T22:00:00Z"}}'
setattr(record, RENDERED, line % 1 + "\\n" + line % 2)
logging.getLogger("cornerman").handle(record)
"""


@pytest.fixture
def written(tmp_path: os.PathLike[str]) -> tuple[str, str]:
    """What a pool's log is on a terminal, and what it is in the file beside it."""
    ours, theirs = pty.openpty()
    log = os.path.join(tmp_path, "log")
    command = [sys.executable, "-c", PROGRAM.format(log=log)]
    done = subprocess.run(command, stderr=theirs, env={**os.environ, "TERM": "xterm"}, timeout=60, check=False)
    os.close(theirs)
    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 0, shown
    with open(log, encoding="utf-8") as file:
        return shown, file.read()


def test_people_at_a_terminal_get_readable_lines_and_files_json(written: tuple[str, str]) -> None:
    shown, filed = written
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown.splitlines()]
    assert len(plain) == 3
    assert re.match(r"\d\d:\d\d:\d\d \[warning *\] several lines", plain[0])
    assert plain[1].startswith("22:00:00 [info")
    assert "job_id=j1 outcome=succeeded" in plain[1]
    assert "{" not in shown
    assert "\x1b[2J" not in shown
    assert [json.loads(line)["level"] for line in filed.splitlines()] == ["warning", "info", "info"]
