"""Alerts for operators: rules that are evaluated from a pool's own metrics.

`workers.alerts.rules` writes the same rules for Prometheus. A rule is an expression on metrics that can be evaluated
here and written as PromQL, so both use the same numbers. Rules about counters use a window of time; here the window
starts with the pool at the earliest, and the pool's counters start at 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from ledger.operations.alert_table import DAY, HOUR, MINUTE, AlertKind, ReportedAlert

Labels = tuple[tuple[str, str], ...]
"""Names and values of labels, sorted."""

MetricsSnapshot = Mapping[str, Mapping[Labels, float]]
"""Every value of `/metrics` at one moment: by name, then by labels."""

FLEET_LABELS = ("job",)
"""Labels that distinguish fleets in Prometheus; a pool itself sees only its own fleet."""
POOL_LABELS = ("job", "instance")
"""Labels that distinguish pools in Prometheus."""
_ADDED_BY_PROMETHEUS = frozenset(POOL_LABELS)


class MetricHistory:
    """The metrics that the rules need: the last snapshot, and older ones of the metrics whose increase is used.

    Older snapshots are stored for a day, one each half-minute of the last hour and one each ten minutes before; 1-2 MB.
    """

    _FINE_SECONDS, _FINE_STEP_SECONDS = HOUR, 30.0
    _COARSE_SECONDS, _COARSE_STEP_SECONDS = DAY, 10 * MINUTE

    def __init__(self, stored: Iterable[str]) -> None:
        self._stored = frozenset(stored)
        self._labels: dict[Labels, Labels] = {}  # one object for equal labels, to save memory
        self._fine: deque[tuple[float, MetricsSnapshot]] = deque()
        self._coarse: deque[tuple[float, MetricsSnapshot]] = deque()
        self.last: MetricsSnapshot = {}
        self._last_seconds = 0.0

    def add(self, at_seconds: float, reading: MetricsSnapshot) -> None:
        """Add a snapshot; `at_seconds` is on the monotonic clock."""
        self.last, self._last_seconds = reading, at_seconds
        if self._fine and at_seconds < self._fine[-1][0] + self._FINE_STEP_SECONDS:
            return
        stored = {name: self._compact(reading[name]) for name in self._stored if name in reading}
        self._fine.append((at_seconds, stored))
        while self._fine[0][0] < at_seconds - self._FINE_SECONDS:
            old = self._fine.popleft()
            if not self._coarse or old[0] >= self._coarse[-1][0] + self._COARSE_STEP_SECONDS:
                self._coarse.append(old)
        while self._coarse and self._coarse[0][0] < at_seconds - self._COARSE_SECONDS:
            self._coarse.popleft()

    def oldest_within(self, seconds: float) -> MetricsSnapshot:
        """Return the oldest snapshot of the last `seconds`; it contains only the stored metrics."""
        since = self._last_seconds - seconds
        olds = (reading for readings in (self._coarse, self._fine) for at, reading in readings if at >= since)
        return next(olds, self.last)

    def _compact(self, values: Mapping[Labels, float]) -> dict[Labels, float]:
        return {self._labels.setdefault(labels, labels): value for labels, value in values.items()}


class Series(Struct, frozen=True):
    """The series of a metric whose labels have the values in `where` and none of those in `unequal`."""

    metric: str
    where: tuple[tuple[str, str], ...] = ()
    unequal: tuple[tuple[str, str], ...] = ()

    def select(self, reading: MetricsSnapshot) -> dict[Labels, float]:
        """Return the selected series with their values."""
        found = reading.get(self.metric, {})
        for pair in self.where:
            found = {labels: value for labels, value in found.items() if pair in labels}
        for pair in self.unequal:
            found = {labels: value for labels, value in found.items() if pair not in labels}
        return dict(found)

    def promql(self, window_seconds: float | None = None) -> str:
        """Return the selection in PromQL, with its range if one is given."""
        pairs = [f'{name}="{value}"' for name, value in self.where]
        pairs += [f'{name}!="{value}"' for name, value in self.unequal]
        matchers = "{" + ",".join(pairs) + "}" if pairs else ""
        return f"{self.metric}{matchers}" + ("" if window_seconds is None else f"[{promql_duration(window_seconds)}]")


class Gauge(Struct, frozen=True, tag=True):
    """The largest value (with `minimum`: the smallest) of a gauge, for each combination of the labels `by`."""

    series: Series
    by: tuple[str, ...]
    minimum: bool = False

    def value(self, history: MetricHistory) -> dict[Labels, float]:
        """Return the value of each combination."""
        choose = min if self.minimum else max
        return {
            labels: choose(values) for labels, values in _grouped(self.series.select(history.last), self.by).items()
        }

    def promql(self) -> str:
        """Return the PromQL expression."""
        return f"{'min' if self.minimum else 'max'} by ({', '.join(self.by)}) ({self.series.promql()})"


class Ratio(Struct, frozen=True, tag=True):
    """The ratio of two gauges."""

    part: Gauge
    whole: Gauge

    def value(self, history: MetricHistory) -> dict[Labels, float]:
        """Return the ratio if both gauges have a value and the divisor is not 0."""
        wholes = self.whole.value(history)
        parts = self.part.value(history)
        return {labels: part / wholes[labels] for labels, part in parts.items() if wholes.get(labels)}

    def promql(self) -> str:
        """Return the PromQL expression."""
        return f"{self.part.promql()} / {self.whole.promql()}"


class Increase(Struct, frozen=True, tag=True):
    """The summed increase of counters in a window, for each combination of the labels `by`."""

    series: Series
    by: tuple[str, ...]
    window_seconds: float

    def value(self, history: MetricHistory) -> dict[Labels, float]:
        """Return the increase of each combination."""
        before = self.series.select(history.oldest_within(self.window_seconds))
        grown = {labels: value - before.get(labels, 0.0) for labels, value in self.series.select(history.last).items()}
        return {labels: sum(values) for labels, values in _grouped(grown, self.by).items()}

    def promql(self) -> str:
        """Return the PromQL expression."""
        return f"sum by ({', '.join(self.by)}) (increase({self.series.promql(self.window_seconds)}))"


class IncreaseRatio(Struct, frozen=True, tag=True):
    """The ratio of two increases, if the second is at least `min_whole`; with `complement_of`: that minus the ratio."""

    part: Increase
    whole: Increase
    min_whole: float
    complement_of: float | None = None

    def value(self, history: MetricHistory) -> dict[Labels, float]:
        """Return the ratio of each combination that has enough events."""
        parts, wholes = self.part.value(history), self.whole.value(history)
        shares = {
            labels: parts.get(labels, 0.0) / whole
            for labels, whole in wholes.items()
            if whole and whole >= self.min_whole
        }
        if self.complement_of is None:
            return shares
        return {labels: self.complement_of - share for labels, share in shares.items()}

    def promql(self) -> str:
        """Return the PromQL expression."""
        share = f"{self.part.promql()} / ({self.whole.promql()} >= {self.min_whole:g})"
        return share if self.complement_of is None else f"{self.complement_of:g} - {share}"


Expression = Gauge | Ratio | Increase | IncreaseRatio


class AlertRule(AlertKind, frozen=True, kw_only=True):
    """An alert of the table that needs metrics, and the expression whose value is compared with its threshold."""

    expression: Expression

    def promql(self) -> str:
        """Return the whole condition in PromQL."""
        return f"{self.expression.promql()} {'<' if self.below else '>'} {self.threshold:g}"


class AlertTransition(Struct, frozen=True, kw_only=True):
    """An alert starts to fire, or is resolved. `value` is the last one that breached the threshold."""

    rule: AlertRule
    labels: Labels
    firing: bool
    value: float

    def fields(self) -> dict[str, Any]:
        """Return the fields of the log line and of the webhook's body."""
        return {
            "alert": self.rule.name,
            "severity": self.rule.severity,
            "value": round(self.value, 4),
            "threshold": self.rule.threshold,
            "labels": dict(self.labels),
            "summary": self.rule.summary,
            "action": self.rule.action,
        }


