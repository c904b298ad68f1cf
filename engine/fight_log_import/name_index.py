"""Proposals of links: which fight, or which fighter, of a log a source's may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import pandas as pd

from engine.data.fighter_names import FighterIndex, fighter_name_key
from engine.errors import AmbiguousFighterError
from engine.fight_log_import.source_tables import Record

MAX_DAYS_APART = 1  # a night of fights passes midnight in most time zones


class FightIndex:
    """The fights of a log by day, with their fighters' names."""

    def __init__(self, fights: Mapping[str, Record], names: Mapping[str, str]) -> None:
        self._by_day: dict[pd.Timestamp, list[str]] = defaultdict(list)
        self._names: dict[str, tuple[str, str]] = {}
        self._ids = {fight_id: {fight["red_id"], fight["blue_id"]} for fight_id, fight in fights.items()}
        for fight_id, fight in fights.items():
            self._by_day[fight["date"]].append(fight_id)
            self._names[fight_id] = names[fight["red_id"]], names[fight["blue_id"]]

    def find_by_ids(self, day: pd.Timestamp, pair: tuple[str | None, str | None], besides: Iterable[str]) -> list[str]:
        """Return the fights of two fighters of the log within a day of `day`, those of `besides` left out."""
        if None in pair:
            return []
        return [fight_id for fight_id in self._nearby(day, besides) if self._ids[fight_id] == set(pair)]

    def find_sharing(self, day: pd.Timestamp, pair: tuple[str, str], besides: Iterable[str]) -> list[str]:
        """Return the fights within a day of `day` that have one of the two names, those of `besides` left out."""
        keys = set(map(fighter_name_key, pair))
        return [
            fight_id
            for fight_id in self._nearby(day, besides)
            if keys & set(map(fighter_name_key, self._names[fight_id]))
        ]

    def _nearby(self, day: pd.Timestamp, besides: Iterable[str]) -> list[str]:
        left_out = set(besides)
        return [
            fight_id
            for off in range(-MAX_DAYS_APART, MAX_DAYS_APART + 1)
            for fight_id in self._by_day.get(day + pd.Timedelta(days=off), ())
            if fight_id not in left_out
        ]

    def find(self, day: pd.Timestamp, pair: tuple[str, str], besides: Iterable[str]) -> list[str]:
        """Return the fights of both names within a day of `day`, those of `besides` left out.

        Fights of the same names by their letters come first and alone; aliases, and the other order of a name, count
        only without one.
        """
        nearby = self._nearby(day, besides)
        keys = set(map(fighter_name_key, pair))
        spelt = {fight_id: set(map(fighter_name_key, self._names[fight_id])) for fight_id in nearby}
        exact = [fight_id for fight_id in nearby if spelt[fight_id] == keys]
        return exact or [
            fight_id for fight_id in nearby if spelt[fight_id] & keys and self.first_side(fight_id, pair) is not None
        ]

    def first_side(self, fight_id: str, pair: tuple[str, str]) -> int | None:
        """Return the side (0 red, 1 blue) of the pair's first fighter; None if these are not the fight's fighters."""
        return first_side(self._names[fight_id], pair)


@lru_cache(maxsize=65_536)
def first_side(names: tuple[str, str], pair: tuple[str, str]) -> int | None:
    """Return the position in `names` of the pair's first name; None if the pair is not the same two names."""
    found = [_position(names, name) for name in pair]
    return found[0] if None not in found and found[0] != found[1] else None


def _position(names: Sequence[str], name: str) -> int | None:
    for position, known in enumerate(names):
        if fighter_name_key(known) == fighter_name_key(name):
            return position
    try:
        return FighterIndex(("0", "1"), names, (False, False)).find_position(name)
    except AmbiguousFighterError:
        return None
