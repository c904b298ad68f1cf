"""How a feed writes names, moments and prices, and how they are read without a guess.

Every reader takes a value of any JSON type and either returns the clean value or raises `Unreadable` with a
sentence.
"""

from __future__ import annotations

import math
import reprlib
import unicodedata
from datetime import UTC, datetime
from enum import StrEnum

from ledger.contracts.jobs import MAX_NAME_CHARACTERS, MAX_PRICE, MIN_AMERICAN

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60


class PriceFormat(StrEnum):
    """How prices are written. The caller says which: a guess that is wrong once costs money."""

    AMERICAN = "american"
    DECIMAL = "decimal"


class Unreadable(ValueError):
    """Why a value from outside cannot be used."""


def show(value: object) -> str:
    """Write a foreign value in a message: quoted, escaped and short."""
    return _short.repr(value)


def name_key(name: str) -> str:
    """Return what two spellings of a name within one event have in common: no case, width or stray spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def read_name(value: object) -> str:
    """Check a name from outside and trim it. Raises Unreadable."""
    if not isinstance(value, str):
        raise Unreadable(f"expected a name, found {show(value)}")
    name = value.strip()
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or not name_key(name):
        raise Unreadable(f"expected a name of 1 to {MAX_NAME_CHARACTERS} characters, found {show(value)}")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise Unreadable(f"{show(value)} is not valid Unicode")
    return name


def read_moment(value: object) -> datetime:
    """Read ISO 8601 with a time zone, or the feed's other notation, seconds since 1970. Raises Unreadable."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise Unreadable(f"{show(value)} has no time zone")
            return moment.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise (error if isinstance(error, Unreadable) else Unreadable(f"{show(value)} is not a time")) from error
    raise Unreadable(f"expected a time like 2026-08-22T21:15:00Z, found {show(value)}")


def decimal_price(price: object, price_format: PriceFormat) -> float:
    """Return the decimal price, what a stake of 1 pays back. Raises Unreadable on what is no price."""
    if isinstance(price, bool) or not isinstance(price, int | float):
        raise Unreadable(f"{show(price)} is not a price")
    try:
        number = float(price)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Unreadable(f"{show(price)} is not a finite price")
    if price_format is PriceFormat.AMERICAN:
        if abs(number) < MIN_AMERICAN:
            raise Unreadable(f"{show(price)} is no American price, these begin at {MIN_AMERICAN}; is the feed decimal?")
        number = 1 + (number / 100 if number > 0 else 100 / -number)
    elif number < 1:
        raise Unreadable(f"{show(price)} is no decimal price, these begin at 1; is the feed American?")
    if not 1 < number <= MAX_PRICE:
        raise Unreadable(f"{show(price)} is outside the prices above 1 and up to {MAX_PRICE:g} (decimal)")
    return number
