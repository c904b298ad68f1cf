"""A server that lacks what a ledger needs is named when it is connected, with what it lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ledger.async_ledger import AsyncLedger
from ledger.contracts.failures import LedgerUnavailableError
from ledger.ledger import Ledger, LedgerSettings
from tests.support.sentinels import ServerProcess


@pytest.fixture(scope="module")
def incomplete(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server without streams, as one of another make."""
    server = ServerProcess(
        tmp_path_factory.mktemp("incomplete") / "server", ['rename-command XADD ""', 'rename-command XTRIM ""']
    )
    server.start()
    yield server
    server.kill()


def test_missing_commands_are_named_and_nothing_is_written(incomplete: ServerProcess) -> None:
    settings = LedgerSettings(redis_url=f"redis://127.0.0.1:{incomplete.port}/0")

    async def connect() -> None:
        await AsyncLedger(settings).connect()

    for attempt in (lambda: Ledger.connect(settings), lambda: asyncio.run(connect())):
        with pytest.raises(
            LedgerUnavailableError, match=r"\(valkey 9.*\).* has no XADD, XTRIM; Redis >= 6.2 or Valkey"
        ):
            attempt()
    with incomplete.client() as client:
        assert client.dbsize() == 0


def test_a_server_without_hello_is_named(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "old", ['rename-command HELLO ""', 'rename-command EVALSHA ""'])
    server.start()
    try:
        with pytest.raises(LedgerUnavailableError, match=r"has no HELLO, EVALSHA; Redis >= 6\.2"):
            Ledger.connect(LedgerSettings(redis_url=f"redis://127.0.0.1:{server.port}/0"))
    finally:
        server.kill()


def test_a_user_who_may_not_ask_is_not_judged_by_it(incomplete: ServerProcess) -> None:
    with incomplete.client() as admin:
        admin.acl_setuser("narrow", enabled=True, passwords=["+pw"], commands=["+ping", "+select"])
    settings = LedgerSettings(redis_url=f"redis://narrow:pw@127.0.0.1:{incomplete.port}/0")
    Ledger.connect(settings).close()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("ERR Error running script (call to 5c4d): @user_script:2: script tried accessing undeclared key, key: k",
         "allow-undeclared-keys"),
        ("ERR unknown command `COMMAND`", "Redis >= 6.2"),
    ],
)  # fmt: skip
def test_what_other_makes_reply_has_an_advice(reply: str, said: str) -> None:
    from ledger.server.error_replies import error_meaning

    meaning = error_meaning(redis.ResponseError(reply))
    assert meaning is not None
    assert said in meaning.advice
