"""Headers of trace contexts: which are read, and how they are written and stored."""

from __future__ import annotations

import pytest

from ledger.contracts.trace_context import MAX_STATE_CHARACTERS, TraceContext

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADER = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (HEADER, 1),
        (f" {HEADER} ", 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-03", 3),
        (f"00-{TRACE}-{SPAN}-ff", 3),  # bits without a meaning are not passed on
        (f"cc-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", 1),
    ],
)
def test_a_valid_header_is_read(header: str, flags: int) -> None:
    context = TraceContext.from_headers(header)
    assert context == TraceContext(TRACE, SPAN, flags)
    assert context.sampled == bool(flags & 1)
    assert context.traceparent == f"00-{TRACE}-{SPAN}-{flags:02x}"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE}-{SPAN}-01\n00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}{SPAN}-01",
    ],
)
def test_an_invalid_header_is_none(header: str) -> None:
    assert TraceContext.from_headers(header, "vendor=1") is None


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("vendor=1,other=2", "vendor=1,other=2"),
        ("v=" + "x" * (MAX_STATE_CHARACTERS - 2), "v=" + "x" * (MAX_STATE_CHARACTERS - 2)),
        ("v=" + "x" * MAX_STATE_CHARACTERS, ""),
        ("v=\n", "v="),
        ("v=1\nx=2", ""),
        ("v=ü", ""),
        (None, ""),
    ],
)
def test_the_state_is_kept_if_it_is_one(state: str | None, kept: str) -> None:
    context = TraceContext.from_headers(HEADER, state)
    assert context is not None
    assert context.state == kept
    assert TraceContext.from_stored(context.stored) == context
