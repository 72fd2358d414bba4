"""Downloads by this process, in an event loop of a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from workbench.catalog.fetch.content import Content
from workbench.catalog.fetch.download import Downloader
from workbench.catalog.fetch.hosts import Wanted, by_host, resolve_by, work_off
from workbench.catalog.fetch.results import Result
from workbench.recipe.schema import Fetch


class Here:
    """`Downloads`: pictures go into `content` by way of the folder `aside`, and what became of each to `done`."""

    def __init__(
        self, fetch: Fetch, max_pixels: int, content: Content, aside: Path, done: Callable[[Result], None]
    ) -> None:
        self._pace, self._done = fetch.pace, done
        self._downloader = Downloader(fetch, max_pixels, content, aside)
        self._exits = ExitStack()
        self._portal: BlockingPortal | None = None

    @property
    def received(self) -> int:
        return self._downloader.received

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error: Any) -> None:
        self._exits.__exit__(*error)

    def get(self, wanted: Sequence[Wanted]) -> None:
        """Ctrl-C and SIGTERM meet this thread as it waits, and never a step of the event loop."""
        if self._portal is None:
            self._portal = self._exits.enter_context(start_blocking_portal())
            self._portal.call(resolve_by, self._pace.concurrency)
        running = self._portal.start_task_soon(self._all, wanted)
        while not wait([running], timeout=0.2).done:  # polars' signal handler restarts a wait without a limit
            pass
        running.result()

    async def _all(self, wanted: Sequence[Wanted]) -> None:
        try:
            await work_off(by_host(wanted), self._pace.per_host, self._one)
        finally:
            await self._downloader.close()

    async def _one(self, wanted: Wanted) -> None:
        self._done(await self._downloader.get(wanted))
