"""The metrics of a gateway: requests by route, status and caller, their duration, and followers of event streams."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MAX_CALLERS = 100
OTHER = "other"
"""Label of callers beyond that number, and of paths that are no route."""
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RequestMetrics:
    """The metrics of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "cornerman_gateway_requests",
            "Requests answered.",
            ("method", "route", "status", "caller"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "cornerman_gateway_request_seconds",
            "Time from the head of a request to the end of its response; event streams and waits included.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._callers: set[str] = set()
        self._children: dict[tuple[str, str, int, str], tuple[Counter, Histogram]] = {}

    def count_followers(self, followers: Callable[[], int]) -> None:
        """Show the number of followers of the outcomes."""
        gauge = Gauge("cornerman_gateway_followers", "Followers of the stream of outcomes.", registry=self.registry)
        gauge.set_function(followers)

    def observe(self, method: str, route: str | None, status: int, caller: str | None, seconds: float) -> None:
        """Count a request; `route` is the template of its path, None if there is none."""
        named = route or OTHER
        method = method if route else OTHER
        key = (method, named, status, self._label(caller))
        if key not in self._children:  # looking labels up takes longer than counting
            child = self._requests.labels(method, named, str(status), key[3])
            self._children[key] = (child, self._seconds.labels(method, named))
        counter, histogram = self._children[key]
        counter.inc()
        histogram.observe(seconds)

    def _label(self, caller: str | None) -> str:
        if caller is None:
            return ""
        if caller not in self._callers and len(self._callers) >= MAX_CALLERS:
            return OTHER
        self._callers.add(caller)
        return caller
