"""Packing of the long numbers of a JSON text, which no compressor of text can shorten.

A report of 12 fights has about 600 numbers of 17 digits, and most of them follow from others: the second fighter's
probabilities are the complements of the first's, and expected values and Kelly stakes are computed from a probability
and a price. The rest are mostly multiples of 2**-40 (`engine.statistics.complements`). So each number becomes an
operation on an earlier number, an integer, or the 8 bytes of a float64. Nothing here needs to know the contracts: a
number for which no operation holds exactly is stored as it is. Unpacking gives the same text to the byte; text for
which it would not is left as it is.

Packed text is: a mark, the lengths of the sections, for each number its operation and how far back its operand is, the
sections of the stored numbers, and the text with a hole for each number.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

_MARK = b"\x01"
"""First byte of packed text; no JSON begins with it."""
_HOLE = b"\x02"
"""Stands for a number in the text; JSON has no such byte."""
_MIN_NUMBERS = 8
# Long decimals as the encoder writes them. Numbers with an exponent are left to the text: notations differ.
_LONG_NUMBER = re.compile(rb"(?<=[:\[,])(-?\d+\.\d{9,})(?=[,\]}])")
_PRICE = b'"price":'
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[float]).decode

# Operations. An operand is the number some places back.
_FLOAT = 0  # 8 bytes
_GRID = 1  # 5 bytes: a multiple of 2**-40, at least 0 and less than 1
_LARGE_GRID = 2  # 8 bytes, signed: any other multiple of 2**-40
_AMERICAN = 3  # 2 bytes: n of 1 + 100 / n, the decimal price of American odds
_SAME = 4
_COMPLEMENT = 5  # 1 - operand
_NEGATIVE = 6
_VALUE = 7  # operand * price - 1: expected value at the last price
_STAKE = 8  # (operand * price - 1) / (price - 1): its Kelly stake
_NEW_PRICE = 16  # added if the text before the number has another price
_MAX_BACK = 255
_MAX_SEARCHED = 24
_STEP = 2.0**-40
_STEPS = 2.0**40
_LARGEST = 2.0**52
_HEAD = struct.Struct("<5I")


class _Stored(NamedTuple):
    """The numbers that do not follow from others: as they are, in steps of the grid, or as American odds."""

    floats: list[float]
    grid: list[int]
    large: list[int]
    american: list[int]


def is_packed(content: bytes) -> bool:
    """Return True if a text is packed."""
    return content.startswith(_MARK)


def pack_numbers(text: bytes) -> bytes:
    """Return a JSON text with its long numbers packed; the text itself if it has few, or unusual ones."""
    if _HOLE in text or is_packed(text):
        return text
    parts = _LONG_NUMBER.split(text)
    written = parts[1::2]
    if len(written) < _MIN_NUMBERS:
        return text
    joined = b",".join(written)
    numbers = _decode(b"[%b]" % joined)
    if _encode(numbers)[1:-1] != joined:  # digits of another encoder
        return text
    pieces = parts[::2]
    operations, distances, stored = _choose_operations(numbers, pieces)
    sections = (operations, distances, *_sections_of(stored))
    head = _HEAD.pack(len(numbers), *(len(each) for each in stored))
    return b"".join((_MARK, head, *sections, _HOLE.join(pieces)))


def _choose_operations(numbers: Sequence[float], pieces: Sequence[bytes]) -> tuple[bytes, bytes, _Stored]:
    """Return operation and distance of each number, and the stored numbers by operation.

    What held last time after the same text is tried first.
    """
    operations, distances = bytearray(len(numbers)), bytearray(len(numbers))
    stored = _Stored([], [], [], [])
    usual: dict[bytes, tuple[int, int]] = {}
    places: dict[float, int] = {}
    complements: dict[float, int] = {}
    price = 0.0
    new_price = 0
    for at, number in enumerate(numbers):
        piece = pieces[at]
        context = piece[-12:]
        if _PRICE in piece:
            price = _price_in(piece)
            new_price = _NEW_PRICE
        operation, back = usual.get(context, (_FLOAT, 0))
        if not (0 < back <= at and _apply(operation, numbers[at - back], price) == number):
            operation, back = _search(numbers, at, price, places, complements)
            if back:
                usual[context] = operation, back
            else:
                operation = _store(number, stored)
        operations[at], distances[at] = operation + new_price, back
        new_price = 0
        if piece.endswith(_PRICE):
            price = number
        places[number] = at
        complements[1.0 - number] = at
    return bytes(operations), bytes(distances), stored


def _search(
    numbers: Sequence[float], at: int, price: float, places: dict[float, int], complements: dict[float, int]
) -> tuple[int, int]:
    """Return the operation that gives a number, and how far back its operand is; 0 if there is none."""
    number = numbers[at]
    for operation, place in (
        (_COMPLEMENT, complements.get(number)),
        (_SAME, places.get(number)),
        (_NEGATIVE, places.get(-number)),
    ):
        if place is not None and at - place <= _MAX_BACK:
            return operation, at - place
    if price > 1.0 and not (number * _STEPS).is_integer():
        for back in range(1, min(at, _MAX_SEARCHED) + 1):
            value = numbers[at - back] * price - 1.0
            if value == number:
                return _VALUE, back
            if value / (price - 1.0) == number:
                return _STAKE, back
    return _FLOAT, 0


def _store(number: float, stored: _Stored) -> int:
    steps = number * _STEPS
    if steps.is_integer() and -_LARGEST < steps < _LARGEST:
        small = 0.0 <= steps < _STEPS
        (stored.grid if small else stored.large).append(int(steps))
        return _GRID if small else _LARGE_GRID
    odds = round(100.0 / (number - 1.0)) if number > 1.0 else 0
    if 0 < odds < 2**16 and 1.0 + 100.0 / odds == number:
        stored.american.append(odds)
        return _AMERICAN
    stored.floats.append(number)
    return _FLOAT


def _sections_of(stored: _Stored) -> tuple[bytes, ...]:
    """Return the stored numbers as bytes. Of the grid's, the first byte of each comes before the other four."""
    floats, grid, large, american = stored
    return (
        struct.pack(f"<{len(floats)}d", *floats),
        bytes([steps >> 32 for steps in grid]),
        struct.pack(f"<{len(grid)}I", *(steps & 0xFFFFFFFF for steps in grid)),
        struct.pack(f"<{len(large)}q", *large),
        struct.pack(f"<{len(american)}H", *american),
    )


