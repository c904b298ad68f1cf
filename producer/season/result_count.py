"""The results of a season, counted: each bout's last reported result, once, in the ledger and in the fight log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.contracts.bouts import bout_key, fighter_key
from ledger.models.fight_results import FightResult
from producer.season.count import Count
from producer.service.played_season import PlayedListing


def count_results(listings: Iterable[PlayedListing], moment: float, results: Sequence[FightResult]) -> Count:
    """Count the results that the provider had reported at a moment.

    Parameters
    ----------
    listings
        All listings of the season.
    moment
        When the results were read for the last time, in seconds since 1970.
    results
        The results that the ledger knows of the season's days.
    """
    kept: dict[tuple[str, str], list[FightResult]] = {}
    for result in results:
        kept.setdefault(bout_key(*result.fighters), []).append(result)
    expected, lost, doubled, wrong = 0, [], [], []
    for listing in listings:
        reported, found = listing.result_at(moment), kept.pop(bout_key(*listing.fighters), [])
        name = " v ".join(listing.fighters)
        if reported is None:
            # A bout that was cancelled, or that goes on under another id.
            if found and not listing.results:
                kept[bout_key(*listing.fighters)] = found
            elif found:
                wrong.append(f"{name} has a result, and none was reported")
            continue
        expected += 1
        if not found:
            lost.append(f"{name} has no result; reported was {reported}")
        elif len(found) > 1:
            doubled.append(f"{name} has {len(found)} results")
        elif (has := ending_of(found[0], listing)) != reported:
            wrong.append(f"{name} has the result {has}; reported was {reported}")
    wrong += [f"{' v '.join(found[0].fighters)} has a result and was no bout of the season" for found in kept.values()]
    return Count.of(expected, lost, doubled, wrong)


def ending_of(result: FightResult, listing: PlayedListing) -> str:
    """Return a result in the words of a listing: `first`, `second`, `draw` or `no_contest`."""
    if result.winner is None:
        return result.ending
    winner = result.fighters[result.winner]
    return "first" if fighter_key(winner) == fighter_key(listing.fighters[0]) else "second"
