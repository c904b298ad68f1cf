"""Handler of `CollectGarbage`: remove unused models and the remains of trainings.

A model is kept while an alias points or pointed to it, while a stored job or outcome names it, and while it is young,
since it may be about to get an alias. Prepared data of a training and the results of its parts are kept while they are
young, and while an unfinished job names them, so that a training that was stopped or resubmitted resumes.

In a store that several ledgers share each ledger collects only bundles that no other ledger uses
(`workers.models.bundle_owners`). A bundle without a claim is older than these records, or its writer died: it is kept
unless the job adopts it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set

from ledger.contracts.jobs import CollectGarbage
from ledger.contracts.reports import GarbageReport
from workers.jobs.context import JobContext
from workers.models.bundle_owners import UNCLAIMED
from workers.models.model_store import PARTS, PREPARED

DAY_SECONDS = 86_400.0
REMOVE_BATCH_SIZE = 200
"""Maximum number of places that are removed before all claims are read again."""
_DAMAGED = ".corrupt-"  # in the name of a damaged bundle that was replaced


def collect_garbage(job: CollectGarbage, context: JobContext) -> GarbageReport:
    """Collect garbage, or with `dry_run` only report it.

    Raises
    ------
    StoreUnavailableError
    LedgerUnavailableError
    ClaimLostError
        The job was cancelled meanwhile.
    """
    return _Collection(job, context).run()


def removable(ages_seconds: Mapping[str, float], named: Set[str], keep_days: float) -> list[str]:
    """Return, sorted, the digests that are not named and are older than `keep_days`."""
    return sorted(
        digest
        for digest, age_seconds in ages_seconds.items()
        if digest not in named and age_seconds > keep_days * DAY_SECONDS
    )


class _Collection:
    """One garbage collection. A place is a bundle's digest, or `prepared/<digest>`."""

    def __init__(self, job: CollectGarbage, context: JobContext) -> None:
        self._job = job
        self._context = context
        self._store = context.store
        self._ledger = context.ledger
        self._owners = context.store.owners
        self._remover = hashlib.sha256(context.claim.job_id.encode()).hexdigest()[:16]

    def run(self) -> GarbageReport:
        """Remove models, then the remains of trainings."""
        if not self._job.dry_run:
            self._owners.withdraw_removals(self._remover)  # announcements of an attempt of this job that died
            self._ledger.references.restore()
            self._remove_damaged()
        claims = self._owners.claims()
        there = self._digests("")
        ages, tokens = self._own(claims, there, "")
        named = self._ledger.references.referenced(there | ages.keys())
        self._claim(named & there, claims)
        models = removable(ages, named, self._job.keep_days)
        prepared = {f"{PREPARED}/{digest}" for digest in self._digests(PREPARED)}
        ages, more = self._own(claims, prepared, f"{PREPARED}/")
        trainings = removable(ages, self._wanted(ages.keys()), self._job.keep_training_days)
        if not self._job.dry_run:
            models, trainings = (self._remove(places, tokens | more) for places in (models, trainings))
        return GarbageReport(
            models=tuple(digest for digest in models if digest in there),
            trainings=tuple(place.partition("/")[2] for place in trainings),
            dry_run=self._job.dry_run,
            unclaimed=0 if self._job.adopt else len(self._unclaimed(claims, there - named)),
        )

    def _digests(self, where: str) -> set[str]:
        return {name for name in self._store.bundle_names(where) if _DAMAGED not in name}

    def _own(
        self, claims: Mapping[str, Set[str]], there: Set[str], prefix: str
    ) -> tuple[dict[str, float], dict[str, str | None]]:
        """Return the age of each place that only this ledger uses, and the text of its claim before any decision.

        Claimed places without a complete bundle are included, since some of their files may exist.
        """
        claimed = {
            place for place in self._owners.claimed_by_ledger(claims) if place.rpartition("/")[0] == prefix.rstrip("/")
        }
        own = self._owners.exclusively_owned(claims, there | claimed, adopt=self._job.adopt)
        tokens = {place: self._owners.token(place) for place in own}
        # Read after the claims: a later use changes the text of the claim.
        ages = {place: self._store.age_seconds(place) for place in own}
        return {place: age for place, age in ages.items() if age is not None}, tokens

    def _claim(self, named: Set[str], claims: Mapping[str, Set[str]]) -> None:
        """Claim the models that this ledger names, if they are older than the records of owners."""
        for digest in named - self._owners.claimed_by_ledger(claims) if not self._job.dry_run else ():
            self._owners.claim(digest)

    def _wanted(self, places: Set[str]) -> set[str]:
        """Return those prepared trainings that an unfinished job names."""
        digests = {place.rpartition("/")[2] for place in places}
        named = self._ledger.references.referenced(digests, unfinished=True)
        return {place for place in places if place.rpartition("/")[2] in named}

    def _remove(self, places: list[str], tokens: Mapping[str, str | None]) -> list[str]:
        """Remove places unless they were used or named since they were chosen; return the removed ones.

        Places are removed in batches: all claims are read once per batch, and a collection that ends early is valid.
        """
        removed: list[str] = []
        for first in range(0, len(places), REMOVE_BATCH_SIZE):
            chosen = {place: tokens[place] for place in places[first : first + REMOVE_BATCH_SIZE]}
            with self._owners.removing(chosen, self._remover, adopt=self._job.adopt) as free:
                removed += self._remove_free(free, first, len(places))
        return removed

    def _remove_free(self, free: set[str], before: int, total: int) -> list[str]:
        """Remove announced places unless they are named; return the removed ones."""
        removed: list[str] = []
        models = {place for place in free if "/" not in place}
        try:
            self._ledger.references.unregister(models)  # from here on no alias can be moved to them
            free = free - self._ledger.references.referenced(models) - self._wanted(free - models)
            for count, place in enumerate(sorted(free), start=before):
                self._context.progress("removing", count, total)
                if place in models and self._ledger.references.is_known(place):
                    continue
                self._remove_one(place)
                removed.append(place)
        finally:
            self._ledger.references.restore(models.difference(removed))
        return removed

    def _remove_one(self, place: str) -> None:
        self._ledger.references.delete(place)  # first: a model that is still registered could be used without its files
        if place.startswith(f"{PREPARED}/"):
            self._store.remove(f"{PARTS}/{place.rpartition('/')[2]}")
        self._store.remove(place)
        self._owners.drop_claims(place)  # last: the claim leads the next collection to the remaining files

    def _remove_damaged(self) -> None:
        """Remove old bundles that were found damaged and replaced."""
        ages = {name: self._store.age_seconds(name) for name in self._store.bundle_names("") if _DAMAGED in name}
        known = {name: age for name, age in ages.items() if age is not None}
        for name in removable(known, frozenset(), self._job.keep_days):
            self._store.remove(name)

    @staticmethod
    def _unclaimed(claims: Mapping[str, Set[str]], digests: Set[str]) -> set[str]:
        claimed = {place for ledger, places in claims.items() if ledger != UNCLAIMED for place in places}
        return set(digests - claimed) | set(digests & claims.get(UNCLAIMED, set()))
