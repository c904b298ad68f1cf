"""When an operator is told: one table of rules, and their judgement from a pool's own metrics.

The same table is written out for Prometheus by `workers.alerts.rules`. A rule is an expression on metrics that can be
evaluated here and spelled in PromQL, so both speak of the same numbers. Rules about counters look at a window of time;
here that begins with the pool at the earliest, and its counters with 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, sorted."""

Reading = Mapping[str, Mapping[Labels, float]]
"""Every value of `/metrics` at one moment: by name, then by labels."""

FLEET = ("job",)
"""What tells one fleet's series from another's in Prometheus; a pool itself sees its own fleet alone."""
POOL = ("job", "instance")
"""What tells one pool's series from another's in Prometheus."""
_ADDED_BY_PROMETHEUS = frozenset(POOL)

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


class History:
    """What the rules read: the last reading, and older ones of the metrics whose growth they look at.

    Those are kept for a day, one each half-minute of the last hour and one each ten minutes before, a megabyte or two.
    """

    _FINE_SECONDS, _FINE_STEP_SECONDS = HOUR, 30.0
    _COARSE_SECONDS, _COARSE_STEP_SECONDS = DAY, 10 * MINUTE

    def __init__(self, kept: Iterable[str]) -> None:
        self._kept = frozenset(kept)
        self._labels: dict[Labels, Labels] = {}  # each kept once
        self._fine: deque[tuple[float, Reading]] = deque()
        self._coarse: deque[tuple[float, Reading]] = deque()
        self.last: Reading = {}
        self._last_seconds = 0.0

    def add(self, at_seconds: float, reading: Reading) -> None:
        """Add what was read at a moment of the monotonic clock, which only grows."""
        self.last, self._last_seconds = reading, at_seconds
        if self._fine and at_seconds < self._fine[-1][0] + self._FINE_STEP_SECONDS:
            return
        kept = {name: self._compact(reading[name]) for name in self._kept if name in reading}
        self._fine.append((at_seconds, kept))
        while self._fine[0][0] < at_seconds - self._FINE_SECONDS:
            old = self._fine.popleft()
            if not self._coarse or old[0] >= self._coarse[-1][0] + self._COARSE_STEP_SECONDS:
                self._coarse.append(old)
        while self._coarse and self._coarse[0][0] < at_seconds - self._COARSE_SECONDS:
            self._coarse.popleft()

    def before(self, seconds: float) -> Reading:
        """Return the oldest reading of the last `seconds`; it has only the metrics that are kept."""
        since = self._last_seconds - seconds
        olds = (reading for readings in (self._coarse, self._fine) for at, reading in readings if at >= since)
        return next(olds, self.last)

    def _compact(self, values: Mapping[Labels, float]) -> dict[Labels, float]:
        return {self._labels.setdefault(labels, labels): value for labels, value in values.items()}


class Series(Struct, frozen=True):
    """Those series of a metric whose labels have the values in `where`."""

    metric: str
    where: tuple[tuple[str, str], ...] = ()
    unequal: tuple[tuple[str, str], ...] = ()

    def of(self, reading: Reading) -> dict[Labels, float]:
        """Return the selected series with their values."""
        wanted, unwanted = set(self.where), set(self.unequal)
        found = reading.get(self.metric, {}).items()
        return {labels: value for labels, value in found if wanted <= set(labels) and not unwanted & set(labels)}

    def promql(self, window_seconds: float | None = None) -> str:
        """Spell the selection, with its range where there is one."""
        pairs = [f'{name}="{value}"' for name, value in self.where]
        pairs += [f'{name}!="{value}"' for name, value in self.unequal]
        matchers = "{" + ",".join(pairs) + "}" if pairs else ""
        return f"{self.metric}{matchers}" + ("" if window_seconds is None else f"[{duration(window_seconds)}]")


class Now(Struct, frozen=True, tag=True):
    """The largest value (`least`: the smallest) of a gauge, for each combination of `by`."""

    series: Series
    by: tuple[str, ...]
    least: bool = False

    def value(self, history: History) -> dict[Labels, float]:
        """Return the value of each combination."""
        choose = min if self.least else max
        return {labels: choose(values) for labels, values in _grouped(self.series.of(history.last), self.by).items()}

    def promql(self) -> str:
        """Spell it."""
        return f"{'min' if self.least else 'max'} by ({', '.join(self.by)}) ({self.series.promql()})"


class Quotient(Struct, frozen=True, tag=True):
    """One gauge by another."""

    part: Now
    whole: Now

    def value(self, history: History) -> dict[Labels, float]:
        """Return the quotient where both are there and the divisor is not 0."""
        wholes = self.whole.value(history)
        parts = self.part.value(history)
        return {labels: part / wholes[labels] for labels, part in parts.items() if wholes.get(labels)}

    def promql(self) -> str:
        """Spell it."""
        return f"{self.part.promql()} / {self.whole.promql()}"


