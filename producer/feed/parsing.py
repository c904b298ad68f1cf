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


class ParseError(ValueError):
    """A value of a feed cannot be parsed; the message gives the reason."""


def quoted(value: object) -> str:
    """Format an untrusted value for a message: quoted, escaped and shortened."""
    return _short.repr(value)


def name_key(name: str) -> str:
    """Return the form in which names of one event are compared: without case, width or extra spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def parse_name(value: object) -> str:
    """Validate and trim a name. Raises ParseError."""
    if not isinstance(value, str):
        raise ParseError(f"expected a name, found {quoted(value)}")
    name = value.strip()
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or not name_key(name):
        raise ParseError(f"expected a name of 1 to {MAX_NAME_CHARACTERS} characters, found {quoted(value)}")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise ParseError(f"{quoted(value)} is not valid Unicode")
    return name


def parse_datetime(value: object) -> datetime:
    """Parse an ISO 8601 time with a time zone, or seconds since 1970. Raises ParseError."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ParseError(f"{quoted(value)} has no time zone")
            return moment.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise (error if isinstance(error, ParseError) else ParseError(f"{quoted(value)} is not a time")) from error
    raise ParseError(f"expected a time like 2026-08-22T21:15:00Z, found {quoted(value)}")


def parse_price(price: object, price_format: PriceFormat) -> float:
    """Return the decimal price: the payout of a stake of 1. Raises ParseError for an invalid price."""
    if isinstance(price, bool) or not isinstance(price, int | float):
        raise ParseError(f"{quoted(price)} is not a price")
    try:
        number = float(price)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ParseError(f"{quoted(price)} is not a finite price")
    if price_format is PriceFormat.AMERICAN:
        if abs(number) < MIN_AMERICAN:
            raise ParseError(
                f"{quoted(price)} is no American price, these begin at {MIN_AMERICAN}; is the feed decimal?"
            )
        number = 1 + (number / 100 if number > 0 else 100 / -number)
    elif number < 1:
        raise ParseError(f"{quoted(price)} is no decimal price, these begin at 1; is the feed American?")
    if not 1 < number <= MAX_PRICE:
        raise ParseError(f"{quoted(price)} is outside the prices above 1 and up to {MAX_PRICE:g} (decimal)")
    return number
