"""Every metric, named once. Labels are few and bounded: routes, stages, rungs and reasons, never ids.

Several workers behind one port are one target to Prometheus: a program that starts more than one
sets ``PROMETHEUS_MULTIPROC_DIR`` before this module is imported, and each ``/metrics`` then answers
for all of them. Counters and histograms add up; gauges say how they combine.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
# From the cost of a cached answer to where a shopper notices; the usual budgets are bounds.
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Telemetry:
    """The metrics of one process (of all workers, when they share a folder)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Make every metric once.

        Args:
            registry: where they are registered; None makes one of its own.
        """
        self.registry = registry or CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"endcap_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, mode: str) -> Gauge:
            return Gauge(f"endcap_{name}", text, registry=self.registry, multiprocess_mode=mode)  # type: ignore[arg-type]

        def histogram(name: str, text: str, *labels: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
            return Histogram(f"endcap_{name}", text, labels, registry=self.registry, buckets=buckets)

        # Looking a metric up by its labels costs more than counting does.
        self._answered: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self.requests = counter("http_requests_total", "HTTP answers by route and status.", "route", "status")
        self.request_seconds = histogram("http_request_seconds", "Time to answer a request.", "route")
        self.in_flight = gauge("http_requests_in_flight", "Requests being answered.", "livesum")
        self.stage_seconds = histogram("stage_seconds", "Time in one stage of the online pipeline.", "stage")
        self.answers = counter(
            "answers_total", "Recommendation answers by the rung they came from.", "surface", "served_from", "degraded"
        )
        self.rung_drops = counter("rung_drops_total", "Rungs of the fallback ladder passed over.", "rung", "reason")
        self.batch_size = histogram("batch_size", "Requests that were scored together.", buckets=_SIZES)
        self.batch_wait = histogram("batch_wait_seconds", "Time a request waited for its batch.")
        self.batch_queue = gauge("batch_queue", "Requests that wait for a batch.", "livesum")
        self.shed = counter("batch_shed_total", "Requests that the batcher refused.", "reason")
        self.search_paths = counter(
            "vector_searches_total", "Queries of the vector index, by how their filter was planned.", "path"
        )
        self.events = counter("events_total", "Events received, by what became of them.", "status")
        self.swaps = counter("release_swaps_total", "Releases put into service.")
        self.releases_refused = counter("release_refused_total", "Releases that could not be loaded.")
        self.loaded_at = gauge("release_loaded_timestamp_seconds", "When the release in service was loaded.", "min")
        self.draining = gauge("releases_draining", "Replaced releases that requests still use.", "livesum")
        self.stream_position = gauge("stream_position", "The newest event position that trending has counted.", "min")

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an HTTP answer."""
        key = (route, status)
        if (told := self._answered.get(key)) is None:
            told = self._answered[key] = (
                self.requests.labels(route, str(status)),
                self.request_seconds.labels(route),
            )
        told[0].inc()
        told[1].observe(seconds)

    def searched(self, path: str, queries: int) -> None:
        """Count queries of the vector index whose filter was planned so."""
        self.search_paths.labels(path).inc(queries)

    def queued(self, length: int) -> None:
        """See ``ranking.batcher.BatchObserver``."""
        self.batch_queue.set(length)

    def dispatched(self, size: int, waits: Sequence[float]) -> None:
        """See ``ranking.batcher.BatchObserver``."""
        self.batch_size.observe(size)
        for wait in waits:
            self.batch_wait.observe(wait)

    def finished(self, size: int, seconds: float) -> None:
        """See ``ranking.batcher.BatchObserver``; the time a batch took is the stages' sum."""

    def refused(self, reason: str) -> None:
        """Count a caller whom the batcher refused."""
        self.shed.labels(reason).inc()

    def expose(self) -> bytes:
        """All metrics in Prometheus' text format, of every worker that shares the folder."""
        if MULTIPROCESS in os.environ:
            everyone = CollectorRegistry()
            MultiProcessCollector(everyone)  # type: ignore[no-untyped-call]
            return generate_latest(everyone)
        return generate_latest(self.registry)