def _price_in(piece: bytes) -> float:
    """Return the last price in a piece of text; 0 if it is no short number."""
    digits = piece.rpartition(_PRICE)[2].partition(b",")[0]
    try:
        return float(digits)
    except ValueError:
        return 0.0


def _apply(operation: int, operand: float, price: float) -> float:
    if operation == _COMPLEMENT:
        return 1.0 - operand
    if operation == _SAME:
        return operand
    if operation == _NEGATIVE:
        return -operand
    value = operand * price - 1.0
    return value if operation == _VALUE or price <= 1.0 else value / (price - 1.0)


def unpack_numbers(content: bytes) -> bytes:
    """Return the text that was packed. Raises ValueError if this is not the result of `pack_numbers`."""
    try:
        return _unpack(content)
    except (IndexError, StopIteration, struct.error, msgspec.MsgspecError) as error:
        raise ValueError(f"packed numbers are damaged: {error}") from error


def _unpack(content: bytes) -> bytes:
    count, floats, grid, large, american = _HEAD.unpack_from(content, 1)
    layout = struct.Struct(f"<{count}s{count}s{floats}d{grid}s{grid}I{large}q{american}H")
    operations, distances, *values = layout.unpack_from(content, 1 + _HEAD.size)
    rest = iter(values[floats + 1 :])
    high = values[floats]
    next_float = iter(values[:floats]).__next__
    next_grid = iter([(first * 4294967296.0 + next(rest)) * _STEP for first in high]).__next__
    next_large = iter([next(rest) * _STEP for _ in range(large)]).__next__
    next_american = iter([1.0 + 100.0 / next(rest) for _ in range(american)]).__next__
    pieces = content[1 + _HEAD.size + layout.size :].split(_HOLE)
    numbers: list[float] = []
    append = numbers.append
    price = 0.0
    for operation, back, piece in zip(operations, distances, pieces[:-1], strict=True):
        new_price = operation >= _NEW_PRICE
        if new_price:
            operation -= _NEW_PRICE
            price = _price_in(piece)
        if operation == _COMPLEMENT:
            append(1.0 - numbers[-back])
        elif operation == _GRID:
            append(next_grid())
        elif operation >= _SAME:
            append(_apply(operation, numbers[-back], price))
        elif operation == _FLOAT:
            append(next_float())
        elif operation == _LARGE_GRID:
            append(next_large())
        else:
            append(next_american())
        if new_price and piece.endswith(_PRICE):
            price = numbers[-1]
    text: list[bytes] = [b""] * (2 * count + 1)
    text[::2] = pieces
    text[1::2] = _encode(numbers)[1:-1].split(b",")
    return b"".join(text)
