"""A count of what a season should have left behind, with a sentence on each item that is not as it should be."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct


class Count(Struct, frozen=True, kw_only=True):
    """How many items there should be, and sentences on those that are lost, doubled, or wrong otherwise."""

    expected: int
    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @classmethod
    def of(cls, expected: int, lost: Iterable[str], doubled: Iterable[str], wrong: Iterable[str]) -> Count:
        """Return a count of the given sentences."""
        return cls(expected=expected, lost=tuple(lost), doubled=tuple(doubled), wrong=tuple(wrong))

    @property
    def right(self) -> bool:
        """True if nothing is lost, doubled or wrong."""
        return not (self.lost or self.doubled or self.wrong)