class ActiveAlert(Struct, frozen=True):
    """An alert that is pending or fires: when its value first breached the threshold, and its last value."""

    since_seconds: float
    value: float
    firing: bool = False


ActiveAlerts = dict[tuple[str, Labels], ActiveAlert]


def evaluate_rules(
    rules: Sequence[AlertRule], history: MetricHistory, actives: ActiveAlerts, now_seconds: float
) -> tuple[ActiveAlerts, list[AlertTransition]]:
    """Return the alerts that are pending or fire now, and the transitions of those that fire."""
    beyond = {
        (rule.name, labels): (rule, value)
        for rule in rules
        for labels, value in rule.expression.value(history).items()
        if rule.is_breached(value)
    }
    named = {rule.name: rule for rule in rules}
    left: ActiveAlerts = {}
    changes = []
    for key, (rule, value) in beyond.items():
        known = actives.get(key, ActiveAlert(now_seconds, value))
        firing = known.firing or now_seconds - known.since_seconds >= rule.for_seconds
        left[key] = ActiveAlert(known.since_seconds, value, firing)
        if firing and not known.firing:
            changes.append(AlertTransition(rule=rule, labels=key[1], firing=True, value=value))
    for key, known in actives.items():
        if known.firing and key not in left:
            changes.append(AlertTransition(rule=named[key[0]], labels=key[1], firing=False, value=known.value))
    return left, changes


