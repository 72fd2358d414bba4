"""How much a client may ask for. What is more is refused with the reason, before it costs memory or time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    body: int = 16 << 20  # bytes of one request
    held: int = 128 << 20  # bytes of all requests at once
    pixels: int = 40_000_000  # of one picture, as its header tells them
    listings: int = 64  # of one request
    results: int = 100  # of one search
    text: int = 20_000  # characters of one text
    waiting: int = 512  # listings that wait for the network
    batch: int = 64  # listings that the network reads at once
    seconds: float = 30.0  # from a request's first byte to its answer


class Refused(Exception):
    """A request that gets no answer: the status, the field at fault and the reason, which the client is told."""

    def __init__(self, status: int, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.field = status, reason, field


def failed() -> Refused:
    return Refused(500, "the server failed; its log says why")


def busy(reason: str) -> Refused:
    return Refused(503, f"{reason}; ask again in a second")
