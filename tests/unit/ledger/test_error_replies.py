from __future__ import annotations

import pytest
import redis

from ledger.contracts.failures import LedgerError, LedgerUnavailableError, PermissionDeniedError
from ledger.server.error_replies import ServerFullError, error_meaning, other_server_may_answer

SCRIPT_ERROR = "ERR Error running script (call to f_3c6): @user_script:1: @user_script: 1:"

# Every code of an error reply in the sources of Redis 6.2 to 8 and Valkey 8 and 9, but those of commands that are not
# sent here: NOTBUSY, UNKILLABLE, NOSUB, NOQUORUM, NOMASTERLINK, NOGOODSLAVE, IOERR and INPROG.
REPLIES = [
    ("NOAUTH Authentication required.", LedgerUnavailableError),
    ("WRONGPASS invalid username-password pair or user is disabled.", LedgerUnavailableError),
    ("NOPERM User shop has no permissions to run the 'set' command", PermissionDeniedError),
    ("DENIED Running in protected mode because protected mode is enabled", LedgerUnavailableError),
    ("LOADING Redis is loading the dataset in memory", LedgerUnavailableError),
    ("READONLY You can't write against a read only replica.", LedgerUnavailableError),
    ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", LedgerUnavailableError),
    ("UNBLOCKED force unblock from blocking operation, instance state changed", LedgerUnavailableError),
    ("REDIRECT 10.0.0.7:6379", LedgerUnavailableError),
    ("NOREPLICAS Not enough good replicas to write.", LedgerUnavailableError),
    ("OOM command not allowed when used memory > 'maxmemory'.", ServerFullError),
    ("MISCONF Errors writing to the AOF file: No space left on device", LedgerUnavailableError),
    ("BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", LedgerUnavailableError),
    ("NOSCRIPT No matching script.", LedgerUnavailableError),
    ("NOPROTO unsupported protocol version", LedgerUnavailableError),
    ("MOVED 3999 10.0.0.7:6381", LedgerUnavailableError),
    ("ASK 3999 10.0.0.7:6381", LedgerUnavailableError),
    ("TRYAGAIN Multiple keys request during rehashing of slot", LedgerUnavailableError),
    ("CROSSSLOT Keys in request don't hash to the same slot", LedgerUnavailableError),
    ("CLUSTERDOWN Hash slot not served", LedgerUnavailableError),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", LedgerError),
    ("INVALIDOBJ Corrupted HLL object detected", LedgerError),
    ("NOGROUP No such key 'x' or consumer group 'y'", LedgerError),
    ("BUSYGROUP Consumer Group name already exists", LedgerError),
    ("BUSYKEY Target key name already exists.", LedgerError),
    ("EXECABORT Transaction discarded because of: OOM command not allowed", ServerFullError),
    ("ERR max number of clients reached", LedgerUnavailableError),
    ("ERR DB index is out of range", LedgerUnavailableError),
    ("ERR SELECT is not allowed in cluster mode", LedgerUnavailableError),
    ("ERR Attempted to access a non local key in a cluster node script: on @user_script:69.", LedgerUnavailableError),
    ("ERR unknown command `EVALSHA`, with args beginning with: ", LedgerUnavailableError),
    ("ERR WAITAOF cannot be used with replica instances.", LedgerUnavailableError),
    ("ERR Error running script (call to 5c4d): @user_script:2: script tried accessing undeclared key, key: k",
     LedgerUnavailableError),
    ("ERR Script killed by user with SCRIPT KILL. script: on @user_script:1.", LedgerUnavailableError),
    # of Redis 6.2.5, where a script wraps them
    (f"{SCRIPT_ERROR} -READONLY You", LedgerUnavailableError),
    (f"{SCRIPT_ERROR} -MISCONF Redis is", LedgerUnavailableError),
    ("ERR Error running script (call to f_3c6): @user_script:1: @user_script: 1: -OOM command not", ServerFullError),
    ("ERR Error running script (call to f_3c6): @user_script:1: @user_script: 1: The user executing the script can't "
     "run this command or subcommand", PermissionDeniedError),
]  # fmt: skip


def as_redis_py_raises(reply: str) -> Exception:
    from redis._parsers.base import BaseParser

    return BaseParser.parse_error(reply)


@pytest.mark.parametrize(("reply", "kind"), REPLIES)
def test_each_code_of_the_server_has_a_sentence_and_a_type(reply: str, kind: type[LedgerError]) -> None:
    for error in (as_redis_py_raises(reply), redis.ResponseError(reply)):
        meaning = error_meaning(error)
        assert meaning is not None
        assert meaning.exception_type is kind
        assert len(meaning.advice) > 20


def test_a_new_connection_is_asked_for_where_another_server_may_stand_at_the_address() -> None:
    codes = {reply.partition(" ")[0] for reply, _ in REPLIES if other_server_may_answer(as_redis_py_raises(reply))}
    of_a_cluster = {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"}
    assert codes == {"LOADING", "READONLY", "MASTERDOWN", "UNBLOCKED", "REDIRECT", "NOREPLICAS", "ERR"} | of_a_cluster
    assert not other_server_may_answer([b"READONLY"])


@pytest.mark.parametrize(
    "error",
    [
        as_redis_py_raises("ERR wrong number of arguments for 'hmget' command"),
        as_redis_py_raises("ERR user_script:12: Script attempted to access nonexistent global variable 'job'"),
        ValueError("READONLY"),
    ],
)
def test_a_fault_of_our_own_is_not_explained_away(error: Exception) -> None:
    assert error_meaning(error) is None
