"""The users of deploy/users.acl may run what their scripts and commands call, also on the paths that no test takes."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import ledger
from ledger.server.lua_scripts import PRELUDE
from ledger.server.requirements import needed_commands
from tests.support.acl_server import CLUSTER_USERS, ROLES, USERS

LEDGER = Path(ledger.__file__).parent
CALLERS = {
    "admit": ("gateway",),
    "archive_drop": ("worker",),
    "archive_due": ("worker",),
    "archive_publish": ("worker",),
    "backlog": ("worker", "reader", "operator"),
    "cancel": ("producer", "worker", "operator"),
    "claim": ("worker",),
    "confirm": ("producer", "worker", "operator", "gateway"),
    "control": ("worker", "operator"),
    "control_history": ("producer", "worker", "reader", "operator"),
    "drift_alarm": ("worker",),
    "drop_prices": ("worker",),
    "end_bets": ("producer", "worker", "operator", "gateway"),
    "feed_attempt": ("producer", "operator"),
    "feed_lease": ("producer", "operator"),
    "feed_record": ("producer", "operator"),
    "feed_remove": ("operator",),
    "fight_change_ends": ("producer", "operator"),
    "fight_changes": ("producer", "operator"),
    "fight_results": ("operator", "worker"),
    "limit_caller": ("operator", "gateway"),
    "list_fights": ("producer", "operator"),
    "list_jobs": ("producer", "reader", "operator", "gateway"),
    "list_running": ("worker",),
    "log_lines": ("worker",),
    "probe": ROLES,
    "place_bet": ("producer", "operator", "gateway"),
    "progress": ("worker",),
    "publish_fighters": ("worker",),
    "purge": ("operator", "gateway"),
    "quarantine": ("worker",),
    "reap": ("worker",),
    "record_prices": ("producer", "operator"),
    "release": ("worker",),
    "requeued": ("operator", "gateway"),
    "renew": ("worker",),
    "rewrite": ("operator",),
    "schedule_change": ("operator", "gateway"),
    "schedule_decide": ("worker",),
    "schedule_end": ("worker",),
    "schedule_submit": ("worker", "operator", "gateway"),
    "settle": ("worker",),
    "shadow": ("worker",),
    "snooze": ("worker",),
    "stored_format": ("operator",),
    "submit": ("producer", "worker", "operator"),
    "sweep_index": ("worker",),
    "token_create": ("operator", "gateway"),
    "token_revoke": ("operator", "gateway"),
    "token_verify": ("operator", "gateway"),
    "unsnooze": ("worker",),
    "webhook_change": ("operator", "gateway"),
    "webhook_create": ("operator", "gateway"),
    "webhook_delete": ("operator", "gateway"),
    "webhook_deliver": ("gateway",),
    "webhook_enqueue": ("operator", "gateway"),
    "webhook_hold": ("gateway",),
    "webhook_letters": ("operator", "gateway"),
    "webhook_release": ("gateway",),
    "webhook_rotate": ("operator", "gateway"),
    "worker_lost": ("worker",),
}
"""Who runs each script."""
TRIED = {"pubsub|numsub", "pubsub|shardnumsub"}
"""What a script calls and does without where it is refused."""
IN_CLUSTER = {
    "publish": "spublish",
    "pubsub|numsub": "pubsub|shardnumsub",
    "subscribe": "ssubscribe",
    "unsubscribe": "sunsubscribe",
}
"""What takes the place of a command in a cluster."""


@cache
def allowed(role: str, users: Path = USERS) -> set[str]:
    """Return the commands that a role may run by name."""
    (line,) = (line for line in users.read_text().splitlines() if line.startswith(f"user {role} "))
    return set(re.findall(r"\+([a-z|]+)", line))


def in_cluster(commands: set[str]) -> set[str]:
    """Return the commands that take the place of others in a cluster."""
    return {IN_CLUSTER.get(command, command) for command in commands}


def lua(name: str) -> str:
    return (LEDGER / "lua" / f"{name}.lua").read_text()


@cache
def functions() -> dict[str, str]:
    """Return the functions of the prelude, by name; what stands outside of them is called ''."""
    text = lua(PRELUDE)
    found = dict(re.findall(r"^local function (\w+)(.*?)^end$", text, re.MULTILINE | re.DOTALL))
    return {**found, "": re.sub(r"^local function \w+.*?^end$", "", text, flags=re.MULTILINE | re.DOTALL)}


@cache
def called(script: str) -> set[str]:
    """Return every command that a script can call, by itself or through the prelude."""
    known = dict(functions())
    own = lua(script)
    text, added = (
        known.pop("") + own + "".join(map(lua, re.findall(r"^-- Includes (\w+)\.lua$", own, re.MULTILINE))),
        True,
    )
    while added:
        reached = known.keys() & re.findall(r"\b(\w+)\(", text)
        added = bool(reached)
        text += "".join(known.pop(name) for name in reached)
    names = re.findall(r"redis\.p?call\('(\w+)'(?:, '((?:SHARD)?NUMSUB)')?", text)
    return {"|".join(word.lower() for word in name if word) for name in names}


def test_somebody_runs_every_script() -> None:
    assert CALLERS.keys() == {path.stem for path in LEDGER.glob("lua/*.lua")} - {PRELUDE}


@pytest.mark.parametrize(("script", "role"), [(script, role) for script, roles in CALLERS.items() for role in roles])
def test_who_runs_a_script_may_run_what_it_calls(script: str, role: str) -> None:
    needed = called(script) - TRIED
    assert needed - set(IN_CLUSTER.values()) - allowed(role) == set()
    assert in_cluster(needed) - allowed(role, CLUSTER_USERS) == set()


def test_the_users_of_a_cluster_are_the_same_with_a_hash_tag() -> None:
    here, there = (path.read_text().splitlines() for path in (USERS, CLUSTER_USERS))
    for line, other in zip(here, there, strict=True):
        patterns, others = ([word for word in text.split() if word[0] in "~&#"] for text in (line, other))
        assert [word.replace("cornerman", "{cornerman}") for word in patterns] == others
    for role in ROLES:
        assert in_cluster(allowed(role)) | {"cluster|nodes", "cluster|slots"} == allowed(role, CLUSTER_USERS)


def test_the_gateway_may_do_for_others_what_they_may_do() -> None:
    assert allowed("producer") | allowed("reader") | allowed("operator") <= allowed("gateway")


def spoken(path: Path) -> set[str]:
    """Return what a file seems to send as a command: words in capitals at the beginning of a call or a tuple."""
    first = [
        words[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if (words := node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else [])
    ]
    return {
        str(word.value).lower()
        for word in first
        if isinstance(word, ast.Constant) and re.fullmatch("[A-Z]{3,}", str(word.value))
    }


@cache
def needed(*, in_cluster: bool) -> frozenset[str]:
    return frozenset(needed_commands(in_cluster=in_cluster))


@pytest.mark.parametrize(
    "path", sorted({*LEDGER.rglob("*.py")} - {LEDGER / "server" / "error_replies.py"}), ids=lambda path: path.stem
)
def test_every_command_of_the_ledger_is_somebodys(path: Path) -> None:
    everybodys = {"command", "hello", "ping", "wait", "waitaof"}  # of the category @connection
    # A level of the log, an error, a form of Unicode, an option of XREAD.
    others = {"debug", "noauth", "nfkd", "block"}
    somebodys = {
        name.partition("|")[0] for role in ROLES for users in (USERS, CLUSTER_USERS) for name in allowed(role, users)
    }
    commands = spoken(path) - everybodys - others
    assert commands - somebodys == set()
    assert commands <= needed(in_cluster=True)


@pytest.mark.parametrize("script", CALLERS)
def test_a_server_is_asked_at_connect_for_what_a_script_calls(script: str) -> None:
    called_names = {name.partition("|")[0] for name in called(script)}
    assert called_names <= needed(in_cluster=True)
    assert called_names - {"spublish"} <= needed(in_cluster=False)
