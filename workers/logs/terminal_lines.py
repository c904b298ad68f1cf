"""Log lines for people at a terminal, made from the JSON lines of all other targets."""

from __future__ import annotations

import json
import logging
import os

from structlog.dev import ConsoleRenderer

_SKIPPED = ("pid", "logger", "timestamp")  # a terminal shows one service, live


class TerminalFormatter(logging.Formatter):
    """Formats another formatter's JSON lines as time of day, level, event, then `name=value`."""

    def __init__(self, json_lines: logging.Formatter) -> None:
        super().__init__()
        self._json_lines = json_lines
        self._render = ConsoleRenderer(colors="NO_COLOR" not in os.environ, sort_keys=False)

    def format(self, record: logging.LogRecord) -> str:
        """Return a readable line for each of a record's JSON lines."""
        return "\n".join(map(self._line, self._json_lines.format(record).splitlines()))

    def _line(self, line: str) -> str:
        fields = json.loads(line)
        shown = {name: _printable(value) for name, value in fields.items() if name not in _SKIPPED}
        trace = fields.get("exception") or fields.get("traceback")
        if trace:  # the renderer puts it below the line
            shown.pop("traceback", None)
            shown["exception"] = "\n".join(map(_visible, trace.splitlines()))
        return str(self._render(None, "", {"timestamp": fields["timestamp"][11:19], **shown}))


def _printable(value: object) -> object:
    """Return a text on one line, any other value unchanged."""
    return _visible(" ".join(value.split())) if isinstance(value, str) else value


def _visible(text: str) -> str:
    """Replace the control characters that a terminal would interpret."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
