"""The reference page of the gateway's settings, written from their metadata.

    python -m gateway.settings_reference docs/reference/gateway-configuration.md

A test compares the page with the output of this module.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.settings import GatewaySettings
from ledger.settings import settings_table

HEADER = """# Configuration of the gateway

Read by `cornerman serve`, `cornerman up --http` and `cornerman relay`, besides the settings of
[ledger and callers](configuration.md). Every setting is an environment variable; an empty one
counts as absent. A value that cannot work is refused at the start, with the name of its variable.

This page is written by
`python -m gateway.settings_reference docs/reference/gateway-configuration.md`.
"""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([*HEADER.splitlines(), "", *settings_table(GatewaySettings), ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
