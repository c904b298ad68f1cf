"""`python -m tests.chaos.season --seed 7 --cards 40`: a season under faults, counted; end with 1 for any loss."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.chaos.season.run import SeasonPlan, run_season
from tests.chaos.season.table import lines, summary
from tests.support.machine_code import compile_if_missing


def main() -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.season", description=__doc__)
    parser.add_argument("--seed", type=int, default=SeasonPlan.seed, help="of the season and of the faults")
    parser.add_argument("--cards", type=int, default=SeasonPlan.cards, help="cards of the season")
    parser.add_argument(
        "--seconds-per-card", type=float, default=SeasonPlan.seconds_per_card, help="from one card to the next"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--folder", type=Path, help="where logs and data stay; by default a new one")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="cornerman-season-"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leaves no process behind, as after Ctrl-C
    _say(f"logs in {folder}")
    compile_if_missing()
    plan = replace(SeasonPlan(), seed=given.seed, cards=given.cards, seconds_per_card=given.seconds_per_card)
    course = run_season(plan, folder, _say)
    figures = summary(plan, course)
    sys.stdout.write((json.dumps(figures, indent=2) if given.json else "\n".join(lines(figures))) + "\n")
    return 0 if figures["kept"] else 1


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
