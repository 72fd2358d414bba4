"""Read, decode and store the pictures of a catalog, shard by shard: the work of the Images stage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from workbench.artifacts.key import Digests
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact, fsync
from workbench.errors import ArtifactError
from workbench.images.aside import Asides
from workbench.images.disk import PIXEL, disk, encoding_of, pictures_named
from workbench.images.earlier import Earlier
from workbench.images.entry import Listing, Maker, Piece, lines_of
from workbench.images.fetched import WAITS, WEB, Fetched, say_waiting
from workbench.images.made import FLAT
from workbench.images.origin import open_pictures
from workbench.images.picture import pillow_set_up
from workbench.images.shard import FORMAT, INDEX, shard_name
from workbench.images.writer import ShardWriter, join_index, piece_of
from workbench.recipe.schema import Images

WITHOUT = "pictures.csv"  # every picture that can't be used, and why
TOGETHER = 32  # listings that a thread, or a process of a cluster, takes at once
HELD = 1 << 28  # bytes of pictures, about, that wait for a slow one before them
MANY = 1000  # listings whose small pictures are worth the start of processes, a quarter of a second each
NAMED = 5  # pictures named in a warning


def store(work: Work, images: Images, places: Sequence[Path], digests: Digests | None = None) -> Mapping[str, Any]:
    """Fill `work.folder` with shards; returns the summary. `places` holds each feed's pictures, by number of feed."""
    ingest, folder = work.inputs["ingest"], work.folder
    items = pl.read_parquet(ingest.path("items.parquet"), columns=["row", "id", "feed"])
    pictures = pl.read_parquet(ingest.path("pictures.parquet"), columns=["row", "order", "name"])
    for left in folder.glob("*.tmp"):
        left.unlink()
    encoding = encoding_of(images)
    work.console.print(disk(images, pictures_named(ingest, images)), markup=False)
    if not (folder / INDEX).exists():  # else a run was killed after its last shard
        listings = items.join(
            pictures.sort("row", "order").group_by("row", maintain_order=True).agg("order", "name"),
            on="row",
            how="left",
        ).sort("row")
        try:
            _write_shards(work, work.earlier, images, encoding, listings, places, digests)
        except ArtifactError:  # what was made earlier is damaged: all pictures are made again
            _write_shards(work, None, images, encoding, listings, places, digests)
    (folder / FORMAT).write_text(json.dumps({"side": images.side, "encoding": encoding}))
    index = pl.read_parquet(folder / INDEX, columns=["row", "order", "state", "reason", "length"])
    seen = index.join(items, on="row").join(pictures, on=["row", "order"], how="left").sort("row", "order")
    without = seen.filter(pl.col("state") != "present").rename({"name": "picture"})
    without.select("row", "id", "order", "picture", "state", "reason").write_csv(folder / WITHOUT)
    for piece in folder.glob("shard-*.parquet"):
        piece.unlink()
    _warn_of_lost_feeds(work, seen, places)
    _warn_of_large(work, without, images.too_large == "reduce")
    return {**_counts(index), "side": images.side, "encoding": encoding}


def _counts(index: pl.DataFrame) -> dict[str, Any]:
    """Listings by state (of one without a usable picture that of its first), and pictures by what is to be said."""
    present = pl.col("state") == "present"
    best = index.sort(~present, "order", maintain_order=True).unique("row", keep="first", maintain_order=True)
    reasons = index.filter(~present)["reason"].value_counts().iter_rows()
    return {
        "listings": len(best),
        **{state: int((best["state"] == state).sum()) for state in ("present", "absent", "broken")},
        "another than the first used": best.filter(present & (pl.col("order") > 0)).height,
        "pictures": index.filter(present).height,
        FLAT: index.filter(pl.col("reason") == FLAT).height,
        "reasons": dict(sorted(reasons)),
        "bytes": int(index["length"].sum()),
    }


