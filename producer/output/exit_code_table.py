"""The exit codes of the command line and what they mean; needs nothing else, because every help prints them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes that scripts may rely on; `MEANINGS` describes each."""

    OK = 0
    FAILED = 1
    REFUSED = 2
    UNAVAILABLE = 3
    TIMEOUT = 4
    UNKNOWN_JOB = 5
    NOT_INSTALLED = 6
    PARTLY_REFUSED = 7
    BROKEN_AUDIT = 8
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done; for a card, even if single fights on it failed",
    ExitCode.FAILED: "the job failed, expired or was cancelled; a check failed; a model was refused; a control differs",
    ExitCode.REFUSED: "wrong usage or invalid input: nothing was enqueued",
    ExitCode.UNAVAILABLE: "no server or archive, or it refuses this user or this command",
    ExitCode.TIMEOUT: "no outcome within --timeout; the job goes on",
    ExitCode.UNKNOWN_JOB: "no such job, bet, feed, schedule, webhook or fight, or the job's retention has ended",
    ExitCode.NOT_INSTALLED: "this part of cornerman is not installed",
    ExitCode.PARTLY_REFUSED: "part of a feed was refused, the rest is read; events that have begun do not count",
    ExitCode.BROKEN_AUDIT: "an audit file has a line that is changed, missing, reordered, repeated or truncated",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C",
}
