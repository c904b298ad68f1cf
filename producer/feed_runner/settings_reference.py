"""The reference page of a feed runner's settings, written from their metadata.

    python -m producer.feed_runner.settings_reference docs/reference/feed-configuration.md

A test compares the page with the output of this module.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ledger.settings import settings_table
from producer.feed_runner.settings import FeedSettings

HEADER = """# Configuration of feed runners

Read by `cornerman feed run` and `cornerman up --feed`, besides the settings of
[ledger and callers](configuration.md). Every setting is an environment variable; an empty one
counts as absent, and an option of the command goes first. A value that cannot work is refused at
the start, with the name of its variable. [Feeds](../guides/feeds.md) explains what they do.

This page is written by
`python -m producer.feed_runner.settings_reference docs/reference/feed-configuration.md`.
"""


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([*HEADER.splitlines(), "", *settings_table(FeedSettings), ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
