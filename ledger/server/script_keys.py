"""Names of the ledger's keys: how they begin, and which of them a call of a script declares.

A script builds its keys by itself. In a cluster, a call declares those that the caller can name from the script's
arguments: `job:<13+11>` is the record of each id among the arguments 13, 24, 35, ... All others are fixed names, or
found by the script, such as the next job of a queue; the headers of the scripts describe them. Elsewhere, where no
server needs them, a call declares its first key only: the others would cost a submit 5 us.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from ledger.settings import LedgerSettings

GUARD = "guard"
"""The first key of every call, which never exists.

While a slot is moved to another node key by key, a server refuses a call (`ASK`, `TRYAGAIN`) if one of its declared
keys is missing. So no script begins while some of the keys that it may find have moved already.
"""

_JOBS = (
    "job:<13+11> forgotten:<13+11> after:<13+11> queue:<16+11> named:<16+11> callers:<16+11> doorbell:<16+11> "
    "index:caller:<7>"
)
_HOOK = "webhook:<1> webhook:<1>:waiting webhook:<1>:ages webhook:<1>:due webhook:<1>:progress webhook:<1>:log"
_LETTERS = "webhook:<1>:dead webhook:<1>:letters"
_SCHEDULE = "schedule:<1> schedule:<1>:runs schedule:<1>:order"

DECLARED = {
    "admit": "rate:<1>",
    "archive_drop": "job:<2+5> forgotten:<2+5>",
    "backlog": "queue:<1+1> named:<1+1> callers:<1+1> quarantine:<1+1>",
    "cancel": "job:<1+1> forgotten:<1+1> after:<1+1>",
    "claim": "queue:<1> named:<1> callers:<1> doorbell:<1>",
    "confirm": "job:<4+2> forgotten:<4+2> after:<4+2>",
    "drop_prices": "prices:<1> quotes:<1>",
    "end_bets": "bet:<4+2>",
    "feed_attempt": "feed:<1>",
    "feed_lease": "feed:<1> feed:<1>:runners",
    "feed_record": "feed:<1> feed:<1>:totals feed:<1>:retrievals feed:<1>:marks",
    "feed_remove": "feed:<1> feed:<1>:runners feed:<1>:totals feed:<1>:retrievals feed:<1>:marks feed:<1>:events "
    "feed:<1>:fights feed:<1>:pending feed:<1>:planned",
    "fight_change_ends": "feed:<1>:pending feed:<1>:planned feed:<1>:events",
    "fight_changes": "feed:<1> feed:<1>:fights feed:<1>:pending",
    "list_jobs": "index:card:<7> index:caller:<8>",
    "log_lines": "job:<3+2>",
    "place_bet": "bet:<1> bets:exposure:<2> bets:account:<2> job:<14>",
    "progress": "job:<1>",
    "purge": "quarantine:<2>",
    "quarantine": "quarantine:<1>",
    "reap": "queue:<3+1> named:<3+1> doorbell:<3+1>",
    "release": "job:<5+2>",
    "renew": "job:<1+2>",
    "requeued": "job:<1> job:<2>",
    "schedule_change": "schedule:<4> schedule:<4>:runs schedule:<4>:order",
    "schedule_decide": _SCHEDULE,
    "schedule_end": _SCHEDULE,
    "schedule_submit": _SCHEDULE
    + " "
    + re.sub(r"<(\d+)", lambda number: f"<{int(number[1]) + 10}", _JOBS),  # its arguments follow 10 others
    "rewrite": "job:<1+4>",
    "settle": "job:<3+7> forgotten:<3+7> after:<3+7>",
    "shadow": "job:<3+9> forgotten:<3+9> queue:<6+9> named:<6+9> callers:<6+9> doorbell:<6+9>",
    "snooze": "job:<1>",
    "submit": _JOBS,
    "unsnooze": "job:<1>",
    "webhook_change": "webhook:<1>",
    "webhook_create": "webhook:<1>",
    "webhook_delete": f"{_HOOK} {_LETTERS}",
    "webhook_deliver": f"{_HOOK} {_LETTERS}",
    "webhook_enqueue": _HOOK,
    "webhook_hold": "webhook:<2+2> webhook:<2+2>:due",
    "webhook_letters": f"{_HOOK} {_LETTERS}",
    "webhook_release": "webhook:<3+2>",
    "webhook_rotate": "webhook:<1>",
    "worker_lost": "job:<1> forgotten:<1> after:<1>",
}
"""What a call of each script declares; the others have fixed keys only, or find theirs."""

_PART = re.compile(r"(.+)<(\d+)(?:\+(\d+))?>(.*)")
Keys = Callable[[Sequence[Any]], list[str]]


def key_root(settings: LedgerSettings) -> str:
    """Return how the name of every key and channel of a ledger begins, before a `:` or a `/`.

    In a cluster this is the namespace as a hash tag: all keys of a ledger are in one slot, so one node serves it.
    """
    return f"{{{settings.namespace}}}" if in_cluster(settings.redis_url) else settings.namespace


def in_cluster(url: str | None) -> bool:
    """Return True if a URL names a cluster."""
    return (url or "").startswith(("redis+cluster://", "rediss+cluster://"))


@cache
def keys_of(script: str, root: str) -> Keys:
    """Return the function that names the keys of a call from the arguments of the script; the first is the guard."""
    guard = f"{root}:{GUARD}"
    if not root.startswith("{"):
        only = [guard]
        return lambda args: only
    parts = []
    for text in DECLARED.get(script, "").split():
        name, first, step, end = _PART.fullmatch(text).groups()  # type: ignore[union-attr]
        parts.append((f"{root}:{name}", int(first) - 1, int(step or 0), end))
    single = [(start, first, end) for start, first, step, end in parts if not step]
    many = [(start, first, step, end) for start, first, step, end in parts if step]

    def keys(args: Sequence[Any]) -> list[str]:
        named = [guard]
        for start, first, end in single:
            if first < len(args) and (word := args[first]):
                named.append(f"{start}{_text(word)}{end}")
        for start, first, step, end in many:
            named += [f"{start}{_text(word)}{end}" for word in dict.fromkeys(args[first::step])]
        return named

    return keys


def _text(word: Any) -> Any:
    """Return an argument as a part of a name: what was read from the server is bytes."""
    return word.decode() if isinstance(word, bytes) else word
