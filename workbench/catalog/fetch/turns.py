"""Downloads by the processes of a cluster, in turns.

For its turn a process has some hosts to itself, until half a minute is over and what it began is done. It gives back
what became of their pictures, what is left of them, and how each host fared. So one process at a time asks a host, and
its pace is one for all machines. A redirect to a host that another may be asking waits for a turn of that host. The
pictures' bytes come back too: who downloads needs no cache.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workbench.artifacts.executor import Executor
from workbench.catalog.fetch.content import Content
from workbench.catalog.fetch.download import Downloader, Elsewhere, reached
from workbench.catalog.fetch.hosts import Wanted, by_host, resolve_by, work_off
from workbench.catalog.fetch.pace import NEW, Standing
from workbench.catalog.fetch.results import Result
from workbench.recipe.schema import Fetch

SECONDS, BYTES = 30.0, 1 << 26  # after which a turn begins no other picture
PICTURES = 1000  # of one host, or of several hosts together, given to one turn


@dataclass(frozen=True)
class Turn:
    queues: Mapping[str, deque[Wanted]]  # by host
    standings: Mapping[str, Standing]
    most: int  # bytes that may be received


@dataclass(frozen=True)
class Taken:
    """What a turn did."""

    results: Sequence[Result]
    pictures: Mapping[str, bytes]  # by SHA-256
    left: Sequence[Wanted]  # also those that were redirected to other hosts
    standings: Mapping[str, Standing]
    received: int


def take(turn: Turn, fetch: Fetch, max_pixels: int) -> Taken:
    """Take a turn in this process."""
    if not turn.queues:
        return Taken([], {}, [], {}, 0)
    with TemporaryDirectory() as folder:
        return asyncio.run(_take(turn, fetch, max_pixels, Path(folder)))


async def _take(turn: Turn, fetch: Fetch, max_pixels: int, folder: Path) -> Taken:
    content, end = Content(folder / "pictures"), time.monotonic() + SECONDS
    fetch = fetch.model_copy(update={"most_bytes": turn.most})
    downloader = Downloader(fetch, max_pixels, content, folder, turn.standings)
    results: list[Result] = []
    left: list[Wanted] = []

    async def get(wanted: Wanted) -> None:
        if time.monotonic() > end or downloader.received >= min(BYTES, turn.most):
            left.append(wanted)
            return
        try:
            result = await downloader.get(wanted)
        except Elsewhere as to:
            left.append(replace(wanted, at=to.address, redirects=to.redirects))
        else:
            results.append(result) if result.reason != reached(fetch) else left.append(wanted)

    await resolve_by(fetch.pace.concurrency)
    try:
        await work_off(turn.queues, fetch.pace.per_host, get)
    finally:
        await downloader.close()
    new = {r.sha256: content.path(r.sha256) for r in results if r.sha256 and content.has(r.sha256, r.bytes)}
    pictures = {sha256: path.read_bytes() for sha256, path in new.items()}
    return Taken(results, pictures, left, downloader.standings(), downloader.received)


class Turns:
    """`Downloads`: pictures go into `content` by way of the folder `aside`, and what became of each to `done`."""

    def __init__(
        self,
        executor: Executor,
        fetch: Fetch,
        max_pixels: int,
        content: Content,
        aside: Path,
        done: Callable[[Result], None],
    ) -> None:
        self._executor, self._fetch, self._content, self._aside, self._done = executor, fetch, content, aside, done
        self._max_pixels = max_pixels
        self._standings: dict[str, Standing] = {}
        self._idle: dict[str, deque[Wanted]] = {}  # hosts that nobody asks
        self._asked: dict[str, deque[Wanted]] = {}  # those whose turn it is, and what waits for their next one
        self._sent: deque[Turn] = deque()
        self.received = 0

    def __enter__(self) -> Turns:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def get(self, wanted: Sequence[Wanted]) -> None:
        workers, together = self._executor.workers, self._fetch.pace.concurrency
        pace = self._fetch.pace.model_copy(update={"concurrency": together // min(workers, together)})
        work = partial(take, fetch=self._fetch.model_copy(update={"pace": pace}), max_pixels=self._max_pixels)
        ahead = min(2 * workers, together)  # the next turns of some wait while one takes long
        self._idle = by_host(wanted)
        for taken in self._executor.in_order(work, self._turns(ahead), ahead):
            for sha256, data in taken.pictures.items():
                aside = self._aside / "picture.tmp"
                aside.write_bytes(data)
                self._content.keep(aside, sha256, len(data))
                aside.unlink(missing_ok=True)
            for result in taken.results:
                self._done(result)
            self._standings |= taken.standings
            self.received += taken.received
            self._give_back(self._sent.popleft(), by_host(taken.left))

    def _turns(self, ahead: int) -> Iterator[Turn]:
        """Empty ones while all hosts are being asked: results are taken in order, the next are to be had then."""
        while self._idle or self._asked:
            free = self._fetch.most_bytes - self.received - sum(turn.most for turn in self._sent)
            if free <= 0 and not self._asked:
                for one in (one for queue in self._idle.values() for one in queue):
                    self._done(Result(one.url, "absent", reached(self._fetch)))
                return
            share = -(-free // (ahead - len(self._sent)))
            turn = self._next(-(-len(self._idle) // ahead), share) if share > 0 else Turn({}, {}, 0)
            self._sent.append(turn)
            yield turn

    def _next(self, hosts: int, most: int) -> Turn:
        """So many of the idle hosts, but no more pictures than make up a turn."""
        queues: dict[str, deque[Wanted]] = {}
        room = PICTURES
        while len(queues) < hosts and room > 0:
            host = next(iter(self._idle))
            queue = self._idle.pop(host)
            queues[host] = deque(islice(queue, room))
            self._asked[host] = deque(islice(queue, room, None))
            room -= len(queues[host])
        return Turn(queues, {host: self._standings.get(host, NEW) for host in queues}, most * bool(queues))

    def _give_back(self, turn: Turn, left: dict[str, deque[Wanted]]) -> None:
        for host in turn.queues:
            if waiting := left.pop(host, deque()) + self._asked.pop(host):
                self._idle[host] = waiting
        for host, moved in left.items():
            (self._asked if host in self._asked else self._idle).setdefault(host, deque()).extend(moved)
