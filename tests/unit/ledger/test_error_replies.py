from __future__ import annotations

import pytest
import redis

from ledger.contracts.failures import LedgerError, LedgerUnavailable, PermissionDenied
from ledger.server.error_replies import ServerFull, is_elsewhere, refusal_of

# Every code of an error reply in the sources of Redis 6.2 to 8 and Valkey 8 and 9, but those of commands that are not
# sent here: NOTBUSY, UNKILLABLE, NOSUB, NOQUORUM, NOMASTERLINK, NOGOODSLAVE, IOERR and INPROG.
REPLIES = [
    ("NOAUTH Authentication required.", LedgerUnavailable),
    ("WRONGPASS invalid username-password pair or user is disabled.", LedgerUnavailable),
    ("NOPERM User shop has no permissions to run the 'set' command", PermissionDenied),
    ("DENIED Running in protected mode because protected mode is enabled", LedgerUnavailable),
    ("LOADING Redis is loading the dataset in memory", LedgerUnavailable),
    ("READONLY You can't write against a read only replica.", LedgerUnavailable),
    ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", LedgerUnavailable),
    ("UNBLOCKED force unblock from blocking operation, instance state changed", LedgerUnavailable),
    ("REDIRECT 10.0.0.7:6379", LedgerUnavailable),
    ("NOREPLICAS Not enough good replicas to write.", LedgerUnavailable),
    ("OOM command not allowed when used memory > 'maxmemory'.", ServerFull),
    ("MISCONF Errors writing to the AOF file: No space left on device", LedgerUnavailable),
    ("BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", LedgerUnavailable),
    ("NOSCRIPT No matching script.", LedgerUnavailable),
    ("NOPROTO unsupported protocol version", LedgerUnavailable),
    ("MOVED 3999 10.0.0.7:6381", LedgerUnavailable),
    ("ASK 3999 10.0.0.7:6381", LedgerUnavailable),
    ("TRYAGAIN Multiple keys request during rehashing of slot", LedgerUnavailable),
    ("CROSSSLOT Keys in request don't hash to the same slot", LedgerUnavailable),
    ("CLUSTERDOWN Hash slot not served", LedgerUnavailable),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", LedgerError),
    ("INVALIDOBJ Corrupted HLL object detected", LedgerError),
    ("NOGROUP No such key 'x' or consumer group 'y'", LedgerError),
    ("BUSYGROUP Consumer Group name already exists", LedgerError),
    ("BUSYKEY Target key name already exists.", LedgerError),
    ("EXECABORT Transaction discarded because of: OOM command not allowed", ServerFull),
    ("ERR max number of clients reached", LedgerUnavailable),
    ("ERR DB index is out of range", LedgerUnavailable),
    ("ERR SELECT is not allowed in cluster mode", LedgerUnavailable),
    ("ERR Attempted to access a non local key in a cluster node script: on @user_script:69.", LedgerUnavailable),
    ("ERR unknown command `EVALSHA`, with args beginning with: ", LedgerUnavailable),
    ("ERR Script killed by user with SCRIPT KILL. script: on @user_script:1.", LedgerUnavailable),
    # of Redis 6.2.5, where a script wraps them
    ("ERR Error running script (call to f_3c6): @user_script:1: @user_script: 1: -READONLY You", LedgerUnavailable),
    ("ERR Error running script (call to f_3c6): @user_script:1: @user_script: 1: -MISCONF Redis is", LedgerUnavailable),
    ("ERR Error running script (call to f_3c6): @user_script:1: @user_script: 1: -OOM command not", ServerFull),
    ("ERR Error running script (call to f_3c6): @user_script:1: @user_script: 1: The user executing the script can't "
     "run this command or subcommand", PermissionDenied),
]  # fmt: skip


def as_redis_py_raises(reply: str) -> Exception:
    from redis._parsers.base import BaseParser

    return BaseParser.parse_error(reply)


@pytest.mark.parametrize(("reply", "kind"), REPLIES)
def test_each_code_of_the_server_has_a_sentence_and_a_type(reply: str, kind: type[LedgerError]) -> None:
    for error in (as_redis_py_raises(reply), redis.ResponseError(reply)):
        refusal = refusal_of(error)
        assert refusal is not None
        assert refusal.kind is kind
        assert len(refusal.advice) > 20


def test_a_new_connection_is_asked_for_where_another_server_may_stand_at_the_address() -> None:
    codes = {reply.partition(" ")[0] for reply, _ in REPLIES if is_elsewhere(as_redis_py_raises(reply))}
    assert codes == {"LOADING", "READONLY", "MASTERDOWN", "UNBLOCKED", "REDIRECT", "ERR"}
    assert not is_elsewhere([b"READONLY"])


@pytest.mark.parametrize(
    "error",
    [
        as_redis_py_raises("ERR wrong number of arguments for 'hmget' command"),
        as_redis_py_raises("ERR user_script:12: Script attempted to access nonexistent global variable 'job'"),
        ValueError("READONLY"),
    ],
)
def test_a_fault_of_our_own_is_not_explained_away(error: Exception) -> None:
    assert refusal_of(error) is None