class AlertEvaluator:
    """The evaluation of the rules, snapshot after snapshot, with the alerts that fire."""

    def __init__(self, rules: Sequence[AlertRule]) -> None:
        self._rules = rules
        self.metrics = frozenset(name for rule in rules for name in metric_names(rule.expression))
        """The names of the metrics that the rules need."""
        self._history = MetricHistory(self.metrics)
        self._actives: ActiveAlerts = {}

    def evaluate(self, reading: MetricsSnapshot, now_seconds: float) -> list[AlertTransition]:
        """Return the transitions since the last snapshot. `now_seconds` is on the monotonic clock."""
        self._history.add(now_seconds, reading)
        self._actives, changes = evaluate_rules(self._rules, self._history, self._actives, now_seconds)
        return changes

    def firing_alerts(self, now_seconds: float) -> list[ReportedAlert]:
        """Return the alerts that fire. `now_seconds` is on the monotonic clock. Safe to call from another thread."""
        now = datetime.now(UTC)
        return [
            ReportedAlert(
                name=name,
                labels=dict(labels),
                value=active.value,
                since=now - timedelta(seconds=now_seconds - active.since_seconds),
            )
            for (name, labels), active in sorted(self._actives.items())
            if active.firing
        ]

    @property
    def firing(self) -> list[str]:
        """The names of the alerts that fire, sorted."""
        return sorted({name for (name, _), active in self._actives.items() if active.firing})


def promql_duration(seconds: float) -> str:
    """Return a duration as Prometheus writes it, in the largest whole unit."""
    for unit, length in (("d", DAY), ("h", HOUR), ("m", MINUTE)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _grouped(series: Mapping[Labels, float], by: Sequence[str]) -> dict[Labels, list[float]]:
    own_labels = set(by) - _ADDED_BY_PROMETHEUS
    groups: dict[Labels, list[float]] = {}
    for labels, value in series.items():
        groups.setdefault(tuple(pair for pair in labels if pair[0] in own_labels), []).append(value)
    return groups


def metric_names(expression: Expression) -> Iterator[str]:
    """Yield the names of the metrics that an expression reads."""
    if isinstance(expression, Ratio | IncreaseRatio):
        yield from (expression.part.series.metric, expression.whole.series.metric)
    else:
        yield expression.series.metric
