"""How much there is to do: listings, pictures and tokens, by the artifacts that are made, else guessed from the feeds.

What is guessed here is exact after ingest (listings), images (pictures), split (parts) and tokens (lengths).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.artifacts.store import Artifact
from workbench.recipe.schema import Feed, Recipe

Made = Mapping[str, Artifact | None]
_BLOCK, _BLOCKS = 2**15, 8  # bytes of a feed that are looked at, in so many places: rows of one kind lie together
_LINE = 300.0  # bytes of a row, where that isn't seen
_PACKED = 8.0  # rows of packed feeds take so many times less
_WORDS = 14.0  # tokens of a text, where nothing is known yet


@dataclass(frozen=True)
class Counts:
    """A catalog in numbers."""

    rows: float  # of the feeds
    listings: float
    pictures: float  # stored ones
    parts: Mapping[str, float]  # listings of train, valid and test
    pictured: float  # share of the listings with a picture and a text, which pre-training reads
    tokens: float  # of a text on average, [CLS] and [SEP] included
    longest: float  # the same of the longest texts, to which others are padded
    vocabulary: int
    labelled: Mapping[str, float]  # label or text attribute -> share of the listings that have it
    guessed: bool  # whether listings are guessed from the size of the feeds


def counts(recipe: Recipe, made: Made) -> Counts:
    """From what is made and, where nothing is, from the feeds."""
    split, tokens = recipe.catalog.split, recipe.tokens
    rows = sum(rows_in(feed) for feed in recipe.catalog.feeds)
    pictured = any(feed.columns is None or feed.columns.picture for feed in recipe.catalog.feeds)
    words = min(_WORDS, tokens.max_length)
    found = Counts(
        rows=rows,
        listings=rows,
        pictures=rows * pictured,
        parts={"train": rows * split.train, "valid": rows * split.valid, "test": rows * split.test},
        pictured=float(pictured),
        tokens=words,
        longest=min(2 * words, tokens.max_length),
        vocabulary=30522 if recipe.model.bert or tokens.tokenizer else tokens.vocabulary,
        labelled={},
        guessed=True,
    )
    for stage, told in (("ingest", _ingested), ("images", _pictured), ("split", _split), ("tokens", _tokens)):
        if artifact := made.get(stage):
            found = told(found, artifact, recipe)
    return found


def _ingested(so_far: Counts, ingest: Artifact, recipe: Recipe) -> Counts:
    from workbench.images.disk import pictures_named

    listings, split = float(ingest.summary.get("listings", so_far.listings)), recipe.catalog.split
    missing = ingest.summary.get("missing", {})
    here = "pictures.parquet" in ingest.files and (ingest.folder / "pictures.parquet").exists()
    without = missing.get("picture", 0) / max(listings, 1)
    return replace(
        so_far,
        rows=float(ingest.summary.get("rows", listings)),
        listings=listings,
        pictures=float(pictures_named(ingest, recipe.images)) if here else listings,
        parts={part: listings * getattr(split, part) for part in ("train", "valid", "test")},
        pictured=1.0 - without,
        labelled={
            k.partition(".")[2]: 1 - n / max(listings, 1)
            for k, n in missing.items()
            if k.startswith(("text.", "label."))
        },
        guessed=False,
    )


def _pictured(so_far: Counts, images: Artifact, recipe: Recipe) -> Counts:
    present = images.summary.get("present", so_far.listings * so_far.pictured)
    return replace(so_far, pictured=min(1.0, present / max(so_far.listings, 1)))


def _split(so_far: Counts, split: Artifact, recipe: Recipe) -> Counts:
    return replace(so_far, parts=dict.fromkeys(so_far.parts, 0.0) | split.summary.get("listings_by_part", {}))


def _tokens(so_far: Counts, tokens: Artifact, recipe: Recipe) -> Counts:
    said, most = tokens.summary, recipe.tokens.max_length
    if "tokens" not in said:
        return so_far
    mean = min(said["tokens"] / max(so_far.listings, 1) + 2, most)
    longest = min(said["longest"] + 2, most, 3 * mean)  # the very longest text is in few batches
    return replace(so_far, tokens=mean, longest=longest, vocabulary=said["vocabulary"])


def rows_in(feed: Feed) -> float:
    """Rows of a feed, from its size and some of its lines; 10,000 of a database, of which nothing is known."""
    from workbench.catalog.feeds.layouts import source_files

    if feed.path is None or not feed.path.exists():
        return 10_000.0
    return max(1.0, sum(_rows_of(file) for file in source_files(feed.path)))


def _rows_of(file: Path) -> float:
    size = file.stat().st_size
    kind = file.suffix.lower()
    if kind == ".parquet":
        import polars as pl

        return float(pl.scan_parquet(file).select(pl.len()).collect().item())
    if kind in (".zip", ".tar", ".h5", ".hdf5", ".png", ".jpg", ".jpeg"):  # a picture, or files with pictures in them
        return max(1.0, size / 20_000)
    sample = _sample(file, size)
    if b"\0" in sample[:4096] or kind == ".gz":
        return size * _PACKED / _LINE
    if kind in (".xml", ".rss", ".atom"):
        rows = max(sample.count(word) for word in (b"<item", b"<entry", b"<product"))
    else:
        rows = sample.count(b"\n")
    return size * rows / len(sample) if rows else size / _LINE


def _sample(file: Path, size: int) -> bytes:
    """All of a small file, else blocks from its beginning to its end."""
    with file.open("rb") as opened:
        if size <= _BLOCK * _BLOCKS:
            return opened.read()
        places = [(size - _BLOCK) * i // (_BLOCKS - 1) for i in range(_BLOCKS)]
        return b"".join(opened.read(_BLOCK) for place in places if opened.seek(place) >= 0)
