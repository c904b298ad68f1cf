"""Which ledgers use which bundles of a store, so that no ledger removes what is another's, or what is just being used.

    owners/<ledger>/<bundle>       a ledger uses the bundle; its text is a new one with each use
    owners/unclaimed/<bundle>      it was there before owners were noted: it may be anybody's
    removing/<bundle>.<remover>    somebody is about to remove it

Who uses a bundle writes its claim and then looks whether somebody removes it; who removes it writes that and then looks
at the claims. So of two that do it at the same time at least one sees the other, and gives way: the user comes again in
a while, the remover leaves the bundle alone. That needs nothing of the file system but that what was written is seen
by whoever looks later. A remover that died is not waited for for longer than it may work.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager

from engine.model.bundle import MANIFEST
from workers.errors import StoreUnavailableError
from workers.models.remote_folder import Remote

OWNERS, REMOVING = "owners", "removing"
UNCLAIMED = "unclaimed"
STALE_SECONDS = 7_200.0  # longer than a collection may run
FRESH_SECONDS = 3_600.0  # longer than it takes from writing a bundle to claiming it

Claims = Mapping[str, Set[str]]
"""Which bundles each ledger has claimed, by their places."""


class Owners:
    """The notes of one store, in the name of one ledger. `reaching` makes its errors a StoreUnavailableError.

    All methods raise that.
    """

    def __init__(self, remote: Remote, ledger: str, reaching: Callable[[str], AbstractContextManager[None]]) -> None:
        self._remote = remote
        self._ledger = ledger
        self._reaching = reaching

    def claim(self, place: str) -> None:
        """Say that the ledger uses a bundle from now on. Raises StoreUnavailableError also while that goes."""
        own = _note(self._ledger, place)
        with self._reaching(place):
            if self._remote.read_note(own) is None and self._anybodys(place):
                self._remote.write_note(_note(UNCLAIMED, place), "")
            self._remote.write_note(own, secrets.token_hex(8))
            for name in self._remote.files(REMOVING, depth=1):
                if not name.startswith(f"{_flat(place)}."):
                    continue
                age_seconds = self._remote.age_seconds(f"{REMOVING}/{name}")
                if age_seconds is not None and age_seconds < STALE_SECONDS:
                    raise StoreUnavailableError(f"bundle {place} is being removed; it is written again after that")

    def claims(self) -> Claims:
        """Return who has claimed what."""
        found: dict[str, set[str]] = defaultdict(set)
        with self._reaching(OWNERS):
            for path in self._remote.files(OWNERS, depth=2):
                ledger, _, flat = path.rpartition("/")
                found[ledger].add(flat.replace(".", "/"))
        return found

    def of_ledger(self, claims: Claims) -> Set[str]:
        """Return what this ledger has claimed."""
        return claims.get(self._ledger, frozenset())

    def own(self, claims: Claims, places: Set[str], *, adopt: bool) -> set[str]:
        """Return those places that are this ledger's alone; with `adopt` also those that nobody has claimed."""
        others = {place for ledger in claims.keys() - {self._ledger, UNCLAIMED} for place in claims[ledger]}
        if adopt:
            return set(places - others)
        return set((places & self.of_ledger(claims)) - others - claims.get(UNCLAIMED, frozenset()))

    def token(self, place: str) -> str | None:
        """Return the text of the ledger's claim: another one when the bundle was used since."""
        with self._reaching(place):
            return self._remote.read_note(_note(self._ledger, place))

    def age_seconds(self, place: str) -> float | None:
        """Return how long ago the ledger used a bundle last; None without a claim."""
        with self._reaching(place):
            return self._remote.age_seconds(_note(self._ledger, place))

    @contextmanager
    def removing(self, tokens: Mapping[str, str | None], remover: str, *, adopt: bool) -> Iterator[set[str]]:
        """Say that bundles are about to be removed, and yield those that may be: nobody else uses them.

        `tokens` has what the claim to each place was when it was decided. `remover` is a name that no other has. All
        claims are looked at once, whatever the number of places.
        """
        notes = [f"{REMOVING}/{_flat(place)}.{remover}" for place in tokens]
        try:
            for note in notes:
                with self._reaching(note):
                    self._remote.write_note(note, "")
            own = self.own(self.claims(), set(tokens), adopt=adopt)
            yield {place for place in own if self.token(place) == tokens[place]}
        except StoreUnavailableError:
            raise  # nor can the notes be taken back now: the next attempt does it (`withdraw`)
        except BaseException:
            self._take_back(*notes)
            raise
        self._take_back(*notes)

    def withdraw(self, remover: str) -> None:
        """Take back what a remover has said that it would remove."""
        with self._reaching(REMOVING):
            for name in self._remote.files(REMOVING, depth=1):
                if name.endswith(f".{remover}"):
                    self._remote.remove_file(f"{REMOVING}/{name}")

    def drop(self, place: str) -> None:
        """Take back the claim to a bundle that was removed, and that of nobody in particular."""
        self._take_back(*(_note(ledger, place) for ledger in (self._ledger, UNCLAIMED)))

    def _take_back(self, *notes: str) -> None:
        for note in notes:
            with self._reaching(note):
                self._remote.remove_file(note)

    def _anybodys(self, place: str) -> bool:
        """Whether a bundle was there before owners were noted."""
        age_seconds = self._remote.age_seconds(f"{place}/{MANIFEST}")
        if age_seconds is None or age_seconds < FRESH_SECONDS:
            return False
        return not any(place in claimed for claimed in self.claims().values())


def _flat(place: str) -> str:
    return place.replace("/", ".")


def _note(ledger: str, place: str) -> str:
    return f"{OWNERS}/{ledger}/{_flat(place)}"
