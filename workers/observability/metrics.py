"""The metrics of a pool: their names, what they count, and the registry behind `/metrics`.

Counters and histograms are fed with the events of the pool's processes (`workers.pool.event_pipe`). Gauges are replaced
as a whole at every collection: a gauge without a current value, such as the length of a queue while the server is away,
is absent. Labels have few values, and none that a caller can invent: every kind and code has its series from the start,
so that the first failure is an increase from 0. Names end in their unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import prometheus_client
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector, RestrictedRegistry

from ledger.contracts.failures import FailureCode
from ledger.contracts.jobs import ROUTES
from workers.pool.event_pipe import (
    AttemptEnded,
    CardMetrics,
    ChildKilled,
    DroppedEvents,
    Event,
    ReapEvent,
    SmallAttemptsEnded,
)

SETTLED_OUTCOMES = ("succeeded", *(code.value for code in FailureCode))
UNSETTLED_OUTCOMES = ("released", "parked", "requeued", "refused")
SPAN_FATES = ("sent", "not_sent", "queue_full")
_EXEMPLAR = ("trace_id", "span_id")
OTHER_KIND = "other"  # label of kinds that this version does not know

Parent = TypeVar("Parent", Counter, Histogram)

GaugeValues = Mapping[tuple[str, ...], float]
"""A gauge's values, by the values of its labels."""

MetricValues = dict[str, dict[tuple[tuple[str, str], ...], float]]
"""The values of metrics: by name, then by sorted labels."""

# Upper bounds. They include the thresholds of the alerts, so that the fraction above a threshold is exact.
_WAIT_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_RUN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 14_400)
_UNCERTAINTY = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8)
_ODDS_AGE_SECONDS = (5, 15, 30, 60, 120, 300, 900, 3600, 14_400, 86_400)


class GaugeDefinition(Struct, frozen=True):
    """The help text and labels of a gauge."""

    help: str
    labels: tuple[str, ...] = ()


