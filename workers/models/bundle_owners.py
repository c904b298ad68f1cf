"""Owners of bundles: which ledgers use which bundles of a shared store, so that a removal cannot race with a use.

    owners/<ledger>/<bundle>       a ledger uses the bundle; the text changes with each use
    owners/unclaimed/<bundle>      the bundle is older than these records: any ledger may use it
    removing/<bundle>.<remover>    a garbage collection is about to remove the bundle

A user writes its claim and then checks for removals; a remover writes its removal and then checks the claims. If both
do so at the same time, at least one sees the other and gives way: the user raises StoreUnavailableError and tries again
later, the remover leaves the bundle alone. The file system must only guarantee that a file is visible to later reads.
The removal of a dead remover counts no longer than a collection may run.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager

from engine.model.bundle import MANIFEST
from ledger.remote_folder import FsspecFolder
from workers.errors import StoreUnavailableError

OWNERS, REMOVING = "owners", "removing"
UNCLAIMED = "unclaimed"
STALE_SECONDS = 7_200.0  # more than the longest collection
FRESH_SECONDS = 3_600.0  # more than the time from writing a bundle to claiming it

BundleClaims = Mapping[str, Set[str]]
"""The places of the bundles that each ledger has claimed."""


class Owners:
    """The claims of a store, seen from one ledger. Every method raises StoreUnavailableError.

    Parameters
    ----------
    remote : FsspecFolder
    ledger : str
        Identity of the ledger.
    reaching : callable
        Context manager that converts errors of the file system to StoreUnavailableError.
    """

    def __init__(
        self, remote: FsspecFolder, ledger: str, reaching: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        self._remote = remote
        self._ledger = ledger
        self._reaching = reaching

    def claim(self, place: str) -> None:
        """Record a use of a bundle by the ledger. Raises StoreUnavailableError also during a removal of the bundle."""
        own = _claim_file(self._ledger, place)
        with self._reaching(place):
            if self._remote.read_marker(own) is None and self._predates_owners(place):
                self._remote.write_marker(_claim_file(UNCLAIMED, place), "")
            self._remote.write_marker(own, secrets.token_hex(8))
            for name in self._remote.files(REMOVING, depth=1):
                if not name.startswith(f"{_flat(place)}."):
                    continue
                age_seconds = self._remote.age_seconds(f"{REMOVING}/{name}")
                if age_seconds is not None and age_seconds < STALE_SECONDS:
                    raise StoreUnavailableError(f"bundle {place} is being removed; it will be written again afterwards")

    def claims(self) -> BundleClaims:
        """Return all claims."""
        found: dict[str, set[str]] = defaultdict(set)
        with self._reaching(OWNERS):
            for path in self._remote.files(OWNERS, depth=2):
                ledger, _, flat = path.rpartition("/")
                found[ledger].add(flat.replace(".", "/"))
        return found

    def claimed_by_ledger(self, claims: BundleClaims) -> Set[str]:
        """Return the places that this ledger has claimed."""
        return claims.get(self._ledger, frozenset())

    def exclusively_owned(self, claims: BundleClaims, places: Set[str], *, adopt: bool) -> set[str]:
        """Return the places that only this ledger uses; with `adopt` also those without any claim."""
        others = {place for ledger in claims.keys() - {self._ledger, UNCLAIMED} for place in claims[ledger]}
        if adopt:
            return set(places - others)
        return set((places & self.claimed_by_ledger(claims)) - others - claims.get(UNCLAIMED, frozenset()))

    def token(self, place: str) -> str | None:
        """Return the text of the ledger's claim; it changes with each use of the bundle."""
        with self._reaching(place):
            return self._remote.read_marker(_claim_file(self._ledger, place))

    def age_seconds(self, place: str) -> float | None:
        """Return the time since the ledger last used a bundle; None without a claim."""
        with self._reaching(place):
            return self._remote.age_seconds(_claim_file(self._ledger, place))

    @contextmanager
    def removing(self, tokens: Mapping[str, str | None], remover: str, *, adopt: bool) -> Iterator[set[str]]:
        """Announce the removal of bundles, and yield the places that may be removed.

        A place may be removed if no other ledger uses it and this ledger has not used it since the decision. All claims
        are read once, for any number of places.

        Parameters
        ----------
        tokens : mapping
            By place: the text of the ledger's claim at the time of the decision.
        remover : str
            A unique name.
        adopt : bool
            Also remove bundles without any claim.
        """
        paths = [f"{REMOVING}/{_flat(place)}.{remover}" for place in tokens]
        try:
            for path in paths:
                with self._reaching(path):
                    self._remote.write_marker(path, "")
            own = self.exclusively_owned(self.claims(), set(tokens), adopt=adopt)
            yield {place for place in own if self.token(place) == tokens[place]}
        except StoreUnavailableError:
            raise  # the announcement cannot be deleted either: the next attempt does so (`withdraw_removals`)
        except BaseException:
            self._delete(*paths)
            raise
        self._delete(*paths)

    def withdraw_removals(self, remover: str) -> None:
        """Delete all announcements of a remover."""
        with self._reaching(REMOVING):
            for name in self._remote.files(REMOVING, depth=1):
                if name.endswith(f".{remover}"):
                    self._remote.remove_file(f"{REMOVING}/{name}")

    def drop_claims(self, place: str) -> None:
        """Delete the claims of this ledger and of `unclaimed` to a removed bundle."""
        self._delete(*(_claim_file(ledger, place) for ledger in (self._ledger, UNCLAIMED)))

    def _delete(self, *paths: str) -> None:
        for path in paths:
            with self._reaching(path):
                self._remote.remove_file(path)

    def _predates_owners(self, place: str) -> bool:
        """Return True if a bundle is older than the records of owners."""
        age_seconds = self._remote.age_seconds(f"{place}/{MANIFEST}")
        if age_seconds is None or age_seconds < FRESH_SECONDS:
            return False
        return not any(place in claimed for claimed in self.claims().values())


def _flat(place: str) -> str:
    return place.replace("/", ".")


def _claim_file(ledger: str, place: str) -> str:
    return f"{OWNERS}/{ledger}/{_flat(place)}"
