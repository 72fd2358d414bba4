"""One product's way through every step: its lines in the feed, what cleaning made of them, its kin, its part of the
split, its pictures and its tokens; or why it was dropped."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from workbench.artifacts.store import Artifact
from workbench.catalog.feeds.read import open_source
from workbench.errors import DataError
from workbench.recipe.schema import Feed
from workbench.report.places import names, place
from workbench.text.tokens import TokenTable

Step = tuple[str, list[str]]  # a headline, and the lines below it
Line = dict[str, Any]
MOST_KIN = 20


def why(artifacts: Mapping[str, Artifact], feeds: Sequence[Feed], product: str) -> Iterator[Step]:
    """The steps of the listing with this id, and of the dropped rows that had it.

    `artifacts` are those of ingest, images, duplicates, split and tokens. A word that is no id but stands in a row of
    one listing only, as the SKU of a variant, means that listing. DataError, naming the nearest ids, for any other.
    """
    items = pl.scan_parquet(artifacts["ingest"].path("items.parquet"))
    drops = pl.read_parquet(artifacts["ingest"].path("drops.parquet")).filter(pl.col("id") == product)
    item = items.filter(pl.col("id") == product).collect()
    if item.is_empty() and drops.is_empty():
        rows = _rows_that_hold(product, feeds, artifacts["ingest"])
        if len(rows) != 1:
            raise DataError(f"no row of the feeds has the id {product!r}{_nearest(items, product)}")
        item = items.filter(pl.col("row").is_in(rows)).collect()
    for drop, cells in _raw(feeds, drops.to_dicts()):
        yield f"{place(names(feeds), drop)}, dropped: {drop['reason']}", [drop["detail"], *cells]
    if not item.is_empty():
        yield from _steps(artifacts, feeds, item.row(0, named=True))


def _steps(artifacts: Mapping[str, Artifact], feeds: Sequence[Feed], item: Mapping[str, Any]) -> Iterator[Step]:
    row = item["row"]
    for source, cells in _raw(feeds, _of(row, artifacts["ingest"], "sources.parquet")):
        yield f"{place(names(feeds), source)}, read as {source['role']}", cells
    told = [f"{name}: {value}" for name, value in item.items() if name not in ("row", "feed") and _said(value)]
    yield f"listing: row {row}", told
    yield "pictures", _pictures(artifacts, row)
    yield "duplicates", _kin(artifacts, row)
    yield "split", _part(artifacts, row)
    yield "tokens", _tokens(artifacts["tokens"], row)


def _rows_that_hold(word: str, feeds: Sequence[Feed], ingest: Artifact) -> list[int]:
    """Rows of the listings that have the word as a cell in any of their lines of the feeds."""
    sources = pl.scan_parquet(ingest.path("sources.parquet"))
    rows: set[int] = set()
    for number, feed in enumerate(feeds):
        for table in open_source(feed):
            lines = table.lines.filter(table.cells.select(pl.any_horizontal(pl.all() == word)).to_series())
            held = (pl.col("feed") == number) & (pl.col("file") == table.file) & pl.col("line").is_in(lines.implode())
            rows |= set(sources.filter(held).collect()["row"]) if len(lines) else set()
    return sorted(rows)


def _of(row: int, artifact: Artifact, file: str) -> list[Line]:
    return pl.scan_parquet(artifact.path(file)).filter(pl.col("row") == row).collect().to_dicts()


def _said(value: object) -> bool:
    return value is not None and value != ""


def _raw(feeds: Sequence[Feed], rows: Sequence[Line]) -> list[tuple[Line, list[str]]]:
    """Rows of the feeds, each with its cells as the feed has them; none for a row that could not be read."""
    cells: dict[tuple[int, str, int], list[str]] = {}
    for number in {row["feed"] for row in rows}:
        wanted = {(row["file"], row["line"]) for row in rows if row["feed"] == number}
        for table in open_source(feeds[number]):
            for file, line in list(wanted):
                if table.file == file and (at := table.lines.index_of(line)) is not None:
                    told = table.cells.row(at, named=True).items()
                    cells[number, file, line] = [f"{word}: {cell}" for word, cell in told if _said(cell)]
                    wanted.discard((file, line))
            if not wanted:
                break
    return [(row, cells.get((row["feed"], row["file"], row["line"]), [])) for row in rows]


def _pictures(artifacts: Mapping[str, Artifact], row: int) -> list[str]:
    names = {p["order"]: (p["role"], p["name"]) for p in _of(row, artifacts["ingest"], "pictures.parquet")}
    index = {p["order"]: p for p in _of(row, artifacts["images"], "index.parquet")}
    lines = []
    for final in sorted(_of(row, artifacts["duplicates"], "pictures.parquet"), key=lambda p: p["order"]):
        role, name = names.get(final["order"], ("main", "none is named"))
        seen = index[final["order"]]
        size = f", {seen['width']} x {seen['height']} px, SHA-256 {seen['sha256'][:12]}" if seen["width"] else ""
        lines.append(f"{role}: {name}: {final['state']}{size}{_because(final)}")
    used = set(index)
    lines += [f"{role}: {name}: not used (images.use)" for o, (role, name) in sorted(names.items()) if o not in used]
    return lines


def _because(line: Mapping[str, Any]) -> str:
    return f" ({line['reason']})" if line["reason"] else ""


def _kin(artifacts: Mapping[str, Artifact], row: int) -> list[str]:
    either = (pl.col("left") == row) | (pl.col("right") == row)
    pairs = pl.scan_parquet(artifacts["duplicates"].path("pairs.parquet")).filter(either).collect()
    other = pl.when(pl.col("left") == row).then("right").otherwise("left").alias("row")
    items = pl.scan_parquet(artifacts["ingest"].path("items.parquet")).select("row", "id", "title")
    kin = pairs.select(other, "kind", "score").join(items.collect(), on="row").sort("kind", "row")
    lines = [
        f"{k['kind']} as {k['id']} ({k['score']:.2f}): {k['title']}" for k in kin.head(MOST_KIN).iter_rows(named=True)
    ]
    more = [f"and {kin.height - MOST_KIN} more"] if kin.height > MOST_KIN else []
    return [*lines, *more] or ["none"]


def _part(artifacts: Mapping[str, Artifact], row: int) -> list[str]:
    (here,) = _of(row, artifacts["split"], "split.parquet")
    split = pl.scan_parquet(artifacts["split"].path("split.parquet"))
    size = split.filter(pl.col("component") == here["component"]).collect().height
    part = here["part"] or "in no part"
    together = f"with {size - 1} others that are kin, on one side together" if size > 1 else "without kin"
    return [f"{part}{_because(here)}", together]


def _tokens(tokens: Artifact, row: int) -> list[str]:
    table = TokenTable(tokens.folder)
    ids = table.ids(row)
    return [table.tokenizer.decode(ids), f"{len(ids)} tokens: {' '.join(map(str, ids))}"]


def _nearest(items: pl.LazyFrame, product: str) -> str:
    near = difflib.get_close_matches(product, items.select("id").head(100_000).collect()["id"].to_list(), n=3)
    return f"; near it: {', '.join(near)}" if near else "; see items.parquet and drops.csv"
