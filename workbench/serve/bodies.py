"""The bytes of requests, counted as they come: of one and of all together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from workbench.serve.limits import Limits, Refused, busy

PATIENCE = 2.0  # seconds for a client to finish sending what is too much, else many never read the answer


class Bodies:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held = 0  # bytes

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
                self.held += len(chunk)
                if len(data) > self._limits.body:
                    await self._too_large(request)
                if self.held > self._limits.held:
                    raise busy("too many large requests at once")
            yield bytes(data)
        finally:
            self.held -= len(data)

    async def _too_large(self, request: Request) -> None:
        if "expect" not in request.headers:  # else it waits for our word before it sends
            with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
                async with asyncio.timeout(PATIENCE):
                    async for _ in request.stream():
                        pass
        raise Refused(413, f"more than {self._limits.body:,} bytes, which is the most of a request")
