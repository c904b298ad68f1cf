"""Strict parsers for the names, times and prices of a feed.

Every parser takes a value of any JSON type, and returns the clean value or raises `ParseError` with a message.
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
    """Notation of prices. The caller must name it, because a wrong guess would cost money."""

    AMERICAN = "american"
    DECIMAL = "decimal"


class Unreadable(ValueError):
    """A value of a feed cannot be parsed; the message gives the reason."""


def show(value: object) -> str:
    """Format an untrusted value for a message: quoted, escaped and shortened."""
    return _short.repr(value)


def name_key(name: str) -> str:
    """Return the form in which names of one event are compared: without case, width or extra spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def read_name(value: object) -> str:
    """Validate and trim a name. Raises ParseError."""
    if not isinstance(value, str):
        raise Unreadable(f"expected a name, found {show(value)}")
    name = value.strip()
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or not name_key(name):
        raise Unreadable(f"expected a name of 1 to {MAX_NAME_CHARACTERS} characters, found {show(value)}")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise Unreadable(f"{show(value)} is not valid Unicode")
    return name


def read_moment(value: object) -> datetime:
    """Parse an ISO 8601 time with a time zone, or seconds since 1970. Raises ParseError."""
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
    """Return the decimal price: the payout of a stake of 1. Raises ParseError for an invalid price."""
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
