from __future__ import annotations

import pytest

from tests.chaos.season.stream_repeats import Entry, repeats, stream_repeats

RIGHT: list[Entry] = [
    (b"1-0", {b"names": b'["A","B"]', b"start": b"9", b"=x": b"1 2.0 1.9", b"=y": b"1 2.1 1.8"}),
    (b"2-0", {b"=x": b"2 2.2 1.7", b"=y": b"-"}),
    (b"3-0", {b"start": b"10", b"=y": b"3 2.1 1.8"}),
    (b"4-0", {b"names": b'["A","C"]', b"=x": b"4 2.2 1.7"}),
]


def test_a_right_stream_repeats_nothing() -> None:
    assert list(repeats(RIGHT)) == []


@pytest.mark.parametrize("again", [{b"=x": b"5 2.2 1.7"}, {b"=z": b"-"}, {b"start": b"10"}, {b"names": b'["A","C"]'}])
def test_each_repeat_is_found(again: dict[bytes, bytes]) -> None:
    assert len(list(repeats([*RIGHT, (b"5-0", again)]))) == 1


def test_streams_are_read_as_the_server_gives_them() -> None:
    replies = {b"ns:prices:f": [(b"1-0", [b"=x", b"1 2.0 1.9"]), (b"2-0", [b"=x", b"2 2.0 1.9"])]}

    def command(*words: object) -> object:
        assert words[0] == "XRANGE"
        return replies.get(str(words[1]).encode(), [])

    assert stream_repeats(command, "ns", ["f", "g"]) == ["f: =x is 2.0 1.9 twice, again at 2-0"]
