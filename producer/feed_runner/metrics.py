"""The metrics of one feed runner, served at `/metrics` of a port of its own."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from ledger.contracts.feeds import FeedState


class RunnerMetrics:
    """Counters and gauges of one feed runner. The label `feed` is the feed's name."""

    def __init__(self, feed: str) -> None:
        self.registry = CollectorRegistry()
        self._feed = feed

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"cornerman_feed_runner_{name}", meaning, ("feed", *labels), registry=self.registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"cornerman_feed_runner_{name}", meaning, ("feed",), registry=self.registry)

        self._leader = gauge("leader", "1 if this runner leads, 0 while it stands by.")
        self._polls = counter("polls", "Polls by how they ended: `success`, or the reason of a failure.", "result")
        self._counts = {
            "quotes": counter("quotes", "Valid quotes that were read."),
            "changes": counter("price_changes", "Prices that differed from those read before."),
            "cards": counter("cards", "Cards that made a new job."),
            "faults": counter("event_faults", "Events of the feed that were refused."),
        }
        self._success = gauge("last_success_timestamp_seconds", "When the feed last answered.")
        self._next = gauge("next_poll_timestamp_seconds", "When the next poll is due.")
        self._interval = gauge("poll_interval_seconds", "Time between two polls now.")
        self._remaining = gauge("budget_remaining", "Credits that are left; absent without a limit.")
        self.lead(False)

    def serve(self, host: str, port: int) -> int:
        """Serve the metrics, in threads that end with the process; return the port. Raises OSError."""
        server, _ = start_http_server(port, host, self.registry)
        return int(server.server_port)

    def lead(self, leads: bool) -> None:
        """Show whether this runner leads."""
        self._leader.labels(self._feed).set(leads)

    def poll_ended(self, result: str, counts: dict[str, int], state: FeedState) -> None:
        """Count a poll and show the feed's state after it."""
        self._polls.labels(self._feed, result).inc()
        for name, count in counts.items():
            if name in self._counts:
                self._counts[name].labels(self._feed).inc(count)
        for metric, moment in ((self._success, state.last_success), (self._next, state.next_poll)):
            _show(metric, self._feed, moment)
        self._interval.labels(self._feed).set(state.interval_seconds)
        if state.budget.remaining is not None:
            self._remaining.labels(self._feed).set(state.budget.remaining)


def _show(metric: Gauge, feed: str, moment: datetime | None) -> None:
    if moment is not None:
        metric.labels(feed).set(moment.timestamp())
