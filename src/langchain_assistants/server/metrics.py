"""What Prometheus may read of an application: requests, times, open streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

_PREFIX = "langchain_assistants_"
_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})


class Metrics:
    """The counters of one application; labels hold routes, never ids or content."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            f"{_PREFIX}requests_total",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            f"{_PREFIX}request_seconds",
            "Time to the last byte; held requests and streams included.",
            ("method", "route"),
            registry=self._registry,
        )
        self._in_progress = Gauge(
            f"{_PREFIX}requests_in_progress",
            "Requests that are being answered.",
            registry=self._registry,
        )
        self._streams = Gauge(
            f"{_PREFIX}streams_open",
            "Event streams that are being sent.",
            registry=self._registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    @contextmanager
    def in_progress(self) -> Iterator[None]:
        """Count a request while it is answered."""
        with self._in_progress.track_inprogress():
            yield

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Count a stream while it is sent."""
        with self._streams.track_inprogress():
            yield

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
