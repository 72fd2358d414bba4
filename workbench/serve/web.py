"""A picture by web address, where the server allows it: by the rules of a feed's downloads, and nothing is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.catalog.fetch.content import Content
from workbench.catalog.fetch.download import Downloader
from workbench.catalog.fetch.hosts import Wanted
from workbench.recipe.schema import Fetch, Pace
from workbench.serve.limits import Limits, Refused

AT_ONCE = 8


class Web:
    """Asks public addresses only; `own` are hosts inside the network that may be asked, too."""

    def __init__(self, limits: Limits, own: tuple[str, ...] = ()) -> None:
        pace = Pace(retries=0, total=min(10.0, limits.seconds / 2))
        self._fetch = Fetch(max_bytes=limits.body, pace=pace, allow_hosts=own)
        self._limits, self._slots = limits, asyncio.Semaphore(AT_ONCE)

    async def get(self, url: str, field: str) -> bytes:
        """The picture's bytes. Raises Refused with the reason why there are none.

        A downloader of its own: a server that failed for one client is asked again for the next.
        """
        async with self._slots:
            with TemporaryDirectory(prefix="mlim-serve-") as folder:
                content = Content(Path(folder))
                downloader = Downloader(self._fetch, self._limits.pixels, content, Path(folder))
                try:
                    result = await downloader.get(Wanted(url))
                finally:
                    await downloader.close()
                if result.sha256 is None:
                    raise Refused(422, result.reason or "not to be had", field)
                return content.path(result.sha256).read_bytes()
