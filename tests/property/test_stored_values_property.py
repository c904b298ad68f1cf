"""Any value comes back from its compressed form to the byte, whatever its numbers and however they are written."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ledger.compression.packed_text import pack, unpack
from ledger.compression.sample_cards import SampleCards
from ledger.compression.stored_values import compress, decompress
from ledger.contracts import codec

grid = st.integers(-(2**45), 2**45).map(lambda steps: steps / 2**40)
numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), grid, st.floats(0, 1), st.integers())
documents = st.dictionaries(
    st.sampled_from(["price", "probability", "lower", "upper", "name"]) | st.text(max_size=5),
    st.recursive(
        numbers | st.text(max_size=8) | st.none(),
        lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.just("price") | st.text(max_size=3), inner),
        max_leaves=40,
    ),
    max_size=6,
)


@given(documents, st.booleans())
def test_any_document_comes_back(document: dict[str, object], escaped: bool) -> None:
    text = json.dumps(document, ensure_ascii=escaped, separators=(",", ":")).encode("utf-8", "surrogatepass")
    assert decompress(compress(text)) == text


@given(st.lists(numbers.map(float), min_size=8, max_size=60), st.floats(1.0, 50.0, exclude_min=True))
def test_numbers_that_follow_from_others_come_back(drawn: list[float], price: float) -> None:
    values = [one for number in drawn for one in (number, 1.0 - number, -number, number * price - 1.0)]
    document = {"price": price, "values": [value for value in values if abs(value) < 1e300]}
    text = json.dumps(document, separators=(",", ":")).encode()
    packed = pack(text)
    assert (unpack(packed) if packed != text else packed) == text


@given(st.integers(0, 10**6), st.integers(1, 15), st.integers(0, 9))
def test_any_card_and_its_report_come_back(seed: int, fights: int, books: int) -> None:
    source = SampleCards(seed)
    card = source.card(fights, books)
    for text in (codec.encode_canonical(card), codec.encode(source.report(card))):
        assert decompress(compress(text)) == text
