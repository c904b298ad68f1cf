"""The reference page of the settings, written from their metadata.

    python -m workers.settings_reference docs/reference/configuration.md

A test compares the page with the output of this module.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ledger.settings import LedgerSettings, settings_table
from workers.settings import WorkerSettings

HEADER = """# Configuration

Every setting is an environment variable; an empty one counts as absent. A value that cannot work
is refused at the start, with the name of its variable. Durations are in seconds, sizes in MiB.
Changes need a restart; what can be changed in a running fleet is listed by
`cornerman set --list` ([operators](../guides/operators.md)).

This page is written by `python -m workers.settings_reference docs/reference/configuration.md`.
"""
SECTIONS = {
    "Ledger and callers": (
        LedgerSettings,
        "Read by callers and workers. Both sides should agree, but may differ during a roll-out.",
    ),
    "Pools": (WorkerSettings, "Read by workers. `CORNERMAN_DATA` is read by the command line, too."),
}


def page() -> str:
    """Return the page as Markdown."""
    lines = HEADER.splitlines()
    for title, (kind, about) in SECTIONS.items():
        lines += ["", f"## {title}", "", about, "", *settings_table(kind)]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
