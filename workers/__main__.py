"""`python -m workers --pool predict`: one pool of workers, in this process and its children.

Exit codes: 0 after SIGTERM; 69 if the server cannot be reached; 70 if its children cannot start; 75 if its watchdog
finds that it consumes nothing, or a critical thread has ended; 78 for an invalid setting; after any other code a
process manager should restart it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from ledger.contracts.failures import LedgerError, LedgerUnavailableError, PermissionDeniedError
from ledger.jobs.claims import QUEUES
from ledger.ledger import Ledger
from ledger.server.optional_libraries import hidden
from workers.jobs.registry import HANDLERS, HandlerRegistry
from workers.settings import WorkerSettings

CANNOT_REACH_SERVER = 69  # as in sysexits.h: EX_UNAVAILABLE
BAD_SETTING = 78  # EX_CONFIG


def main(arguments: Sequence[str] | None = None, handlers: HandlerRegistry = HANDLERS) -> int:
    """Run a pool until it must stop; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run one pool of workers.")
    parser.add_argument("--pool", choices=QUEUES, required=True, help="queue to consume")
    parser.add_argument("--concurrency", type=int, help="number of children")
    given = parser.parse_args(arguments)
    with hidden("opentelemetry"):
        import redis  # noqa: F401 - for the ledger, before anything else imports it
    try:
        settings = _settings(given.pool, given.concurrency)
        with closing(Ledger.connect(settings.ledger)) as ledger:
            # Before the first claim: no outcome may be visible without what the setting asks for.
            ledger.outcome_confirmation.set_durability()
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the caller: the log is not configured yet
        return BAD_SETTING
    except (LedgerUnavailableError, PermissionDeniedError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the caller: the log is not configured yet
        return CANNOT_REACH_SERVER
    except LedgerError as error:  # the server cannot confirm outcomes
        print(error, file=sys.stderr)  # noqa: T201 - for the caller: the log is not configured yet
        return BAD_SETTING
    return _run(settings, given.pool, handlers)


def _settings(queue: str, concurrency: int | None) -> WorkerSettings:
    settings = WorkerSettings.from_env().with_running_server()
    children = concurrency or settings.concurrency or (os.cpu_count() or 1 if queue == "predict" else 1)
    return replace(settings, concurrency=children)


def _run(settings: WorkerSettings, queue: str, handlers: HandlerRegistry) -> int:
    # Importing Celery takes half a second: check the settings first.
    with hidden("cffi", "yaml", *(() if sys.stderr.isatty() else ("rich",))):
        import structlog  # noqa: F401 - on a terminal it renders tracebacks by rich

        from workers.app import create_app
    from workers.logs import setup

    setup.configure_logging(settings)  # before Celery does, so that its warnings about the environment are JSON too
    worker = create_app(settings, handlers).Worker(
        hostname=f"{queue}@{settings.node_name}",
        queues=[queue],
        pool="prefork",
        autoscale=(settings.concurrency, 1),  # the supervisor's step adds as many as there is memory for
        loglevel=settings.log_level,
        quiet=True,
        # Pools find each other through the ledger; each of these would poll the server instead.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=not settings.celery_events,
        task_events=bool(settings.celery_events),
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
