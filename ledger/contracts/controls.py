"""The live controls: a closed table of what operators can change while pools run, and their values at one time.

This module does not access a server; `ledger.operations.control_store` reads and changes controls. A control that is
not set has its default, with which a pool behaves as if there were no controls; None leaves the value to the pool's own
settings.

A control of a queue is written `pause.predict`, of a machine `drain.NODE` (or `drain.predict@NODE` for one of its
pools), of a log `log_level.guard`. `model.ALIAS` is the model that an alias points to: it is in the table because it is
changed and audited like the others, but its only storage is the alias itself, which training jobs move too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from ledger.contracts.codec import check_alias, job_refused
from ledger.contracts.failures import JobRefusedError
from ledger.contracts.jobs import QUEUES

ControlValue = bool | int | str
"""A switch, a number, or a word; None if not set."""

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
COMPONENTS = ("worker", "guard", "autoscaler", "alerts", "schedules", "engine", "celery")
"""Parts of a pool that have a log level of their own; `worker` is the children."""

_NODE = re.compile(rf"((?:{'|'.join(QUEUES)})@)?[^\s#/@]{{1,253}}")
_DIGEST = re.compile("[0-9a-f]{64}")
_WORDS = {"on": True, "off": False}


class Control(Struct, frozen=True, kw_only=True):
    """One row of the table.

    Attributes
    ----------
    scope
        Kind of suffix, such as `QUEUE`; empty for a control of the whole ledger.
    default
        Default of a switch; numbers and words have none.
    least, most
        Bounds of a number, both included.
    """

    name: str
    scope: str = ""
    kind: type[bool] | type[int] | type[str]
    unit: str = ""
    default: bool | None = None
    min_value: int = 0
    max_value: int = 0
    choices: tuple[str, ...] = ()
    description: str

    @property
    def pattern(self) -> str:
        """Name as shown to people, such as `pause.QUEUE`."""
        return f"{self.name}.{self.scope}" if self.scope else self.name


CONTROLS = (
    Control(
        name="pause",
        scope="QUEUE",
        kind=bool,
        default=False,
        description="no job of this queue is claimed; running jobs finish, submitting goes on",
    ),
    Control(
        name="drain",
        scope="NODE",
        kind=bool,
        default=False,
        description="the pools of this node finish what they run and claim nothing more, so that they can be stopped",
    ),
    Control(
        name="min_children",
        scope="QUEUE",
        kind=int,
        unit="processes",
        min_value=1,
        max_value=512,
        description="minimum of children of each pool of this queue; by default the number it was started with",
    ),
    Control(
        name="max_children",
        scope="QUEUE",
        kind=int,
        unit="processes",
        min_value=1,
        max_value=512,
        description="maximum of children of each pool of this queue; by default the number it was started with",
    ),
    Control(
        name="max_memory_mb",
        scope="QUEUE",
        kind=int,
        unit="MiB",
        min_value=64,
        max_value=16_777_216,
        description="memory of all processes of each pool of this queue together; by default what the machine allows",
    ),
    Control(
        name="bootstrap",
        kind=bool,
        default=True,
        description="off: cards are answered without replicas and without a sampling interval",
    ),
    Control(
        name="max_replicas",
        kind=int,
        unit="replicas",
        min_value=10,
        max_value=10_000,
        description="maximum of replicas for a card's sampling interval (the first ones); by default all",
    ),
    Control(
        name="max_batch_size",
        kind=int,
        unit="replicas",
        min_value=1,
        max_value=10_000,
        description="maximum replicas that a thread holds at once for a card (a training: one); no answer changes",
    ),
    Control(
        name="max_threads",
        kind=int,
        unit="threads",
        min_value=1,
        max_value=1024,
        description="maximum of threads of one job, 1 is single-thread mode; no answer changes",
    ),
    Control(
        name="shadow",
        kind=bool,
        default=True,
        description="off: the challenger, if there is one, does not answer live cards for the prediction log",
    ),
    Control(
        name="on_alarm",
        kind=str,
        choices=("none", "abstain", "rollback"),
        description="action on a drift alarm: abstain on the model's cards, or restore the previous champion",
    ),
    Control(
        name="abstain",
        scope="MODEL",
        kind=bool,
        default=False,
        description="on: every decision of this model (digest) is to abstain; set and cleared with a drift alarm",
    ),
    Control(
        name="betting",
        kind=str,
        choices=("off", "paper", "live"),
        description="off: no bet is placed; live: people or their software take the bets; by default paper",
    ),
    Control(
        name="bankroll",
        kind=int,
        unit="units",
        min_value=1,
        max_value=100_000_000_000,
        description="money paid in for bets, in the smallest unit of the currency; by default 1000000, of paper bets",
    ),
    Control(
        name="min_stake",
        kind=int,
        unit="units",
        min_value=1,
        max_value=100_000_000_000,
        description="smallest stake of a bet, in the smallest unit of the currency; by default 1",
    ),
    Control(
        name="max_fight_exposure",
        kind=int,
        unit="basis points",
        min_value=1,
        max_value=10_000,
        description="maximum of open stakes on a fight, in 1/10,000 of the bankroll; by default no limit",
    ),
    Control(
        name="max_card_exposure",
        kind=int,
        unit="basis points",
        min_value=1,
        max_value=10_000,
        description="maximum of open stakes on a card, in 1/10,000 of the bankroll; by default no limit",
    ),
    Control(
        name="max_bookmaker_exposure",
        kind=int,
        unit="basis points",
        min_value=1,
        max_value=10_000,
        description="maximum of open stakes at a bookmaker, in 1/10,000 of the bankroll; by default no limit",
    ),
    Control(
        name="max_week_exposure",
        kind=int,
        unit="basis points",
        min_value=1,
        max_value=10_000,
        description="maximum of open stakes on events of an ISO week, in 1/10,000 of the bankroll; by default no limit",
    ),
    Control(
        name="drawdown_stop",
        kind=int,
        unit="basis points",
        min_value=1,
        max_value=10_000,
        description="no bet is placed while the bankroll is this far below its peak, in 1/10,000 of the peak",
    ),
    Control(
        name="resettle_bets",
        kind=bool,
        default=False,
        description="on: bets are settled again if their result is overturned after it was announced",
    ),
    Control(
        name="log_level",
        scope="COMPONENT",
        kind=str,
        choices=LOG_LEVELS,
        description="lowest level that this part of a pool logs; by default CORNERMAN_LOG_LEVEL",
    ),
    Control(
        name="model",
        scope="ALIAS",
        kind=str,
        description="digest of the model that this alias points to",
    ),
)
_BY_NAME = {control.name: control for control in CONTROLS}


class Controls(Struct, frozen=True):
    """All values that are set, by full name, at one time; without aliases of models."""

    values: dict[str, ControlValue] = {}

    @classmethod
    def from_fields(cls, fields: Iterable[bytes]) -> Controls:
        """Parse alternating names and values as the server stores them; skip what a newer version has set."""
        texts = [field.decode() for field in fields]
        given = {}
        for name, text in zip(texts[::2], texts[1::2], strict=True):
            try:
                given[name] = parse_value(name, text)
            except JobRefusedError:
                continue
        return cls(given)

    def flag(self, name: str) -> bool:
        """Return the value of a switch. Raises JobRefusedError for an unknown name."""
        return bool(self.values.get(name, find_control(name).default))

    def number(self, name: str) -> int | None:
        """Return a number, None if it is not set. Raises JobRefusedError for an unknown name."""
        find_control(name)
        value = self.values.get(name)
        return None if value is None else int(value)

    def choice(self, name: str) -> str | None:
        """Return a word, None if it is not set. Raises JobRefusedError for an unknown name."""
        find_control(name)
        value = self.values.get(name)
        return None if value is None else str(value)

    def may_claim(self, queue: str, node: str) -> bool:
        """Return True if a pool of this queue on this node may claim: not paused and not drained."""
        stops = (f"pause.{queue}", f"drain.{node}", f"drain.{queue}@{node}")
        return not any(self.values.get(name) for name in stops)


def find_control(name: str) -> Control:
    """Return the row of a full name. Raises JobRefusedError with the list of names."""
    family, dot, scope = name.partition(".")
    control = _BY_NAME.get(family)
    if control is None or bool(dot) != bool(control.scope) or not _fits(control, scope):
        known = ", ".join(entry.pattern for entry in CONTROLS)
        choices = f"QUEUE: {', '.join(QUEUES)}; COMPONENT: {', '.join(COMPONENTS)}"
        raise job_refused(f"no control is named {name[:80]!r}; known are {known} ({choices})")
    return control


def parse_value(name: str, text: str) -> ControlValue:
    """Parse a value as it is typed and stored. Raises JobRefusedError naming the control and its allowed values."""
    control = find_control(name)
    if control.kind is bool:
        if text not in _WORDS:
            raise job_refused(f"{name} is on or off, not {text[:40]!r}")
        return _WORDS[text]
    if control.kind is int:
        number = int(text) if re.fullmatch("[0-9]{1,12}", text) else None
        if number is None or not control.min_value <= number <= control.max_value:
            raise job_refused(
                f"{name} is a number of {control.unit} from {control.min_value} to {control.max_value}, not {text!r}"
            )
        return number
    if control.choices and text not in control.choices:
        raise job_refused(f"{name} is one of {', '.join(control.choices)}, not {text[:40]!r}")
    if control.name == "model" and not _DIGEST.fullmatch(text):
        raise job_refused(f"{name} is the digest of a model (64 hexadecimal digits), not {text[:80]!r}")
    return text


def format_value(value: ControlValue) -> str:
    """Format a value as it is typed and stored."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def check_consistency(values: Mapping[str, Any]) -> None:
    """Check values that are set at the same time. Raises JobRefusedError."""
    for queue in QUEUES:
        fewest, most = values.get(f"min_children.{queue}"), values.get(f"max_children.{queue}")
        if fewest is not None and most is not None and fewest > most:
            raise job_refused(f"min_children.{queue} ({fewest}) would be above max_children.{queue} ({most}): set both")


def _fits(control: Control, scope: str) -> bool:
    match control.scope:
        case "QUEUE":
            return scope in QUEUES
        case "COMPONENT":
            return scope in COMPONENTS
        case "MODEL":
            return bool(_DIGEST.fullmatch(scope))
        case "NODE":
            return bool(_NODE.fullmatch(scope))
        case "ALIAS":
            check_alias(scope)
            return 0 < len(scope) <= 200
        case _:
            return True
