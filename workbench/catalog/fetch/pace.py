"""How hard a host is asked: requests at once and a second, pauses that it asks for, and when it is given up."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from workbench.draws import FETCH, stream
from workbench.recipe.schema import Pace

GIVE_UP = 8  # pictures in a row that a host failed to give, after which it is asked for no other


class Standing(NamedTuple):
    """How a host fared until now: what another process must know before it asks it."""

    failures: int = 0  # in a row
    last: str = ""  # the last one's reason
    wait: float = 0.0  # seconds before the next request


NEW = Standing()


class Host:
    """One host's queue and its record."""

    def __init__(self, pace: Pace, standing: Standing = NEW) -> None:
        self._slots = asyncio.Semaphore(pace.per_host)
        self._gap = 1 / pace.per_second
        # seconds of the monotonic clock: when the next request may start
        self._opens = time.monotonic() + standing.wait if standing.wait else 0.0
        self._failures, self._last = standing.failures, standing.last

    @property
    def standing(self) -> Standing:
        return Standing(self._failures, self._last, max(0.0, self._opens - time.monotonic()))

    @property
    def given_up(self) -> str:
        """Why nothing more is asked of this host, or ""."""
        return f"its host failed {GIVE_UP} times in a row: {self._last}" if self._failures >= GIVE_UP else ""

    def answered(self) -> None:
        if not self.given_up:
            self._failures = 0

    def failed(self, reason: str) -> None:
        if not self.given_up:
            self._failures, self._last = self._failures + 1, reason

    def pause(self, seconds: float) -> None:
        """No request starts before so many seconds have passed."""
        self._opens = max(self._opens, time.monotonic() + seconds)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold one of the host's slots, from the moment at which a request may start."""
        async with self._slots:
            while (wait := self._opens - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self._opens = max(self._opens, time.monotonic() - 0.1) + self._gap  # sleeps are late: caught up with
            yield


def back_off(pace: Pace, url: str, attempt: int) -> float:
    """Seconds before a try after failed tries 0..attempt: doubled each time, times 0.5 to 1.5 drawn by address."""
    row = int.from_bytes(hashlib.blake2b(url.encode(errors="replace"), digest_size=8).digest(), "big")
    return min(pace.longest, float(pace.back_off * 2**attempt * (0.5 + stream(0, FETCH, attempt, row).random())))


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or a date, RFC 9110 section 10.2.3); None for no sense."""
    try:
        if header is None or header.strip().isdigit():
            return None if header is None else float(header)
        date = parsedate_to_datetime(header)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
