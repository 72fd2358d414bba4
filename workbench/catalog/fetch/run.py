"""The work of the Fetch stage: what is wanted, what is known of it, the downloads, and the table."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import polars as pl
from anyio.from_thread import start_blocking_portal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact, Store
from workbench.catalog.fetch.content import Content
from workbench.catalog.fetch.download import Downloader, hosts_of
from workbench.catalog.fetch.results import Journal, Result, as_results, as_table
from workbench.errors import DataError
from workbench.recipe.schema import Fetch

FETCHED = "fetched.parquet"
JOURNAL = "journal.tmp"  # no part of the artifact: `Store.commit` removes what is named so
WEB = r"^[a-zA-Z][a-zA-Z0-9+.-]+://|^//[^/]*\."  # what a picture's name must begin with to be a web address
SAMPLE = 24  # pictures fetched first, by whose bytes the others' are estimated
MOST_TOLD = 20  # reasons and hosts in the summary


def run_fetch(work: Work, fetch: Fetch, max_pixels: int, main_only: bool) -> Mapping[str, Any]:
    """Fill `work.folder`; returns the summary. What an earlier run or a killed one has is not fetched again."""
    urls = web_addresses(work.inputs["ingest"], main_only)
    for left in work.folder.glob("*.tmp"):
        if left.name != JOURNAL:
            left.unlink()
    content, journal = Content(work.runtime.cache / "pictures"), Journal(work.folder / JOURNAL)
    known, fresh = _earlier(work.runtime.cache, urls, fetch.snapshot)
    known = {url: r for url, r in known.items() if content.has(r) and (r.bytes or 0) <= fetch.max_bytes}
    results = {url: known[url] for url in fresh & known.keys()}
    results |= {url: r for url, r in journal.results.items() if r.state != "fetched" or content.has(r)}
    todo = [url for url in urls if url not in results]
    try:
        _Run(work, fetch, max_pixels, content, journal, known).fetch(todo, len(urls) - len(todo))
    finally:
        journal.close()
    results |= {url: journal.results[url] for url in todo}
    table = as_table([results[url] for url in urls])
    aside = work.folder / f"{FETCHED}.tmp"
    table.write_parquet(aside)
    aside.replace(work.folder / FETCHED)
    return _summary(table)


def web_addresses(ingest: Artifact, main_only: bool) -> list[str]:
    """Every distinct web address among the pictures' names, in the order of first use."""
    pictures = pl.read_parquet(ingest.path("pictures.parquet"), columns=["row", "order", "name"]).sort("row", "order")
    names = pictures.filter(pl.col("order") == 0)["name"] if main_only else pictures["name"]
    return names.filter(names.str.contains(WEB)).unique(maintain_order=True).to_list()


def _earlier(cache: Path, urls: Sequence[str], snapshot: str) -> tuple[dict[str, Result], set[str]]:
    """What earlier artifacts fetched of these addresses, and which of them were fetched for this snapshot."""
    wanted = pl.DataFrame({"url": urls}, {"url": pl.String})
    tables = [
        pl.read_parquet(artifact.path(FETCHED))
        .filter(pl.col("state") == "fetched")
        .join(wanted, on="url", how="semi")
        .with_columns(fresh=pl.lit(artifact.ingredients["section"]["fetch"]["snapshot"] == snapshot))
        for artifact in Store(cache).all_of("fetch")
    ]
    if not tables:
        return {}, set()
    best = pl.concat(tables).sort("fresh", maintain_order=True).unique("url", keep="last", maintain_order=True)
    return as_results(best), set(best.filter("fresh")["url"])


class _Run:
    """The downloads of one run, with their progress."""

    def __init__(
        self, work: Work, fetch: Fetch, max_pixels: int, content: Content, journal: Journal, known: Mapping[str, Result]
    ) -> None:
        self._work, self._fetch, self._max_pixels = work, fetch, max_pixels
        self._content, self._journal, self._known = content, journal, known
        self._without = 0

    def fetch(self, urls: Sequence[str], have: int) -> None:
        """Download; Ctrl-C and SIGTERM meet this thread as it waits, never the event loop, which has its own."""
        if not urls:
            return
        self._say(f"{len(urls):,} pictures at {len(hosts_of(urls)):,} hosts to fetch; {have:,} are here already")
        columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
        with Progress(*columns, console=self._work.console) as self._progress, start_blocking_portal() as portal:
            self._bar = self._progress.add_task("pictures", total=len(urls), received=0, without=0)
            running = portal.start_task_soon(self._all, urls)
            while not wait([running], timeout=0.2).done:  # polars' signal handler restarts a wait without a limit
                pass
            running.result()

    async def _all(self, urls: Sequence[str]) -> None:
        self._downloader = Downloader(self._fetch, self._max_pixels, self._content, self._work.folder)
        try:
            if len(urls) > SAMPLE:
                sample = [urls[i * len(urls) // SAMPLE] for i in range(SAMPLE)]
                await self._these(sample)
                self._judge(len(urls))
            await self._these([url for url in urls if url not in self._journal.results])
        finally:
            await self._downloader.close()

    def _judge(self, pictures: int) -> None:
        """The data saver: what the sample lets expect, and the limit that it must stay below."""
        about, most = self._downloader.received / SAMPLE * pictures, self._fetch.most_bytes
        found = f"about {_size(about)} to download, by {SAMPLE} pictures of {pictures:,}"
        if about > most:
            raise DataError(
                f"fetch.most_bytes: {found}; expected at most {_size(most)}; raise it, or take fewer pictures "
                "(images.use: main, fewer feeds)"
            )
        self._say(f"{found} (fetch.most_bytes: {_size(most)})")

    async def _these(self, urls: Iterable[str]) -> None:
        """Each host's addresses in their order, by as many workers as it may have."""
        workers = []
        for queue in map(deque, hosts_of(urls).values()):
            workers += [self._work_off(queue) for _ in range(min(self._fetch.pace.per_host, len(queue)))]
        try:
            async with asyncio.TaskGroup() as tasks:
                for worker in workers:
                    tasks.create_task(worker)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None  # a full disk: the first tells it all

    async def _work_off(self, queue: deque[str]) -> None:
        while queue:
            url = queue.popleft()
            result = await self._downloader.get(url, self._known.get(url))
            self._journal.add(result)
            self._without += result.state != "fetched"
            received = self._downloader.received
            self._progress.update(self._bar, advance=1, received=received, without=self._without)

    def _say(self, text: str) -> None:
        self._work.console.print(f"  {text}", soft_wrap=True, markup=False)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed, received, without = task.speed or 0, _size(task.fields["received"]), task.fields["without"]
        return Text(f"{speed:,.0f} pictures/s, {received}" + (f", {without:,} not to be had" if without else ""))


def _size(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _summary(table: pl.DataFrame) -> dict[str, Any]:
    states = dict(table.select("url", "state").iter_rows())
    hosts = {host: Counter(states[url] for url in urls) for host, urls in hosts_of(states).items()}
    largest = sorted(hosts, key=lambda host: -hosts[host].total())[:MOST_TOLD]
    count = Counter(states.values())
    return {
        "addresses": len(states),
        **{state: count[state] for state in ("fetched", "absent", "broken")},
        "bytes": int(table.unique("sha256")["bytes"].sum()),
        "reasons": dict(Counter(table["reason"].drop_nulls().sort()).most_common(MOST_TOLD)),
        "hosts": {host or "(no host)": dict(sorted(hosts[host].items())) for host in largest},
    }
