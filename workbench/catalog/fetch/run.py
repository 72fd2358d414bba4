"""The work of the Fetch stage: what is wanted, what is known of it, the downloads, and the table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from typing import Any

import polars as pl

from workbench.artifacts.executor import Threads
from workbench.artifacts.shared import store_of
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact, Store
from workbench.catalog.fetch.content import Content
from workbench.catalog.fetch.here import Here
from workbench.catalog.fetch.hosts import Downloads, Wanted
from workbench.catalog.fetch.results import Journal, Result, as_results, as_table
from workbench.catalog.fetch.safe import UNNAMED
from workbench.catalog.fetch.turns import Turns
from workbench.errors import DataError
from workbench.recipe.schema import Fetch

FETCHED = "fetched.parquet"
JOURNAL = "journal.tmp"  # no part of the artifact: `Store.commit` removes what is named so
WEB = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://|//[^/]*\.")  # what a picture's name must begin with to be a web address
HOST = re.compile(r"(?:https?:)?//(?:[^/?#]*@)?([^/?#]*)", re.I)
SAMPLE = 24  # pictures fetched first, by whose bytes the others' are estimated
MOST_TOLD = 20  # reasons and hosts in the summary


def run_fetch(work: Work, fetch: Fetch, max_pixels: int, main_only: bool) -> Mapping[str, Any]:
    """Fill `work.folder`; returns the summary. What an earlier run or a killed one has is not fetched again.

    Of a listing of which only the main picture is wanted, the next one is fetched where that is not to be had.
    """
    for left in work.folder.glob("*.tmp"):
        if left.name != JOURNAL:
            left.unlink()
    listings = _listings(work.inputs["ingest"], main_only)
    store, journal = store_of(work.runtime), Journal(work.folder / JOURNAL)
    content = Content(store.root / "pictures", store.bucket)
    known, fresh = _earlier(store, _web(chain.from_iterable(listings)), fetch.snapshot)
    known = {u: r for u, r in known.items() if content.has(r.sha256, r.bytes) and (r.bytes or 0) <= fetch.max_bytes}
    had = {url: known[url] for url in fresh & known.keys()}
    had |= {u: r for u, r in journal.results.items() if r.state != "fetched" or content.has(r.sha256, r.bytes)}
    results: dict[str, Result] = {}
    with closing(journal), _Downloads(work, fetch, max_pixels, content, journal, known) as downloads:
        while listings:
            urls = [url for url in _web(names[0] for names in listings) if url not in results]
            downloads.get([url for url in urls if url not in had], len(urls))
            results |= {url: had.get(url) or journal.results[url] for url in urls}
            failed = {url for url in urls if results[url].state != "fetched"}
            listings = [names[1:] for names in listings if names[0] in failed and len(names) > 1]
    content.share({r.sha256: r.bytes for r in results.values() if r.sha256 and r.bytes})
    table = as_table([*results.values()])
    aside = work.folder / f"{FETCHED}.tmp"
    table.write_parquet(aside)
    aside.replace(work.folder / FETCHED)
    summary = _summary(table)
    for line in _lost(table):
        work.console.print(f"  {line}", soft_wrap=True, markup=False)
    return summary


def _lost(table: pl.DataFrame) -> Iterator[str]:
    """What to do about those that are absent."""
    absent = table.filter(pl.col("state") == "absent")
    unnamed = absent.filter(pl.col("reason").str.ends_with(UNNAMED))
    if len(unnamed):
        hosts = [host for host in _by_host(unnamed["url"]) if host]
        yield (
            f"{len(unnamed):,} are at {', '.join(hosts[:MOST_TOLD])}, in your own network: if you trust this feed, "
            f"`fetch: {{allow_hosts: [{', '.join(hosts[:MOST_TOLD])}]}}` lets a run ask there"
        )
    if rest := len(absent) - len(unnamed):
        yield f"{rest:,} are not to be had; another word for `fetch.retry` asks for them again"


def _listings(ingest: Artifact, main_only: bool) -> list[list[str]]:
    """Names of pictures, of which the first that can be had is wanted: those of each listing, or each by itself."""
    pictures = pl.read_parquet(ingest.path("pictures.parquet"), columns=["row", "order", "name"]).drop_nulls()
    pictures = pictures.sort("row", "order")
    if not main_only:
        return [[name] for name in pictures["name"]]
    return pictures.group_by("row", maintain_order=True).agg("name")["name"].to_list()


def _web(names: Iterable[str]) -> list[str]:
    """The distinct web addresses among names of pictures, in their order."""
    return [name for name in dict.fromkeys(names) if WEB.match(name)]


def _earlier(store: Store, urls: Sequence[str], snapshot: str) -> tuple[dict[str, Result], set[str]]:
    """What earlier artifacts fetched of these addresses, and which of them were fetched for this snapshot."""
    wanted = pl.DataFrame({"url": urls}, {"url": pl.String})
    tables = [
        pl.read_parquet(store.here(artifact).path(FETCHED))
        .filter(pl.col("state") == "fetched")
        .join(wanted, on="url", how="semi")
        .with_columns(fresh=pl.lit(artifact.ingredients["section"]["fetch"]["snapshot"] == snapshot))
        for artifact in store.all_of("fetch")
    ]
    if not tables:
        return {}, set()
    best = pl.concat(tables).sort("fresh", maintain_order=True).unique("url", keep="last", maintain_order=True)
    return as_results(best), set(best.filter("fresh")["url"])


def _by_host(urls: Iterable[str]) -> dict[str, list[str]]:
    """Addresses by host (and port), as they write it, in the order of first use; "" for what names none."""
    by_host: dict[str, list[str]] = {}
    for url in urls:
        found = HOST.match(url)
        by_host.setdefault(found[1].lower() if found else "", []).append(url)
    return by_host


class _Downloads:
    """The downloads of one run, with their progress."""

    def __init__(
        self, work: Work, fetch: Fetch, max_pixels: int, content: Content, journal: Journal, known: Mapping[str, Result]
    ) -> None:
        self._work, self._fetch, self._journal, self._known = work, fetch, journal, known
        here = isinstance(work.executor, Threads)  # they share one interpreter, and so one event loop
        kind = Here if here else partial(Turns, work.executor)
        self._downloads: Downloads = kind(fetch, max_pixels, content, work.folder, self._done)
        self._progress = work.progress("fetch", 0, "pictures")
        self._exits = ExitStack()

    def __enter__(self) -> _Downloads:
        self._exits.enter_context(self._downloads)
        return self

    def __exit__(self, *error: Any) -> None:
        self._exits.__exit__(*error)

    def get(self, urls: Sequence[str], of: int) -> None:
        """Download; a few first, by which the others are estimated."""
        if not urls:
            return
        hosts = len(_by_host(urls))
        at = f"{hosts:,} hosts" if hosts > 1 else "one host"
        self._say(f"{len(urls):,} pictures at {at} to fetch; {of - len(urls):,} are here")
        if not self._progress.total:
            self._exits.enter_context(self._progress)
        self._progress.total = (self._progress.total or 0) + len(urls)
        wanted, begun = [Wanted(url, self._known.get(url)) for url in urls], self._downloads.received
        if len(wanted) > SAMPLE:
            places = {i * len(wanted) // SAMPLE for i in range(SAMPLE)}
            self._downloads.get([wanted[i] for i in sorted(places)])
            self._judge(self._downloads.received - begun, len(wanted))
            wanted = [one for i, one in enumerate(wanted) if i not in places]
        self._downloads.get(wanted)

    def _judge(self, received: int, pictures: int) -> None:
        """The data saver: what the sample lets expect, and the limit that it must stay below."""
        if not received:
            return self._say(f"none of the first {SAMPLE} is to be had")
        about, most = received / SAMPLE * pictures, self._fetch.most_bytes
        found = f"about {_size(about)} to download, by {SAMPLE} pictures of {pictures:,}"
        if about > most:
            raise DataError(
                f"fetch.most_bytes: {found}; expected at most {_size(most)}; raise it, or take fewer pictures "
                "(images.use: main, fewer feeds)"
            )
        self._say(f"{found} (fetch.most_bytes: {_size(most)})")

    def _done(self, result: Result) -> None:
        self._journal.add(result)
        self._progress.advance(1, absent=result.state == "absent", broken=result.state == "broken")

    def _say(self, text: str) -> None:
        self._work.console.print(f"  {text}", soft_wrap=True, markup=False)


def _size(size: float) -> str:
    unit, name = (1e9, "GB") if size >= 1e9 else (1e6, "MB") if size >= 1e6 else (1e3, "kB")
    return f"{size / unit:,.1f} {name}"


def _summary(table: pl.DataFrame) -> dict[str, Any]:
    states = dict(table.select("url", "state").iter_rows())
    hosts = {host: Counter(states[url] for url in urls) for host, urls in _by_host(states).items()}
    largest = sorted(hosts, key=lambda host: -hosts[host].total())[:MOST_TOLD]
    count = Counter(states.values())
    return {
        "addresses": len(states),
        **{state: count[state] for state in ("fetched", "absent", "broken")},
        "bytes": int(table.unique("sha256")["bytes"].sum()),
        "reasons": dict(Counter(table["reason"].drop_nulls().sort()).most_common(MOST_TOLD)),
        "hosts": {host or "(no host)": dict(sorted(hosts[host].items())) for host in largest},
    }
