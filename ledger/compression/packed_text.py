"""Packing of what no compressor of text can shorten in a JSON text: long numbers and hexadecimal ids.

A report of 12 fights has about 600 numbers of 17 digits, and most of them follow from others: the second fighter's
probabilities are the complements of the first's, and expected values and Kelly stakes are computed from a probability
and a price. The rest are mostly multiples of 2**-40 (`engine.statistics.complements`). So each number becomes an
operation on an earlier number, an integer, or the 8 bytes of a float64; and each id of 32 hexadecimal digits becomes
its 16 bytes. Nothing here needs to know the contracts: a number for which no operation holds exactly is stored as it
is. Unpacking gives the same text to the byte; text for which it would not is left as it is.

Packed text is: a mark, the lengths of the sections, for each number its operation and how far back its operand is, the
sections of the stored numbers and ids, and the text with a hole for each of them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

_MARK = b"\x01"
"""First byte of packed text; no JSON begins with it."""
_NUMBER_HOLE, _ID_HOLE = b"\x02", b"\x03"
"""Stand for a number and an id in the text, with what is before; JSON has no such bytes."""
_BEFORE_NUMBER, _BEFORE_ID, _AFTER_ID = b'":', b'"id":"', b'"'
# Long decimals as the encoder writes them, and zeros, which keep the distances regular. Numbers with an exponent are
# left to the text: notations differ. Searches for a constant beginning take a quarter of the time of others.
_NUMBER = re.compile(rb'":(-?\d+\.\d{9,}|0\.0)(?=[,}])')
_ID = re.compile(rb'"id":"([0-9a-f]{32})"')
_MIN_PACKED = 8
_PRICE = b'"price'
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
_STAKE = 8  # (operand * price - 1) / (price - 1), or 0 if that is negative: its Kelly stake
_NEW_PRICE = 16  # added if the text before the number has another price
_MAX_BACK = 255
_MAX_SEARCHED = 24
_MAX_AFTER_PRICE = 12  # numbers after a price that may be values or stakes at it
_MAX_MISSES = 4
_STEP = 2.0**-40
_STEPS = 2.0**40
_LARGEST = 2.0**52
_HEAD = struct.Struct("<6I")


class _Stored(NamedTuple):
    """The numbers that do not follow from others: as they are, in steps of the grid, or as American odds."""

    floats: list[float]
    grid: list[int]
    large: list[int]
    american: list[int]


def is_packed(content: bytes) -> bool:
    """Return True if a text is packed."""
    return content.startswith(_MARK)


def pack(text: bytes) -> bytes:
    """Return a JSON text with its long numbers and its ids packed; the text itself if it has few, or unusual ones."""
    if is_packed(text) or _NUMBER_HOLE in text or _ID_HOLE in text:
        return text
    pieces, numbers = _split(text)
    holed = _NUMBER_HOLE.join(pieces)
    parts = _ID.split(holed)
    ids = parts[1::2]
    if len(numbers) + len(ids) < _MIN_PACKED:
        return text
    operations, distances, stored = _choose_operations(numbers, pieces, _new_prices(holed, len(numbers)))
    packed_ids = bytes.fromhex(b"".join(ids).decode())
    head = _HEAD.pack(len(numbers), *(len(each) for each in stored), len(packed_ids))
    sections = (operations, distances, *_sections_of(stored), packed_ids)
    return b"".join((_MARK, head, *sections, _ID_HOLE.join(parts[::2])))


def _split(text: bytes) -> tuple[list[bytes], list[float]]:
    """Return the numbers of a text and the pieces around them; no numbers if they are written in another way."""
    parts = _NUMBER.split(text)
    written = b",".join(parts[1::2])
    numbers = _decode(b"[%b]" % written)
    return (parts[::2], numbers) if _encode(numbers)[1:-1] == written else ([text], [])


def _new_prices(holed: bytes, count: int) -> bytearray:
    """Return for each of `count` numbers whether the text before it, since the last one, has a price."""
    found = bytearray(count + 1)
    number = 0
    # One search of the whole text takes a sixth of the time of one for each number.
    for part in holed.split(_PRICE)[:-1]:
        number += part.count(_NUMBER_HOLE)
        found[number] = True
    return found[:count]


def _choose_operations(
    numbers: Sequence[float], pieces: Sequence[bytes], new_prices: Sequence[int]
) -> tuple[bytes, bytes, _Stored]:
    """Return operation and distance of each number, and the stored numbers.

    What held last time after the same text is tried first.
    """
    operations, distances = bytearray(len(numbers)), bytearray(len(numbers))
    stored = _Stored([], [], [], [])
    usual: dict[bytes, tuple[int, int]] = {}
    unpriced: dict[bytes, int] = {}  # how often a number after this text was neither value nor stake
    places: dict[float, int] = {}
    opposite = [1.0 - number for number in numbers]
    opposite_places: dict[float, int] = {}
    price = 0.0
    price_at = -_MAX_AFTER_PRICE
    contexts = [piece[-12:] for piece in pieces]
    for at, (number, context, new_price) in enumerate(zip(numbers, contexts, new_prices, strict=False)):
        if new_price:
            price = _price_in(pieces[at])
            price_at = at
        operation, back = usual.get(context, (_FLOAT, 0))
        if (
            not 0 < back <= at
            or (opposite[at - back] if operation == _COMPLEMENT else _apply(operation, numbers[at - back], price))
            != number
        ):
            back = 0
            if (place := opposite_places.get(number)) is not None:
                operation, back = _COMPLEMENT, at - place
            elif (place := places.get(number)) is not None:
                operation, back = _SAME, at - place
            elif (place := places.get(-number)) is not None:
                operation, back = _NEGATIVE, at - place
            elif price > 1.0 and at - price_at <= _MAX_AFTER_PRICE and unpriced.get(context, 0) < _MAX_MISSES:
                operation, back = _at_price(numbers, at, price)
                if not back:
                    unpriced[context] = unpriced.get(context, 0) + 1
            if 0 < back <= _MAX_BACK:
                usual[context] = operation, back
            else:
                operation, back = _store(number, stored), 0
        operations[at] = operation + _NEW_PRICE if new_price else operation
        distances[at] = back
        if new_price and pieces[at].endswith(_PRICE):
            price = number
        places[number] = opposite_places[opposite[at]] = at
    return bytes(operations), bytes(distances), stored


def _at_price(numbers: Sequence[float], at: int, price: float) -> tuple[int, int]:
    """Return how a number is the value or stake of an earlier one at a price; no distance if it is not."""
    number, profit = numbers[at], price - 1.0
    for back, operand in enumerate(reversed(numbers[max(0, at - _MAX_SEARCHED) : at]), 1):
        value = operand * price - 1.0
        if value == number:
            return _VALUE, back
        if value / profit == number:
            return _STAKE, back
    return _FLOAT, 0


def _store(number: float, stored: _Stored) -> int:
    steps = number * _STEPS
    if 0.0 <= steps < _STEPS and steps.is_integer():
        stored.grid.append(int(steps))
        return _GRID
    if -_LARGEST < steps < _LARGEST and steps.is_integer():
        stored.large.append(int(steps))
        return _LARGE_GRID
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
        struct.pack(f"<{len(grid)}I", *[steps & 0xFFFFFFFF for steps in grid]),
        struct.pack(f"<{len(large)}q", *large),
        struct.pack(f"<{len(american)}H", *american),
    )


def _price_in(piece: bytes) -> float:
    """Return the last price in a piece of text; 0 if it is no short number."""
    digits = piece.rpartition(_PRICE)[2].partition(b",")[0][len(_BEFORE_NUMBER) :]
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
        return 0.0 - operand  # zeros have no sign here
    value = operand * price - 1.0
    return value if operation == _VALUE or price <= 1.0 else max(0.0, value / (price - 1.0))


def unpack(content: bytes) -> bytes:
    """Return the text that was packed. Raises ValueError if this is not the result of `pack`."""
    try:
        return _unpack(content)
    except (IndexError, StopIteration, struct.error, msgspec.MsgspecError) as error:
        raise ValueError(f"packed text is damaged: {error}") from error


def _unpack(content: bytes) -> bytes:
    count, floats, grid, large, american, id_bytes = _HEAD.unpack_from(content, 1)
    layout = struct.Struct(f"<{count}s{count}s{floats}d{grid}s{grid}I{large}q{american}H{id_bytes}s")
    operations, distances, *values, ids = layout.unpack_from(content, 1 + _HEAD.size)
    text = content[1 + _HEAD.size + layout.size :]
    if ids:
        digits = ids.hex(",", 16).encode().replace(b",", _AFTER_ID + b"," + _BEFORE_ID) + _AFTER_ID
        text = _filled(text.split(_ID_HOLE), (_BEFORE_ID + digits).split(b","))
    if not count:
        return text
    rest = iter(values[floats + 1 :])
    next_float = iter(values[:floats]).__next__
    next_grid = iter([(first * 4294967296.0 + next(rest)) * _STEP for first in values[floats]]).__next__
    next_large = iter([next(rest) * _STEP for _ in range(large)]).__next__
    next_american = iter([1.0 + 100.0 / next(rest) for _ in range(american)]).__next__
    pieces = text.split(_NUMBER_HOLE)
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
    written = _encode(numbers)[1:-1].replace(b",", b"," + _BEFORE_NUMBER)
    return _filled(pieces, (_BEFORE_NUMBER + written).split(b","))


def _filled(pieces: Sequence[bytes], values: Sequence[bytes]) -> bytes:
    """Return a text from its pieces and the values between them."""
    text: list[bytes] = [b""] * (2 * len(values) + 1)
    text[::2] = pieces
    text[1::2] = values
    return b"".join(text)
