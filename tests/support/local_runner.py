"""Commands that compute on this machine, without an interpreter of their own for each computation.

`cornerman train`, `predict`, `check` and `models import-joblib` start `python -m workers.local.runner`, which imports
the engine for seconds. A test of what they compute can have the runner answer in the test's own process; one test of
each file should leave the runner where it is.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO
from unittest.mock import patch

from click.testing import CliRunner

from producer.cli.main import main


@contextmanager
def runner_in_this_process() -> Iterator[None]:
    """Have requests of `producer.local.subprocess_runner` answered by the runner's `main` in this process."""
    from workers.local import runner  # the engine, which not all tests of a file need

    @contextmanager
    def child(request: bytes) -> Iterator[IO[bytes]]:
        answers = io.BytesIO()
        assert runner.main(io.BytesIO(request), answers) == 0
        yield io.BytesIO(answers.getvalue())

    with patch("producer.local.subprocess_runner._child", child):
        yield


def run_in_this_process(*arguments: str | Path) -> CompletedProcess[str]:
    """Run a command of the command line with its runner in this process, without settings of the environment."""
    unset = {name: None for name in os.environ if name.startswith("CORNERMAN_")}
    words = [*map(str, arguments)]
    with runner_in_this_process():
        done = CliRunner().invoke(main, words, env=unset, catch_exceptions=False)
    return CompletedProcess(words, done.exit_code, done.stdout, done.stderr)