GAUGES: dict[str, GaugeDefinition] = {
    "cornerman_pool_info": GaugeDefinition(
        "Always 1; the labels identify the pool", ("pool", "node", "queues", "version")
    ),
    "cornerman_model_info": GaugeDefinition("Always 1; which model an alias stands for (fleet)", ("alias", "model")),
    "cornerman_ledger_up": GaugeDefinition("Whether the server answered the last sample"),
    "cornerman_server_evicts": GaugeDefinition("Whether the server may evict jobs and outcomes: 1 or 0 (fleet)"),
    "cornerman_queue_length": GaugeDefinition("Jobs that wait in a queue (fleet)", ("queue",)),
    "cornerman_caller_queue_length": GaugeDefinition(
        "Jobs of a caller that wait in a queue, of at most 50 callers (fleet)", ("queue", "caller")
    ),
    "cornerman_queue_oldest_age_seconds": GaugeDefinition(
        "Time since the oldest job of a queue was submitted, or queued if it had to wait before (fleet)", ("queue",)
    ),
    "cornerman_jobs_not_queued": GaugeDefinition(
        "Jobs in the state waiting: for a time or another job, in no queue yet (fleet)"
    ),
    "cornerman_consumers": GaugeDefinition("Healthy pools that consume a queue (fleet)", ("queue",)),
    "cornerman_unattended_jobs": GaugeDefinition("Jobs that wait in a queue without any consumer (fleet)", ("queue",)),
    "cornerman_quarantined_items": GaugeDefinition(
        "Quarantined items of a queue's list that no ledger wrote (fleet)", ("queue",)
    ),
    "cornerman_dead_letters": GaugeDefinition("Jobs that failed after too many worker crashes (fleet)"),
    "cornerman_children": GaugeDefinition("Live children of this pool", ("state",)),
    "cornerman_children_wanted": GaugeDefinition("Children that this pool should have, for its load and memory"),
    "cornerman_pool_memory_bytes": GaugeDefinition("Memory of the pool: in use (PSS), limit, free for jobs", ("what",)),
    "cornerman_child_memory_max_bytes": GaugeDefinition("Resident memory of the largest child"),
    "cornerman_child_memory_limit_bytes": GaugeDefinition("Memory limit of a child; absent without a limit"),
    "cornerman_check_passed": GaugeDefinition("Whether a check of /readyz passes, 1 or 0", ("check",)),
    "cornerman_consumption_silence_seconds": GaugeDefinition("Time since the pool last showed that it consumes"),
    "cornerman_calibration_drift": GaugeDefinition(
        "Mean distance of probabilities from fight results, if measured (fleet)", ("model",)
    ),
    "cornerman_schedule_failed": GaugeDefinition(
        "Whether the last run of a schedule failed, 1 or 0 (fleet)", ("schedule",)
    ),
    "cornerman_schedule_late_seconds": GaugeDefinition(
        "How long the next slot of a schedule has been due, or is ahead of the server's clock (fleet)", ("schedule",)
    ),
    "cornerman_unconfirmed_outcomes": GaugeDefinition(
        "Outcomes that wait to be confirmed by the disk or by replicas, which no reader sees before (fleet)"
    ),
    "cornerman_unconfirmed_outcome_age_seconds": GaugeDefinition(
        "How long the oldest outcome that is not confirmed has waited, 0 if none waits (fleet)"
    ),
    "cornerman_archive_lag_seconds": GaugeDefinition(
        "Time since all outcomes that were due had been archived; absent before the first was (fleet)"
    ),
    "cornerman_archived_outcomes": GaugeDefinition("Outcomes in the archive (fleet)"),
    "cornerman_archive_bytes": GaugeDefinition("Size of the files of the archive (fleet)"),
    "cornerman_state_lag_days": GaugeDefinition(
        "Days since the oldest event that the champion's fighters' state does not contain (fleet)", ("model",)
    ),
    "cornerman_open_stakes": GaugeDefinition(
        "Stakes of open bets of the present mode, in the smallest unit of the currency (fleet)", ("mode",)
    ),
    "cornerman_bankroll": GaugeDefinition(
        "Bankroll of the present mode, in the smallest unit of the currency (fleet)", ("mode",)
    ),
    "cornerman_drawdown_stopped": GaugeDefinition(
        "Whether the drawdown stop is reached in the present mode, 1 or 0 (fleet)", ("mode",)
    ),
    "cornerman_feed_silent_polls": GaugeDefinition(
        "Polls of a feed that should have succeeded since its last success, or leases without a leader (fleet)",
        ("feed",),
    ),
    "cornerman_feed_last_success_timestamp_seconds": GaugeDefinition("When a feed last answered (fleet)", ("feed",)),
    "cornerman_feed_runners": GaugeDefinition("Feed runners that lead a feed, or stand by (fleet)", ("feed", "role")),
    "cornerman_feed_budget_remaining": GaugeDefinition(
        "Credits that a feed has left; absent without a limit (fleet)", ("feed",)
    ),
    "cornerman_feed_budget_coverage": GaugeDefinition(
        "Share of a feed's polls in the last day before its events that its budget pays for (fleet)", ("feed",)
    ),
    "cornerman_feed_counts": GaugeDefinition(
        "Retrievals, quotes, changes, cards, faults and failures of a feed since it was registered (fleet)",
        ("feed", "what"),
    ),
}


