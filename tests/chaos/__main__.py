"""`python -m tests.chaos --seed 7 --jobs 20000`: run jobs under faults, count, and end with 1 for any loss."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.chaos.checker import check
from tests.chaos.run import Plan, run
from tests.chaos.table import lines, summary


def main() -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of the jobs and of the faults")
    parser.add_argument("--jobs", type=int, default=Plan.jobs, help="how many jobs are submitted")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--folder", type=Path, help="where logs and the journal stay; by default a new one")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="cornerman-chaos-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves no process behind, as after Ctrl-C
    _say(f"logs in {folder}")
    plan = replace(Plan(), seed=given.seed, jobs=given.jobs)
    course = run(plan, folder, _say)
    verdict = check(course.evidence)
    figures = summary(plan, course, verdict)
    sys.stdout.write((json.dumps(figures, indent=2) if given.json else "\n".join(lines(figures))) + "\n")
    return 0 if verdict.kept and not course.oddities else 1


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
