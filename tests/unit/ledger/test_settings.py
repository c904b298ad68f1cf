from __future__ import annotations

import dataclasses

import pytest
import redis

from ledger.server.server import connection_advice
from ledger.settings import LedgerSettings, environment_variable


def test_defaults_hold_without_an_environment() -> None:
    assert LedgerSettings.from_env({}) == LedgerSettings()
    assert LedgerSettings.from_env({"CORNERMAN_NAMESPACE": "  ", "CORNERMAN_MAX_ATTEMPTS": ""}) == LedgerSettings()


def test_every_field_can_be_set_by_its_variable_and_says_what_it_is() -> None:
    words = {"appendfsync": "always", "replica_storage": "memory", "outcome_durability": "replica"}
    environ = {environment_variable(entry): words.get(entry.name, "7") for entry in dataclasses.fields(LedgerSettings)}
    settings = LedgerSettings.from_env(environ)
    for entry in dataclasses.fields(LedgerSettings):
        value = getattr(settings, entry.name)
        assert value in (words.get(entry.name, "7"), 7)
        assert entry.default is None or type(value) is type(entry.default)
        assert entry.metadata["help"]


def test_the_url_is_shown_nowhere() -> None:
    settings = LedgerSettings(redis_url="redis://user:hunter2@host:1")
    assert "hunter2" not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LEASE_SECONDS", "soon"),
        ("LEASE_SECONDS", "0"),
        ("LEASE_SECONDS", "nan"),
        ("RETENTION_SECONDS", "inf"),
        ("MAX_ATTEMPTS", "1.5"),
        ("MAX_ATTEMPTS", "-1"),
        ("NAMESPACE", "two words"),
        ("NAMESPACE", "a:b"),
    ],
)
def test_bad_values_are_refused_by_the_name_of_their_variable(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"CORNERMAN_{name}"):
        LedgerSettings.from_env({f"CORNERMAN_{name}": text})


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (redis.exceptions.AuthenticationError("Authentication required."), "asks for a password"),
        (redis.exceptions.AuthenticationError("invalid username-password pair or user is disabled."), "not accept"),
        (redis.exceptions.NoPermissionError("this user has no permissions"), "may not do that"),
        (redis.ResponseError("ERR ACL failure in script: no key permission"), "may not do that"),
        (redis.ResponseError("NOPERM No permissions to access a key"), "may not do that"),
        (redis.exceptions.OutOfMemoryError("command not allowed"), "out of memory"),
        (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), "the primary"),
        (redis.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (redis.ResponseError("MISCONF Errors writing to the AOF file"), "to disk"),
        (redis.TimeoutError("Timeout reading from socket"), "Timeout reading from socket"),
        (redis.ConnectionError(), "ConnectionError"),
    ],
)
def test_what_keeps_a_server_from_answering_is_explained(error: redis.RedisError, said: str) -> None:
    assert said in str(connection_advice(error))


def test_a_fault_of_our_own_is_not_blamed_on_the_server() -> None:
    assert (
        connection_advice(redis.ResponseError("wrong number of arguments for 'hmget' command", status_code="ERR"))
        is None
    )
