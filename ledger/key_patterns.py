"""Every key that a ledger has on its server: what it holds, who writes it, and how far it can grow.

`docs/reference/keys.md` is this table. Tests compare it with the names that scripts and modules build, and with the
keys that are on the servers of the tests at their end.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from msgspec import Struct

Growth = Literal["fixed", "work", "retention", "limit", "names", "history"]
GROWTHS: dict[Growth, str] = {
    "fixed": "of a size that does not depend on the number of jobs",
    "work": "as the work at hand: it is empty when there is none",
    "retention": "as what comes in a span of time, after which it goes by itself",
    "limit": "up to a limit, beyond which the oldest go",
    "names": "as the names that operators and callers give",
    "history": "without end, slowly, on purpose; the bound says why",
}
"""The laws of growth: a key, or all keys of a pattern together, grow ..."""

_PLACEHOLDERS = {
    "alias": r"[^:]+",
    "caller": r".+",
    "card": r".+",
    "day": r"[0-9]+",
    "digest": r"[0-9a-f]+",
    "fight": r".+",
    "iso day": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "job": r".+",
    "kind": r"[a-z_]+",
    "mode": r"paper|live",
    "model": r"[^:]*",
    "name": r"[^:]+",
    "phase": r"open|succeeded|failed|expired|cancelled",
    "pool": r".+",
    "probe": r"canary-.+",
    "queue": r"predict|train|monitor",
    "token": r"[0-9a-f]+",
    "webhook": r"wh_[0-9a-f]+",
}
"""What may stand for a part of a pattern."""


class KeyPattern(Struct, frozen=True):
    """Keys of one form.

    Attributes
    ----------
    pattern
        The key behind the namespace's prefix, with the parts that differ in angle brackets. One that begins with `/`
        stands behind the namespace itself, outside of what producers and workers may touch.
    kind
        The type of its value.
    writers
        Who writes it.
    each
        What there is one key or one element for.
    growth
        How it grows: see `GROWTHS`.
    bound
        What bounds it, with the setting; for a `history` the reason why nothing does.
    """

    pattern: str
    kind: Literal["string", "hash", "list", "set", "zset", "stream"]
    writers: str
    each: str
    growth: Growth
    bound: str


_OUTCOME = "retention (`CORNERMAN_RETENTION_SECONDS`) after the outcome"
_REAP = f"{_OUTCOME}, at the next look of a pool"
_SWEEP = f"{_OUTCOME}, at the next sweep of a pool (a minute, or 5% of the retention)"
_ENDS = "until the job ends"

KEY_PATTERNS = (
    KeyPattern("job:<job>", "hash", "callers, pools", "a job: its record", "retention", _OUTCOME),
    KeyPattern(
        "forgotten:<job>", "string", "pools, callers", "a job with an outcome", "retention",
        "retention and `CORNERMAN_TOMBSTONE_SECONDS` after the outcome",
    ),
    KeyPattern(
        "reply:<token>", "string", "callers, pools, gateways", "a call that changes something", "retention",
        "12 times `CORNERMAN_REPLY_TIMEOUT_SECONDS` and `CORNERMAN_FSYNC_TIMEOUT_SECONDS` after the call",
    ),
    KeyPattern("queue:<queue>", "zset", "callers, pools", "a queued job without a caller, or that goes first", "work",
               "until it is claimed; `CORNERMAN_MAX_QUEUE_LENGTH`"),
    KeyPattern("named:<queue>", "zset", "callers, pools", "a queued job of a caller", "work",
               "until it is claimed; `CORNERMAN_MAX_QUEUE_LENGTH`"),
    KeyPattern("queue:<queue>:<caller>", "zset", "callers, pools", "a queued job of the caller", "work",
               "until it is claimed; `CORNERMAN_MAX_QUEUE_LENGTH`"),
    KeyPattern("callers:<queue>", "zset", "callers, pools", "a caller whose jobs wait", "work",
               "until a claim finds none of its jobs; beyond 1,000 callers at once"),
    KeyPattern("turns", "hash", "callers, pools",
               "a queue, and a caller whose jobs wait", "work", "as `callers:<queue>`"),
    KeyPattern("parked", "zset", "pools", "a snoozed job", "work", "until it is due"),
    KeyPattern("waiting", "zset", "callers, pools", "a job that waits for a time or another job", "work",
               "until it is queued or ends; at most 366 days; counts for `CORNERMAN_MAX_QUEUE_LENGTH`"),
    KeyPattern("after:<job>", "zset", "callers, pools", "a job that waits for the job", "work",
               "until either ends"),
    KeyPattern("leases", "zset", "pools", "a running job", "work", _ENDS),
    KeyPattern("held", "zset", "pools", "a running job", "work", _ENDS),
    KeyPattern("overtime", "zset", "pools of earlier versions", "a running job", "work", _ENDS),
    KeyPattern("looked", "string", "pools", "the ledger", "fixed", "one number"),
    KeyPattern("doorbell:<queue>", "list", "callers, pools", "a job that a worker may be woken for", "limit",
               "`CORNERMAN_MAX_DOORBELLS`"),
    KeyPattern("doorbell:<probe>", "list", "pools", "a pool: its liveness probe", "retention",
               "4 times `CORNERMAN_LIVENESS_PROBE_SECONDS`"),
    KeyPattern("canary:<probe>", "hash", "pools", "a pool: its liveness probe", "retention",
               "4 times `CORNERMAN_LIVENESS_PROBE_SECONDS`"),
    KeyPattern("recall:<probe>", "list", "pools", "a pool whose children are to leave a wait", "retention",
               "4 times `CORNERMAN_LIVENESS_PROBE_SECONDS`"),
    KeyPattern("prepared", "zset", "pools", "an outcome that the disk or replicas do not have yet", "work",
               "until they have it"),
    KeyPattern("doorbell:prepared", "list", "pools", "the ledger", "fixed", "one item"),
    KeyPattern("archive", "hash", "monitoring pools", "the ledger", "fixed", "where the archive of outcomes is"),
    KeyPattern("rung", "hash", "pools", "a queue", "fixed", "three numbers"),
    KeyPattern("outcomes", "stream", "pools, callers", "an outcome", "limit",
               "about `CORNERMAN_MAX_OUTCOMES`, and the retention"),
    KeyPattern("counts", "hash", "pools, callers", "the ledger", "fixed", "one number"),
    KeyPattern("format", "string", "callers, operators", "the ledger", "fixed", "one number"),
    KeyPattern("sequence", "string", "callers, pools", "the ledger", "fixed", "one number"),
    KeyPattern("dead", "zset", "pools", "a dead letter", "retention", f"{_REAP}; operators purge it earlier"),
    KeyPattern("index:kind:<kind>:<phase>", "zset", "callers, pools", "a job", "retention", _SWEEP),
    KeyPattern("index:card:<card>", "zset", "callers, pools", "a job of the card", "retention", _SWEEP),
    KeyPattern("index:caller:<caller>", "zset", "callers, pools", "a job of the caller", "retention", _SWEEP),
    KeyPattern("index:cards", "zset", "callers, pools", "a card with jobs", "retention", _SWEEP),
    KeyPattern("index:due", "zset", "callers, pools", "a card or caller with jobs", "retention", _SWEEP),
    KeyPattern("index:swept", "string", "pools", "the ledger", "fixed", "one number"),
    KeyPattern("index:found", "string", "pools", "the ledger", "fixed", "one word"),
    KeyPattern("index:at", "hash", "pools", "a set of the index, during a sweep", "work", "until the sweep ends"),
    KeyPattern("quarantine:<queue>", "list", "pools", "an item that no ledger wrote", "limit",
               "`CORNERMAN_MAX_QUARANTINED`"),
    KeyPattern("pools", "set", "pools", "a living pool", "names", "pools remove those that are gone"),
    KeyPattern("pool:<pool>", "string", "pools", "a living pool", "retention",
               "3 times `CORNERMAN_HEARTBEAT_SECONDS` after its end"),
    KeyPattern("controls", "hash", "operators", "a control that is set", "names", "the table of controls"),
    KeyPattern("controls:changed", "hash", "operators, training pools", "a control or alias that was ever set", "names",
               "as the names of aliases"),
    KeyPattern("controls:changes", "stream", "operators, training pools", "a change of a control or alias", "limit",
               "about `CORNERMAN_MAX_CHANGES`, besides the last change of each control"
               ", and those of aliases: at most 20 kB each"),
    KeyPattern("limits", "hash", "operators", "a caller with limits", "names", "operators remove them"),
    KeyPattern("rate:<caller>", "string", "gateways", "a caller with a rate", "retention", "the burst, seconds"),
    KeyPattern("day:<day>:<caller>", "string", "callers", "a caller with a quota", "retention", "two days"),
    KeyPattern("asked:<digest>", "string", "feed runners", "a card that was asked for", "retention",
               "retention after the start of its event"),
    KeyPattern("identity", "string", "pools", "the ledger", "fixed", "one name"),
    KeyPattern("models", "hash", "training pools", "a registered model", "names",
               "`cornerman models collect` removes those that nothing names"),
    KeyPattern("models:leaving", "hash", "monitoring pools", "a model that is being removed", "work",
               "until the collection ends"),
    KeyPattern("aliases", "hash", "operators, training pools", "an alias", "names", "those that trainings name"),
    KeyPattern("fighters", "hash", "training pools", "a model: the fighters that it knows", "limit", "some models"),
    KeyPattern("fighters:published", "zset", "training pools", "a model in `fighters`", "limit", "a number of models"),
    KeyPattern("tries:<alias>:<model>", "zset", "operators, training pools",
               "a comparison of a challenger with the model", "history",
               "the number of tries belongs to the test; each costs a training, and has 100 bytes"),
    KeyPattern("alarms", "hash", "monitoring pools", "a model with a drift alarm", "names", "operators clear it"),
    KeyPattern("alarms:cleared", "hash", "operators", "a model whose alarm was cleared", "names",
               "one number a model that ever had an alarm"),
    KeyPattern("alarms:changes", "stream", "monitoring pools", "an alarm that was raised or acted on", "limit",
               "`CORNERMAN_MAX_CHANGES`"),
    KeyPattern("drift", "string", "monitoring pools", "the ledger", "fixed", "the latest figures"),
    KeyPattern("journal", "zset", "pools", "a day of the prediction log", "retention",
               "`CORNERMAN_PREDICTION_LOG_RETENTION_SECONDS` after the event"),
    KeyPattern("journal:<iso day>", "hash", "pools", "a prediction of a fight by a model", "retention",
               "`CORNERMAN_PREDICTION_LOG_RETENTION_SECONDS` after the event; a limit of entries a day"),
    KeyPattern("results", "hash", "operators, feed runners", "a fight with a result", "history",
               "reviews, settlements and tests need every result; 300 bytes a fight"),
    KeyPattern("results:first", "hash", "operators, feed runners", "a fight whose result was replaced", "history",
               "tests have used the first one; a few a year"),
    KeyPattern("results:ids", "hash", "operators, feed runners", "a fight with a result", "history",
               "as `results`; 100 bytes a fight"),
    KeyPattern("results:changes", "stream", "operators, feed runners", "a result that is new or replaced", "limit",
               "100,000"),
    KeyPattern("bets", "stream", "bet placers, monitoring pools", "a bet placed, voided or settled", "history",
               "the register of money: the sums below are of all of it; 1 kB a bet"),
    KeyPattern("bet:<job>", "hash", "bet placers, monitoring pools", "a bet", "history",
               "so that none is ever placed twice; 1 kB a bet"),
    KeyPattern("bets:open", "hash", "bet placers, monitoring pools", "an open bet", "work", "until it ends"),
    KeyPattern("bets:followed", "hash", "bet followers", "a follower", "names", "one place each"),
    KeyPattern("bets:exposure:<mode>", "hash", "bet placers, monitoring pools",
               "a fight, card, bookmaker and week with an open bet",
               "work", "until its bets end"),
    KeyPattern("bets:account:<mode>", "hash", "bet placers, monitoring pools", "the ledger", "fixed", "sums"),
    KeyPattern("feeds", "hash", "feed runners", "a feed", "names", "`cornerman feed remove`"),
    KeyPattern("feed:<name>", "hash", "feed runners", "a feed", "names", "`cornerman feed remove`"),
    KeyPattern("feed:<name>:runners", "hash", "feed runners", "a runner of the feed", "retention", "three leases"),
    KeyPattern("feed:<name>:totals", "hash", "feed runners", "a count", "fixed", "the names of the counts"),
    KeyPattern("feed:<name>:retrievals", "stream", "feed runners", "a retrieval", "limit", "20,000"),
    KeyPattern("feed:<name>:marks", "zset", "feed runners", "a dump that was read", "limit", "100,000"),
    KeyPattern("feed:<name>:fights", "hash", "feed runners", "a fight that the feed lists", "work", "its start"),
    KeyPattern("feed:<name>:pending", "hash", "feed runners", "a changed fight", "work", "until it is dealt with"),
    KeyPattern("feed:<name>:planned", "hash", "feed runners", "a changed fight", "work", "until it is dealt with"),
    KeyPattern("feed:<name>:events", "stream", "feed runners", "a changed fight", "limit", "10,000"),
    KeyPattern("unlisted", "hash", "feed runners", "a withdrawn fight", "retention", "30 days after its start"),
    KeyPattern("bouts", "hash", "feed runners, callers", "a listed fight", "retention", "two days after its start"),
    KeyPattern("priced", "zset", "feed runners", "a fight whose prices are not archived", "work",
               "`archive_prices`, by a schedule"),
    KeyPattern("prices:<fight>", "stream", "feed runners", "a change of prices of the fight", "work",
               "`archive_prices`, by a schedule"),
    KeyPattern("quotes:<fight>", "hash", "feed runners",
               "a bookmaker; what stays after the archive is 150 bytes", "history",
               "older readings must not come in again; 600 fights a year are 100 kB"),
    KeyPattern("schedules", "hash", "operators", "a schedule", "limit", "100 schedules"),
    KeyPattern("schedule:<name>", "hash", "operators, monitoring pools", "a schedule", "names", "until it is removed"),
    KeyPattern("schedule:<name>:runs", "hash", "operators, monitoring pools", "a run", "limit", "500 runs"),
    KeyPattern("schedule:<name>:order", "zset", "operators, monitoring pools", "a run", "limit", "500 runs"),
    KeyPattern("schedules:open", "hash", "operators, monitoring pools", "a run without an outcome", "work", _ENDS),
    KeyPattern("schedules:revision", "string", "operators", "the ledger", "fixed", "one number"),
    KeyPattern("schedules:changes", "stream", "operators", "a change of a schedule", "limit", "10,000"),
    KeyPattern("webhooks", "zset", "operators", "a webhook", "limit", "100 webhooks"),
    KeyPattern("webhook:<webhook>", "hash", "operators, gateways", "a webhook", "limit", "100 webhooks"),
    KeyPattern("webhook:<webhook>:waiting", "zset", "gateways", "a delivery that is not accepted yet", "limit",
               "10,000: the relay reads on when some are delivered"),
    KeyPattern("webhook:<webhook>:ages", "zset", "gateways", "a waiting delivery", "limit", "as `waiting`"),
    KeyPattern("webhook:<webhook>:due", "zset", "gateways", "a card with a waiting delivery", "limit", "as `waiting`"),
    KeyPattern("webhook:<webhook>:progress", "hash", "gateways", "a delivery that failed", "limit", "as `waiting`"),
    KeyPattern("webhook:<webhook>:log", "stream", "gateways", "an attempt", "limit", "1,000"),
    KeyPattern("webhook:<webhook>:dead", "zset", "gateways", "a dead letter of the webhook", "limit", "10,000"),
    KeyPattern("webhook:<webhook>:letters", "hash", "gateways", "a dead letter of the webhook", "limit", "10,000"),
    KeyPattern("relays", "zset", "gateways", "a living relay", "retention", "a lease"),
    KeyPattern("relays:looked", "string", "gateways", "the ledger", "fixed", "one number"),
    KeyPattern("/webhooks:secrets", "hash", "operators, gateways", "a webhook", "limit", "two for each webhook"),
    KeyPattern("/tokens:records", "hash", "operators, gateways", "a token", "history",
               "operators create them, and the audit names them; 300 bytes a token"),
    KeyPattern("/tokens:revoked", "hash", "operators, gateways", "a revoked token", "history", "as `/tokens:records`"),
    KeyPattern("/tokens:used", "hash", "gateways", "a token that was used", "history", "as `/tokens:records`"),
    KeyPattern("/tokens:changes", "stream", "operators, gateways", "a token created or revoked, limits set", "limit",
               "`CORNERMAN_MAX_CHANGES`"),
    KeyPattern("/tokens:session:<digest>", "string", "gateways", "a person who is logged in", "retention", "12 hours"),
)  # fmt: skip
"""All patterns. A key of another form is a mistake, or another program's."""


