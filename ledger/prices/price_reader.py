"""Price histories wherever they are: in the ledger, in the archive, or in both."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ledger.contracts.codec import job_refused
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import Quote
from ledger.contracts.prices import PriceChange
from ledger.prices import as_of
from ledger.prices.archive import PriceArchive, month_of
from ledger.prices.merging import merge
from ledger.prices.prices import Prices, last_start
from ledger.prices.stream_entries import FightPrices

_EMPTY = FightPrices()


class PriceReader:
    """Price histories of current and archived fights.

    Parameters
    ----------
    prices
        The prices of a ledger.
    archive
        The archive of its pools; None if it cannot be reached from here.
    """

    def __init__(self, prices: Prices, archive: PriceArchive | None = None) -> None:
        self._prices = prices
        self._archive = archive

    def read(self, fight_id: str) -> FightPrices:
        """Return the history of a fight, an empty one if the fight is unknown.

        Raises
        ------
        JobRefusedError
            The history is archived, and there is no archive, or another one, or a package is missing to read it.
        ArchiveUnavailableError
            The archive cannot be read.
        """
        state = self._prices.state(fight_id)
        recent = self._prices.read(fight_id)
        if state is None and self._archive is not None:  # archived by another ledger, or before this one was set up
            return self._archive.find(fight_id)
        found = _EMPTY
        for month in () if state is None else state.archived:
            found = merge(found, self._archived(fight_id, month))
        return merge(found, recent)

    def history(self, fight_id: str) -> tuple[PriceChange, ...]:
        """Return all changes of a fight's prices in the order of reading. Raises as `read`."""
        return self.read(fight_id).changes

    def quotes_at(self, fight_id: str, moment: datetime) -> tuple[Quote, ...]:
        """Return the quotes that stood at a moment. Raises as `read`."""
        return as_of.quotes_at(self.read(fight_id).changes, moment)

    def close(self, fight_id: str, bell: datetime | None = None) -> tuple[Quote, ...]:
        """Return the close of a fight, by default at its last known start. Raises as `read`."""
        found = self.read(fight_id)
        bell = bell or last_start(found.starts)
        return () if bell is None else as_of.close_of(found.changes, bell)

    def closes(self, bells: Mapping[str, datetime]) -> dict[str, tuple[Quote, ...]]:
        """Return the closes of fights by id, each at its bell; fights without one are left out. Raises as `read`.

        Each month of the archive is read once.
        """
        months: dict[str, list[str]] = {}
        promised: set[str] = set()
        for (fight_id, bell), state in zip(bells.items(), self._prices.states(list(bells)), strict=True):
            unknown = () if self._archive is None else (month_of(bell),)
            if state is not None:
                promised.add(fight_id)
            for month in unknown if state is None else state.archived:
                months.setdefault(month, []).append(fight_id)
        found = dict.fromkeys(bells, _EMPTY)
        for month, fight_ids in sorted(months.items()):
            archived = self._required(fight_ids[0]).read_month(month).prices
            for fight_id in fight_ids:
                if fight_id in promised and fight_id not in archived:
                    raise self._not_there(fight_id, month)
                found[fight_id] = merge(found[fight_id], archived.get(fight_id, _EMPTY))
        closes = {
            fight_id: as_of.close_of(merge(found[fight_id], self._prices.read(fight_id)).changes, bell)
            for fight_id, bell in bells.items()
        }
        return {fight_id: quotes for fight_id, quotes in closes.items() if quotes}

    def _archived(self, fight_id: str, month: str) -> FightPrices:
        archived = self._required(fight_id).read_month(month, fight_id).prices
        if fight_id not in archived:
            raise self._not_there(fight_id, month)
        return archived[fight_id]

    def _not_there(self, fight_id: str, month: str) -> JobRefusedError:
        name = "" if self._archive is None else self._archive.name
        return job_refused(
            f"the prices of fight {fight_id!r} were archived in {month}, and {name} does not have them: set "
            "CORNERMAN_STORE, or CORNERMAN_DATA, as the pools have them"
        )

    def _required(self, fight_id: str) -> PriceArchive:
        if self._archive is None:
            raise job_refused(
                f"the prices of fight {fight_id!r} are archived, and no archive is known here: set CORNERMAN_STORE, or "
                "CORNERMAN_DATA, as the pools have them"
            )
        return self._archive
