"""`python -m workers --pool predict`: one pool of workers, in this process and its children.

It ends with 0 after SIGTERM, with 69 when the server cannot be reached, with 70 when its children cannot start, with 75
when its watchdog finds that it consumes nothing or a thread that it depends on has ended, with 78 when a setting makes
no sense, and with anything else for its supervisor to start it again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from ledger.contracts.failures import LedgerUnavailable, PermissionDenied
from ledger.jobs.claims import QUEUES
from ledger.ledger import Ledger
from workers.jobs.registry import HANDLERS, Registry
from workers.settings import WorkerSettings

CANNOT_REACH_SERVER = 69  # as in sysexits.h: EX_UNAVAILABLE
BAD_SETTING = 78  # EX_CONFIG


def main(arguments: Sequence[str] | None = None, handlers: Registry = HANDLERS) -> int:
    """Run a pool until it is told to stop; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run one pool of workers.")
    parser.add_argument("--pool", choices=QUEUES, required=True, help="which queue it works off")
    parser.add_argument("--concurrency", type=int, help="how many children it has")
    given = parser.parse_args(arguments)
    try:
        settings = _settings(given.pool, given.concurrency)
        Ledger.connect(settings.ledger).close()
    except ValueError as error:
        print(error, file=sys.stderr)  # noqa: T201 - said to whoever starts it, before there is a log
        return BAD_SETTING
    except (LedgerUnavailable, PermissionDenied) as error:
        print(error, file=sys.stderr)  # noqa: T201 - said to whoever starts it, before there is a log
        return CANNOT_REACH_SERVER
    return _run(settings, given.pool, handlers)


def _settings(queue: str, concurrency: int | None) -> WorkerSettings:
    settings = WorkerSettings.from_env().located()
    children = concurrency or settings.concurrency or (os.cpu_count() or 1 if queue == "predict" else 1)
    return replace(settings, concurrency=children)


def _run(settings: WorkerSettings, queue: str, handlers: Registry) -> int:
    from workers.app import create_app
    from workers.logs import setup  # Celery takes half a second, which a bad setting need not wait for

    setup.configure(settings)  # before Celery does, so that its warnings about the surroundings are JSON too
    worker = create_app(settings, handlers).Worker(
        hostname=f"{queue}@{settings.node_name}",
        queues=[queue],
        pool="prefork",
        autoscale=(settings.concurrency, 1),  # one at first: what it takes tells how many there can be
        loglevel=settings.log_level,
        quiet=True,
        # Pools find each other through the ledger; these would each poll the server for it.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=not settings.celery_events,
        task_events=bool(settings.celery_events),
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