def _write_shards(
    work: Work,
    artifact: Artifact | None,
    images: Images,
    encoding: str,
    listings: pl.DataFrame,
    places: Sequence[Path],
    digests: Digests | None,
) -> None:
    """Write the shards that a killed run has not completed, then the index of all; `artifact` is an earlier one."""
    fetched = Fetched(work)
    feeds = listings.filter(pl.col("name").is_not_null())["feed"].unique().sort()
    opened = {feed: open_pictures(places[feed], f"catalog.feeds.{feed}.pictures") for feed in feeds}
    many = work.executor.workers > 1 and len(listings) >= MANY and artifact is None
    asides = Asides(images, encoding) if many else None
    shards = list(listings.select("row", "feed", "order", "name").iter_slices(images.shard_pictures))
    paths = [work.folder / shard_name(shard) for shard in range(len(shards))]
    waiting = [shard for shard, path in enumerate(paths) if not _is_complete(path)]

    def pieces() -> Iterator[Piece]:
        for shard in waiting:
            rows: list[Listing] = shards[shard].rows()
            ready = maker.unchanged(lines_of(rows))
            yield from (maker.piece(rows[start : start + TOGETHER], ready) for start in range(0, len(rows), TOGETHER))

    with (
        work.progress("images", len(listings), done=len(listings) - sum(len(shards[s]) for s in waiting)) as progress,
        closing(asides) if asides else nullcontext(),
        _thread() as verifier,
        _thread() as syncer,
        pillow_set_up(images.max_pixels),
    ):
        earlier = Earlier(artifact, verifier)
        maker = Maker(images, encoding, opened, fetched, earlier, digests, asides)
        ahead = max(2 * work.executor.workers, int(HELD // (TOGETHER * images.side**2 * PIXEL[encoding][1])))
        with closing(work.executor.in_order(maker, pieces(), ahead)) as results:
            for shard in waiting:
                writer = ShardWriter(work.folder, shard, earlier)
                for some in islice(results, -(-len(shards[shard]) // TOGETHER)):
                    for row, order, one in some:
                        if isinstance(one, tuple):
                            writer.add(row, order, *one)
                        else:
                            writer.keep(row, order, one)
                    lost = Counter(one[0].state for _, _, one in some if isinstance(one, tuple))
                    progress.advance(len({row for row, _, _ in some}), absent=lost["absent"], broken=lost["broken"])
                writer.close()
                syncer.submit(fsync, paths[shard])  # while others are made, not after them all
    join_index(work.folder, [piece_of(path) for path in paths])


@contextmanager
def _thread() -> Iterator[ThreadPoolExecutor]:
    """What waits to be done is left undone where the run ends early, as by Ctrl-C."""
    pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _is_complete(shard: Path) -> bool:
    """Whether a killed run finished this shard: its piece of the index was written last and tells its size."""
    try:
        length = pl.read_parquet(piece_of(shard), columns=["length"])["length"].sum()
        return shard.stat().st_size == length
    except (FileNotFoundError, pl.exceptions.ComputeError):  # a machine that loses its power may leave an empty file
        return False


def _warn_of_lost_feeds(work: Work, seen: pl.DataFrame, places: Sequence[Path]) -> None:
    waits = pl.col("reason").eq_missing(pl.lit(WAITS))
    if said := say_waiting(seen.filter(waits)["name"]):
        work.warn(f"note: {said}")
    named = seen.filter(pl.col("name").is_not_null() & ~pl.col("name").str.contains(WEB))
    for feed, place in enumerate(places):
        ours = named.filter(pl.col("feed") == feed)
        if len(ours) and (ours["state"] == "absent").all():
            message = (
                f"none of the {len(ours)} pictures of catalog.feeds.{feed} is in {place}, for example "
                f"{ours['name'][0]} ({ours['reason'][0]}); set catalog.feeds.{feed}.pictures to where they are"
            )
            work.warn(f"warning: {message}")


def _warn_of_large(work: Work, without: pl.DataFrame, reduced: bool) -> None:
    large = without.filter(pl.col("reason").str.contains("images.max_pixels", literal=True))
    if len(large):
        first = large.select("picture", "reason").head(NAMED).iter_rows()
        some = ", ".join(f"{name} ({reason.partition(', more')[0]})" for name, reason in first)
        more = f" and {len(large) - NAMED} more" if len(large) > NAMED else ""
        remedy = "" if reduced else ", or set images.too_large: reduce"
        message = f"refused by images.max_pixels: {some}{more}; raise it{remedy}"
        work.warn(f"warning: {message}")