def find_pattern(key: str, namespace: str) -> KeyPattern | None:
    """Return the pattern of a key of a namespace, None for none; of several the one with most words of its own."""
    for root in (namespace, f"{{{namespace}}}"):  # with the hash tag of a cluster
        rest = key.removeprefix(root)
        if rest != key and rest[:1] in (":", "/"):
            rest = rest.removeprefix(":")
            return next((each for each in _by_word().get(_word(rest), ()) if _matches(each.pattern, rest)), None)
    return None


@cache
def _by_word() -> dict[str, list[KeyPattern]]:
    """Return the patterns by their first word, those with most words of their own first."""
    found: dict[str, list[KeyPattern]] = {}
    for each in sorted(KEY_PATTERNS, key=lambda each: (each.pattern.count("<"), -len(each.pattern))):
        found.setdefault(_word(each.pattern), []).append(each)
    return found


def _word(key: str) -> str:
    return key.partition(":")[0]


def _matches(pattern: str, key: str) -> bool:
    return _expression(pattern).fullmatch(key) is not None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"<([^>]+)>", pattern)
    texts = [f"(?:{_PLACEHOLDERS[part]})" if number % 2 else re.escape(part) for number, part in enumerate(parts)]
    return re.compile("".join(texts), re.DOTALL)


def keys_page() -> str:
    """Return the table as Markdown."""
    lines = [
        "# The keys of a ledger",
        "",
        "Every key begins with the namespace (`CORNERMAN_NAMESPACE`) and `:`; those that begin with `/`",
        "here stand behind the namespace itself, where producers and workers may not look. Each grows ...",
        "",
    ]
    lines += [f"- *{growth}*: {meaning}" for growth, meaning in GROWTHS.items()]
    lines += [
        "",
        "| key | type | written by | one for each | growth | bound |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{each.pattern}` | {each.kind} | {each.writers} | {each.each} | {each.growth} | {each.bound} |"
        for each in KEY_PATTERNS
    ]
    return "\n".join(lines) + "\n"
