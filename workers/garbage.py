"""From a `CollectGarbage` to a `GarbageReport`: remove models that nothing refers to, and what trainings left behind.

A model stays when an alias stands for it or stood for it, when a kept job or outcome names it, and while it is young:
it may be on its way to a name. What a training was prepared to, and its parts, stay while they are young: one that was
stopped, or is asked for again, goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from ledger.jobs import CollectGarbage
from ledger.reports import GarbageReport
from workers.context import JobContext
from workers.fanout import PARTS, PREPARED

DAY_SECONDS = 86_400.0


def collect(job: CollectGarbage, context: JobContext) -> GarbageReport:
    """Collect garbage, or say what would be collected. Raises StoreUnavailableError and LedgerUnavailable."""
    store, ledger = context.store, context.ledger
    models = removable(store.ages(""), ledger.named_digests(), job.keep_days)
    trainings = removable(store.ages(PREPARED), frozenset(), job.keep_training_days)
    removed = []
    for digest in models if not job.dry_run else []:
        ledger.forget_model(digest)  # first, or it could get a name while it goes
        if digest not in ledger.named_digests():
            store.remove(digest)
            removed.append(digest)
    for digest in trainings if not job.dry_run else []:
        store.remove(f"{PARTS}/{digest}")
        store.remove(f"{PREPARED}/{digest}")  # last: its age is what the next collection looks at
    return GarbageReport(
        models=tuple(models if job.dry_run else removed), trainings=tuple(trainings), dry_run=job.dry_run
    )


def removable(ages_seconds: Mapping[str, float], named: Set[str], keep_days: float) -> list[str]:
    """Return the digests that nobody names and that are older than `keep_days`, in order."""
    return sorted(
        digest
        for digest, age_seconds in ages_seconds.items()
        if digest not in named and age_seconds > keep_days * DAY_SECONDS
    )
