"""What a server did, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
LISTINGS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """`waiting` and `held` are asked when somebody looks."""

    def __init__(self, waiting: Callable[[], float], held: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "mlim_request_seconds",
            "From a request's first byte to its answer.",
            ["path"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._requests = Counter("mlim_requests", "Requests answered.", ["path", "status"], registry=self._registry)
        self._batches = Histogram(
            "mlim_batch_listings", "Listings read together.", buckets=LISTINGS, registry=self._registry
        )
        for name, told, ask in (
            ("mlim_waiting_listings", "Listings that wait for the network.", waiting),
            ("mlim_held_bytes", "Bytes of requests that have no answer yet.", held),
        ):
            Gauge(name, told, registry=self._registry).set_function(ask)
        ProcessCollector(registry=self._registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def batched(self, listings: int) -> None:
        self._batches.observe(listings)

    def text(self) -> bytes:
        return generate_latest(self._registry)