class Metrics:
    """The registry of one pool, in its main process. One thread writes; any thread may read."""

    def __init__(self, queues: Iterable[str]) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each metric, without a use here
        self.registry = CollectorRegistry()
        wanted = set(queues)
        kinds = [kind for kind, route in ROUTES.items() if route.queue in wanted] + [OTHER_KIND]
        self._jobs = self._counter("jobs", "Jobs that this pool settled", ("kind", "outcome"))
        self._attempts = self._counter("attempts", "Attempts at jobs, by how they ended", ("kind", "ending"))
        self._reaped = self._counter(
            "reaped_jobs", "Jobs reaped because their worker or their time was gone", ("what",)
        )
        self._killed = self._counter("children_killed", "Children killed by the supervisor", ("reason",))
        self._dropped = self._counter(
            "telemetry_dropped", "Events dropped because the pipe to the main process was full"
        )
        self._spans = self._counter(
            "spans", "Spans of jobs, by what became of them: sent, not sent, or dropped from a full queue", ("fate",)
        )
        self._fights = self._counter("fights", "Fights of answered cards", ("result",))
        self._abstentions = self._counter(
            "abstentions", "Fights without a bet, by each reason for abstaining", ("reason",)
        )
        self._failed = self._counter("fight_failures", "Fights of answered cards without an answer", ("code",))
        self._market = self._counter(
            "market_probabilities",
            "Market probabilities by whether they lie inside the fight's interval",
            ("level", "inside"),
        )
        self._waits = self._histogram("queue_wait_seconds", "From submit to claim", ("kind",), _WAIT_SECONDS)
        self._runs = self._histogram("run_seconds", "From claim to outcome", ("kind",), _RUN_SECONDS)
        self._uncertainty = self._histogram(
            "uncertainty", "Width of the interval whose lower bound decides, one a fight", (), _UNCERTAINTY
        )
        self._odds_age = self._histogram(
            "odds_age_seconds", "Age of a card's oldest quote when it was claimed", (), _ODDS_AGE_SECONDS
        )
        self._collected = _CollectedFamilies()
        self.registry.register(self._collected)
        ProcessCollector(registry=self.registry)
        for kind in kinds:
            self._waits.labels(kind), self._runs.labels(kind)
            for outcome in SETTLED_OUTCOMES:
                self._jobs.labels(kind, outcome)
            for ending in ("settled", *UNSETTLED_OUTCOMES):
                self._attempts.labels(kind, ending)
        for what in ReapEvent.__struct_fields__:
            self._reaped.labels(what)
        for result in ("bet", "abstain", "failed"):
            self._fights.labels(result)
        for fate in SPAN_FATES:
            self._spans.labels(fate)
        self._kinds = frozenset(kinds)
        self._children: dict[tuple[object, tuple[str, ...]], Any] = {}
        self._events = 0  # counted so far
        self._counts: MetricValues = {}
        self._counts_of: tuple[int, frozenset[str]] | None = None

    def observe(self, event: Event) -> None:
        """Count an event of one of the pool's processes."""
        match event:
            case AttemptEnded():
                self._observe_attempt(event)
            case SmallAttemptsEnded():
                self._observe_small_attempts(event)
            case ChildKilled(reason):
                self._child(self._killed, reason).inc()
            case ReapEvent():
                for what in event.__struct_fields__:
                    self._child(self._reaped, what).inc(getattr(event, what))
            case DroppedEvents(messages):
                self._dropped.inc(messages)
        self._events += 1

    def count_spans(self, fate: str, spans: int) -> None:
        """Count spans by what became of them; any thread may call it."""
        self._child(self._spans, fate).inc(spans)
        self._events += 1

    def publish(self, gauges: Mapping[str, GaugeValues]) -> None:
        """Replace all gauges."""
        self._collected.gauges = gauges

    def values(self, names: Collection[str] | None = None) -> MetricValues:
        """Return the values that `/metrics` shows, or those of some names: by name, then by its sorted labels."""
        if names is None:
            return self._read(self.registry)
        # An idle pool evaluates its alerts for ever, and reading the counters takes longer than all else of that.
        counted = frozenset(names) - GAUGES.keys()
        if (state := (self._events, counted)) != self._counts_of:
            self._counts, self._counts_of = self._read(self.registry.restricted_registry(counted)), state
        return self._counts | self._read(self.registry.restricted_registry(GAUGES.keys() & set(names)))

    @staticmethod
    def _read(registry: CollectorRegistry | RestrictedRegistry) -> MetricValues:
        found: MetricValues = defaultdict(dict)
        for family in registry.collect():
            for sample in family.samples:
                found[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
        return found

    def _observe_attempt(self, event: AttemptEnded) -> None:
        kind = self._count_attempts(event.kind, event.outcome, 1)
        exemplar = None if event.exemplar is None else dict(zip(_EXEMPLAR, event.exemplar, strict=True))
        if event.queue_wait_seconds is not None:
            self._child(self._waits, kind).observe(event.queue_wait_seconds, exemplar)
        if event.run_seconds is not None:
            self._child(self._runs, kind).observe(event.run_seconds, exemplar)
        if event.card is not None:
            self._observe_card(event.card)

    def _observe_small_attempts(self, event: SmallAttemptsEnded) -> None:
        kind = self._count_attempts(event.kind, event.outcome, len(event.run_seconds))
        for metric, seconds in ((self._waits, event.queue_wait_seconds), (self._runs, event.run_seconds)):
            histogram = self._child(metric, kind)
            for each_seconds in seconds:
                histogram.observe(each_seconds)

    def _count_attempts(self, kind: str, outcome: str, attempts: int) -> str:
        """Count attempts and return the kind under which they count."""
        kind = kind if kind in self._kinds else OTHER_KIND
        if outcome in UNSETTLED_OUTCOMES:
            self._child(self._attempts, kind, outcome).inc(attempts)
        else:
            self._child(self._attempts, kind, "settled").inc(attempts)
            self._child(self._jobs, kind, outcome).inc(attempts)
        return kind

    def _observe_card(self, card: CardMetrics) -> None:
        results = {"bet": card.bets, "abstain": card.abstained, "failed": sum(card.failures.values())}
        for result, fights in results.items():
            self._child(self._fights, result).inc(fights)
        for reason, fights in card.abstentions.items():
            self._child(self._abstentions, reason).inc(fights)
        for code, fights in card.failures.items():
            self._child(self._failed, code).inc(fights)
        for inside, counts in (("true", card.covered), ("false", card.uncovered)):
            for level, fights in counts.items():
                self._child(self._market, level, inside).inc(fights)
        for width in card.uncertainties:
            self._uncertainty.observe(width)
        for level, width in card.widths.items():
            self._collected.add_width(level, width)
        if card.odds_age_seconds is not None:
            self._odds_age.observe(card.odds_age_seconds)

    def _child(self, metric: Parent, *labels: str) -> Parent:
        """Return a metric's child with these labels, cached: the metric's own `labels` takes four times as long."""
        key = (metric, labels)
        if key not in self._children:
            self._children[key] = metric.labels(*labels)
        child: Parent = self._children[key]
        return child

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"cornerman_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> Histogram:
        return Histogram(f"cornerman_{name}", text, labels, registry=self.registry, buckets=bounds)


class _CollectedFamilies(Collector):
    """Families that are not counted event by event: the gauges of the last collection, and the mean widths."""

    def __init__(self) -> None:
        self.gauges: Mapping[str, GaugeValues] = {}
        self._widths: dict[str, tuple[int, float]] = {}

    def add_width(self, level: str, width: float) -> None:
        """Add a card's mean width: one number a card, because a dozen fights a card are many to sort into buckets."""
        cards, total = self._widths.get(level, (0, 0.0))
        self._widths = {**self._widths, level: (cards + 1, total + width)}

    def describe(self) -> Iterable[Metric]:
        """Yield the families, including those without a value now."""
        yield self._width_family()
        for name, gauge in GAUGES.items():
            yield GaugeMetricFamily(name, gauge.help, labels=gauge.labels)

    def collect(self) -> Iterable[Metric]:
        """Yield the families with their values."""
        widths = self._width_family()
        for level, (cards, total) in self._widths.items():
            widths.add_metric([level], cards, total)
        yield widths
        for name, values in self.gauges.items():
            family = GaugeMetricFamily(name, GAUGES[name].help, labels=GAUGES[name].labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family

    @staticmethod
    def _width_family() -> SummaryMetricFamily:
        help_text = "Mean width of a card's intervals of this level"
        return SummaryMetricFamily("cornerman_interval_width", help_text, labels=["level"])
