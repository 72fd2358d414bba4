"""What a server did, for Prometheus: of all its processes together."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
LISTINGS = (1, 2, 4, 8, 16, 32, 64, 128)
TOGETHER = "PROMETHEUS_MULTIPROC_DIR"  # the library's name for the folder in which processes count together


class Metrics:
    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self._seconds = Histogram(
            "mlim_request_seconds",
            "From a request's first byte to its answer.",
            ["path"],
            buckets=SECONDS,
            registry=own,
        )
        self._requests = Counter("mlim_requests", "Requests answered.", ["path", "status"], registry=own)
        self._batches = Histogram("mlim_batch_listings", "Listings read together.", buckets=LISTINGS, registry=own)
        self.waiting, self.held = (
            Gauge(name, told, multiprocess_mode="livesum", registry=own)
            for name, told in (
                ("mlim_waiting_listings", "Listings that wait for the network."),
                ("mlim_held_bytes", "Bytes of requests that have no answer yet."),
            )
        )

    def answered(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def batched(self, listings: int) -> None:
        self._batches.observe(listings)

    def text(self) -> bytes:
        if TOGETHER not in os.environ:
            ProcessCollector(registry=(alone := CollectorRegistry()))
            return generate_latest(self._registry) + generate_latest(alone)
        MultiProcessCollector(together := CollectorRegistry())  # type: ignore[no-untyped-call]
        return generate_latest(together)
