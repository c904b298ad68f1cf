"""The metrics of a relay: its attempts, and the state of all webhooks of the ledger."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ledger.webhooks.webhook_store import WebhookFigures

RESULTS = ("delivered", "retry", "dead", "disabled")
STATES = ("delivering", "failing", "disabled")
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)


class RelayMetrics:
    """The metrics of one relay, in the registry of its gateway. Those of the fleet are the same at every relay."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "cornerman_webhook_attempts", "Attempts of this relay at deliveries.", ("result",), registry=registry
        )
        self._seconds = Histogram(
            "cornerman_webhook_attempt_seconds", "Duration of an attempt.", buckets=_BUCKETS, registry=registry
        )
        self._webhooks = Gauge("cornerman_webhooks", "Webhooks by state (fleet).", ("state",), registry=registry)
        self._gauges = {
            name: Gauge(f"cornerman_webhook_{name}", text, registry=registry)
            for name, text in {
                "relays": "Living relays (fleet).",
                "waiting": "Deliveries that wait for an attempt (fleet).",
                "dead_letters": "Deliveries in the dead-letter lists (fleet).",
                "oldest_seconds": "Age of the oldest outcome that is not delivered, of enabled webhooks (fleet).",
                "failing_seconds": "Time for which an enabled webhook has only failed, the longest (fleet).",
                "missed": "Outcomes that were dropped before they were delivered (fleet).",
            }.items()
        }
        for result in RESULTS:
            self._attempts.labels(result)

    def observe_attempt(self, result: str, seconds: float) -> None:
        """Count an attempt."""
        self._attempts.labels(result).inc()
        self._seconds.observe(seconds)

    def show(self, figures: WebhookFigures) -> None:
        """Replace the gauges."""
        for state in STATES:
            self._webhooks.labels(state).set(getattr(figures, state))
        for name, gauge in self._gauges.items():
            gauge.set(getattr(figures, name))
