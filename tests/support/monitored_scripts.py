"""What a server's MONITOR says about scripts: each call, and the commands that it ran."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import redis

_LINE = re.compile(rb"[\d.]+ \[\d+ (\S+)\] (.*)", re.DOTALL)
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
WITHOUT_KEYS = {"TIME", "INFO", "PUBSUB"}
ALL_KEYS = {"EXISTS", "MGET", "DEL", "UNLINK"}


class ScriptCall(NamedTuple):
    """A call of a script: its digest, what it declared, its arguments, and the commands that it ran."""

    sha: str
    keys: list[str]
    arguments: list[str]
    commands: list[list[str]]

    @property
    def touched(self) -> set[str]:
        """Return the keys and channels that its commands named."""
        found: set[str] = set()
        for name, *words in self.commands:
            if name == "SCAN":
                found.add(words[words.index("MATCH") + 1])
            elif name in ALL_KEYS:
                found.update(words)
            elif name not in WITHOUT_KEYS:
                found.add(words[0])
        return found


@contextmanager
def monitored(client: redis.Redis) -> Iterator[list[ScriptCall]]:
    """Collect the calls of scripts by all clients of a server during a block; the list is complete at its end."""
    calls: list[ScriptCall] = []
    connection = client.connection_pool.get_connection()
    connection.send_command("MONITOR")
    assert connection.read_response() == b"OK"
    yield calls
    client.execute_command("ECHO", "the end of this block")
    while True:
        line = connection.read_response()
        found = _LINE.match(line)
        assert found is not None, line
        words = [word.decode("unicode_escape") for word in _WORD.findall(found[2])]
        if words[0] == "ECHO":
            break
        if words[0] == "EVALSHA":
            count = int(words[2])
            calls.append(ScriptCall(words[1], words[3 : 3 + count], words[3 + count :], []))
        elif found[1] == b"lua":
            calls[-1].commands.append(words)
    connection.disconnect()
    client.connection_pool.release(connection)
