"""The bytes of requests, counted as they come: of one and of all together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from workbench.serve.limits import Limits, Refused, busy

PATIENCE = 2.0  # seconds for a client to finish sending what is too much, else many never read the answer


class Bodies:
    def __init__(self, limits: Limits, told: Callable[[int], None]) -> None:
        self._limits, self._told = limits, told  # the latter of bytes more, or less
        self._held = 0  # bytes

    @asynccontextmanager
    async def reading(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, which counts as held until the answer is there. Raises Refused: 413, 503."""
        data = bytearray()
        told = request.headers.get("content-length", "")
        try:
            if told.isdecimal() and int(told[:20]) > self._limits.body:
                await self._too_large(request)
            async for chunk in request.stream():
                data += chunk
                self._hold(len(chunk))
                if len(data) > self._limits.body:
                    await self._too_large(request)
                if self._held > self._limits.held:
                    raise busy("too many large requests at once")
            yield bytes(data)
        finally:
            self._hold(-len(data))

    def _hold(self, more: int) -> None:
        self._held += more
        self._told(more)

    async def _too_large(self, request: Request) -> None:
        if "expect" not in request.headers:  # else it waits for our word before it sends
            with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
                async with asyncio.timeout(PATIENCE):
                    async for _ in request.stream():
                        pass
        raise Refused(413, f"more than {self._limits.body:,} bytes, which is the most of a request")
