"""Pictures by web address, one at a time, by the rules of the Fetch stage: public hosts, size, pixels and time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from workbench.catalog.fetch.content import Content
from workbench.catalog.fetch.download import Downloader
from workbench.catalog.fetch.hosts import Wanted
from workbench.images.names import Absent
from workbench.recipe.schema import Fetch


class Web:
    """A `Fetch` of pictures.py, asked by several threads; what it fetched is gone when it is closed."""

    def __init__(self, fetch: Fetch, max_pixels: int) -> None:
        self._aside = tempfile.TemporaryDirectory(prefix="mlim-")
        folder = Path(self._aside.name)
        self._content = Content(folder)
        self._started = start_blocking_portal("asyncio")
        self._portal = self._started.__enter__()

        async def begin() -> Downloader:
            return Downloader(fetch, max_pixels, self._content, folder)

        self._downloader = self._portal.call(begin)

    def __call__(self, url: str) -> bytes:
        """The bytes at a web address. Raises Absent or ValueError with the reason."""
        result = self._portal.call(self._downloader.get, Wanted(url))
        if result.state == "absent" or result.sha256 is None:
            raise (Absent if result.state == "absent" else ValueError)(result.reason)
        path = self._content.path(result.sha256)
        data = path.read_bytes()
        return data

    def close(self) -> None:
        self._portal.call(self._downloader.close)
        self._started.__exit__(None, None, None)
        self._aside.cleanup()