class Grown(Struct, frozen=True, tag=True):
    """By how much counters together have grown in a window, for each combination of `by`."""

    series: Series
    by: tuple[str, ...]
    window_seconds: float

    def value(self, history: History) -> dict[Labels, float]:
        """Return the increase of each combination."""
        before = self.series.of(history.before(self.window_seconds))
        grown = {labels: value - before.get(labels, 0.0) for labels, value in self.series.of(history.last).items()}
        return {labels: sum(values) for labels, values in _grouped(grown, self.by).items()}

    def promql(self) -> str:
        """Spell it."""
        return f"sum by ({', '.join(self.by)}) (increase({self.series.promql(self.window_seconds)}))"


class Share(Struct, frozen=True, tag=True):
    """What one increase is of another that is at least `at_least`; with `rest`, what is missing to `rest`."""

    part: Grown
    whole: Grown
    at_least: float
    rest: float | None = None

    def value(self, history: History) -> dict[Labels, float]:
        """Return the share of each combination that has enough to judge by."""
        parts, wholes = self.part.value(history), self.whole.value(history)
        shares = {
            labels: parts.get(labels, 0.0) / whole
            for labels, whole in wholes.items()
            if whole and whole >= self.at_least
        }
        return shares if self.rest is None else {labels: self.rest - share for labels, share in shares.items()}

    def promql(self) -> str:
        """Spell it."""
        share = f"{self.part.promql()} / ({self.whole.promql()} >= {self.at_least:g})"
        return share if self.rest is None else f"{self.rest:g} - {share}"


Expression = Now | Quotient | Grown | Share


class Rule(Struct, frozen=True, kw_only=True):
    """One row of the table: it fires when the value has been beyond `threshold` for `for_seconds`.

    Beyond is above, or with `below` underneath. `summary` says what is wrong, `action` what to do.
    """

    name: str
    expression: Expression
    threshold: float
    below: bool = False
    for_seconds: float
    severity: str
    summary: str
    action: str

    def beyond(self, value: float) -> bool:
        """Whether a value is one to tell of."""
        return value < self.threshold if self.below else value > self.threshold

    def promql(self) -> str:
        """Spell the whole condition."""
        return f"{self.expression.promql()} {'<' if self.below else '>'} {self.threshold:g}"


class Change(Struct, frozen=True, kw_only=True):
    """An alert begins to fire, or is over. `value` is the last one beyond the threshold."""

    rule: Rule
    labels: Labels
    firing: bool
    value: float

    def said(self) -> dict[str, Any]:
        """Return what the log and the webhook say of it."""
        return {
            "alert": self.rule.name,
            "severity": self.rule.severity,
            "value": round(self.value, 4),
            "threshold": self.rule.threshold,
            "labels": dict(self.labels),
            "summary": self.rule.summary,
            "action": self.rule.action,
        }


class Active(Struct, frozen=True):
    """An alert that is pending or fires: since when its value is beyond, and what it was last."""

    since_seconds: float
    value: float
    firing: bool = False


Actives = dict[tuple[str, Labels], Active]


def judge(
    rules: Sequence[Rule], history: History, actives: Actives, now_seconds: float
) -> tuple[Actives, list[Change]]:
    """Return which alerts are pending or fire now, and what has changed about those that fire."""
    beyond = {
        (rule.name, labels): (rule, value)
        for rule in rules
        for labels, value in rule.expression.value(history).items()
        if rule.beyond(value)
    }
    named = {rule.name: rule for rule in rules}
    left: Actives = {}
    changes = []
    for key, (rule, value) in beyond.items():
        known = actives.get(key, Active(now_seconds, value))
        firing = known.firing or now_seconds - known.since_seconds >= rule.for_seconds
        left[key] = Active(known.since_seconds, value, firing)
        if firing and not known.firing:
            changes.append(Change(rule=rule, labels=key[1], firing=True, value=value))
    for key, known in actives.items():
        if known.firing and key not in left:
            changes.append(Change(rule=named[key[0]], labels=key[1], firing=False, value=known.value))
    return left, changes


class Judge:
    """Judges reading after reading, and remembers which alerts fire."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._history = History(name for rule in rules for name in metrics_of(rule.expression))
        self._actives: Actives = {}

    def judge(self, reading: Reading, now_seconds: float) -> list[Change]:
        """Return what has changed since the last reading. `now_seconds` is on the monotonic clock."""
        self._history.add(now_seconds, reading)
        self._actives, changes = judge(self._rules, self._history, self._actives, now_seconds)
        return changes

    @property
    def firing(self) -> list[str]:
        """The names of the alerts that fire, sorted."""
        return sorted({name for (name, _), active in self._actives.items() if active.firing})


def duration(seconds: float) -> str:
    """Spell a time for Prometheus, in the largest whole unit."""
    for unit, length in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _grouped(series: Mapping[Labels, float], by: Sequence[str]) -> dict[Labels, list[float]]:
    kept = set(by) - _ADDED_BY_PROMETHEUS
    groups: dict[Labels, list[float]] = {}
    for labels, value in series.items():
        groups.setdefault(tuple(pair for pair in labels if pair[0] in kept), []).append(value)
    return groups


def metrics_of(expression: Expression) -> Iterator[str]:
    """Name the metrics that an expression reads."""
    if isinstance(expression, Quotient | Share):
        yield from (expression.part.series.metric, expression.whole.series.metric)
    else:
        yield expression.series.metric
