"""Read, decode and store the pictures of a catalog, shard by shard: the work of the Images stage."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from workbench.artifacts.stage import Work
from workbench.images.origin import Absent, Pictures, open_pictures
from workbench.images.picture import Broken, own_pixel_limit, square
from workbench.images.shard import FORMAT, INDEX, SCHEMA, Entry, ShardWriter, piece_of, shard_name, write_parquet
from workbench.recipe.schema import Images

In = TypeVar("In")
Out = TypeVar("Out")

AUTO_PNG = 96  # pixels: up to this side a lossless picture is small enough
WITHOUT = "pictures.csv"  # every listing that has no usable picture, and why


def store(work: Work, images: Images, places: Sequence[Path]) -> Mapping[str, Any]:
    """Fill `work.folder` with shards; returns the summary. `places` holds each feed's pictures, by number of feed."""
    items = pl.read_parquet(work.inputs["ingest"].path("items.parquet"), columns=["row", "id", "feed", "picture"])
    folder = work.folder
    for left in folder.glob("*.tmp"):
        left.unlink()
    encoding = images.encoding if images.encoding != "auto" else "png" if images.side <= AUTO_PNG else "jpeg"
    if not (folder / INDEX).exists():  # else a run was killed after its last shard
        _write_shards(work, images, encoding, items, places)
    index = pl.read_parquet(folder / INDEX)
    (folder / FORMAT).write_text(json.dumps({"side": images.side, "encoding": encoding}))
    joined = items.hstack(index.select("state", "reason"))
    without = joined.filter(pl.col("state") != "present")
    without.select("row", "id", "picture", "state", "reason").write_csv(folder / WITHOUT)
    for piece in folder.glob("shard-*.parquet"):
        piece.unlink()
    _warn_of_lost_feeds(work, joined, places)
    return {
        "listings": len(index),
        **{state: int((index["state"] == state).sum()) for state in ("present", "absent", "broken")},
        "reasons": dict(sorted(without["reason"].value_counts().iter_rows())),
        "bytes": int(index["length"].sum()),
        "side": images.side,
        "encoding": encoding,
    }


def _write_shards(work: Work, images: Images, encoding: str, items: pl.DataFrame, places: Sequence[Path]) -> None:
    """Write the shards that a killed run has not completed, then the index of all."""
    named = items.filter(pl.col("picture").is_not_null())["feed"].unique().sort()
    opened = {feed: open_pictures(places[feed], f"catalog.feeds.{feed}.pictures") for feed in named}
    threads = work.runtime.threads or len(os.sched_getaffinity(0))

    def entry(line: tuple[int, str | None]) -> Entry:
        feed, name = line
        return _entry(opened[feed], name, images, encoding) if name else Entry("absent", "no picture is named")

    pieces = []
    with _progress(work) as progress, ThreadPoolExecutor(threads) as pool, own_pixel_limit():
        bar = progress.add_task("pictures", total=len(items))
        for shard, start in enumerate(range(0, len(items), images.shard_pictures)):
            lines = items[start : start + images.shard_pictures]
            path = work.folder / shard_name(shard)
            pieces.append(piece_of(path))
            if _is_complete(path):
                progress.advance(bar, len(lines))
                continue
            writer = ShardWriter(work.folder, shard, start)
            for made in _in_order(pool, entry, lines.select("feed", "picture").iter_rows(), 4 * threads):
                writer.add(made)
                progress.advance(bar)
            writer.close()
    write_parquet(
        pl.concat([pl.DataFrame(schema=SCHEMA), *(pl.read_parquet(piece) for piece in pieces)]), work.folder / INDEX
    )


def _is_complete(shard: Path) -> bool:
    """Whether a killed run finished this shard: its piece of the index was written last and tells its size."""
    piece = piece_of(shard)
    return piece.exists() and shard.stat().st_size == pl.read_parquet(piece)["length"].sum()


def _in_order(pool: ThreadPoolExecutor, work: Callable[[In], Out], inputs: Iterable[In], ahead: int) -> Iterator[Out]:
    """`pool.map` with at most `ahead` results in memory."""
    waiting: deque[Future[Out]] = deque()
    for one in inputs:
        waiting.append(pool.submit(work, one))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _entry(pictures: Pictures, name: str, images: Images, encoding: str) -> Entry:
    try:
        data = pictures.read(name)
    except Absent as absent:
        return Entry("absent", str(absent))
    except OSError as error:
        return Entry("broken", f"can't be read: {error.strerror}")
    except ValueError as error:
        return Entry("broken", str(error))
    digest = hashlib.sha256(data).hexdigest()
    try:
        found = square(data, images.side, images.background, images.max_pixels)
    except Broken as broken:
        return Entry("broken", str(broken), sha256=digest)
    out = io.BytesIO()
    if encoding == "png":
        found.image.save(out, "PNG")
    else:
        found.image.save(out, "JPEG", quality=images.quality, subsampling=0)
    return Entry("present", None, out.getvalue(), digest, found.width, found.height)


def _warn_of_lost_feeds(work: Work, joined: pl.DataFrame, places: Sequence[Path]) -> None:
    named = joined.filter(pl.col("picture").is_not_null())
    for feed, place in enumerate(places):
        ours = named.filter(pl.col("feed") == feed)
        if len(ours) and (ours["state"] == "absent").all():
            message = (
                f"none of the {len(ours)} pictures of catalog.feeds.{feed} is in {place}, for example "
                f"{ours['picture'][0]} ({ours['reason'][0]}); set catalog.feeds.{feed}.pictures to where they are"
            )
            work.console.print(f"[yellow]warning:[/] {escape(message)}")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} pictures/s")


def _progress(work: Work) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
    return Progress(*columns, console=work.console)
