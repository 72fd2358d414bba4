"""What is wanted of each host, and how it is worked off: in order, by as many requests at once as it may have."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from workbench.catalog.fetch.results import Result
from workbench.catalog.fetch.safe import Address, Refused, parse


@dataclass(frozen=True)
class Wanted:
    """A picture's web address as the feed writes it, an earlier download of it, and where redirects led so far."""

    url: str
    known: Result | None = None
    at: Address | None = None
    redirects: int = 0

    @property
    def host(self) -> str:
        """That is to be asked; "" for what is no address."""
        try:
            return (self.at or parse(self.url)).host
        except Refused:
            return ""


class Downloads(Protocol):
    """What fetches, once entered, and how much it has: bytes of all bodies, failed ones too."""

    @property
    def received(self) -> int: ...

    def get(self, wanted: Sequence[Wanted]) -> None:
        """Download them all. What becomes of each is told one by one, not here."""
        ...

    def __enter__(self) -> Downloads: ...

    def __exit__(self, *error: Any) -> None: ...


def by_host(wanted: Iterable[Wanted]) -> dict[str, deque[Wanted]]:
    """In the order of first use."""
    queues: dict[str, deque[Wanted]] = {}
    for one in wanted:
        queues.setdefault(one.host, deque()).append(one)
    return queues


async def work_off(
    queues: Mapping[str, deque[Wanted]], per_host: int, get: Callable[[Wanted], Awaitable[None]]
) -> None:
    """Empty the queues. Raises what `get` raises."""

    async def worker(queue: deque[Wanted]) -> None:
        while queue:
            await get(queue.popleft())

    workers = [worker(queue) for queue in queues.values() for _ in range(min(per_host, len(queue)))]
    try:
        async with asyncio.TaskGroup() as tasks:
            for each in workers:
                tasks.create_task(each)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # a full disk: the first tells it all


async def resolve_by(threads: int) -> None:
    """A thread for each name that is being resolved: dead hosts must not keep the others waiting."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads, "resolve"))
