"""A folder as one feed: which kind of data set it is, and its files in their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from workbench.catalog.feeds import img2dataset
from workbench.catalog.feeds.arrow import read_arrow
from workbench.catalog.feeds.cells import damaged
from workbench.catalog.feeds.hdf5 import read_hdf5
from workbench.catalog.feeds.imagefolder import METADATA, read_metadata, read_pictures, with_split
from workbench.catalog.feeds.joins import Reader, read_layout
from workbench.catalog.feeds.layout import Layout, Listing, matches
from workbench.catalog.feeds.layouts import LAYOUTS
from workbench.catalog.feeds.parquet import read_parquet
from workbench.catalog.feeds.table import Table
from workbench.catalog.feeds.webdataset import read_tars
from workbench.errors import DataError

_FEEDS = (".csv", ".tsv", ".tab", ".psv", ".jsonl", ".ndjson", ".xml", ".xlsx", ".ods", ".h5", ".hdf5")
READABLE = (*_FEEDS, ".json", ".txt")
_NO_ROWS = ("readme", "license", "licence", "notice", "dataset_info", "dataset_infos", "requirements")


def read_folder(folder: Path, limit: int | None, reader_of: Callable[[Path], Reader]) -> Iterator[Table]:
    """Stream the rows of a folder, or the first `limit`; `reader_of` gives the reader of one file.

    Tried in this order: the layout of a published data set, a saved `datasets` data set, img2dataset, feed files at
    its top, WebDataset, an image folder with metadata, Parquet and Arrow shards, feed files below, pictures alone.
    Raises DataError where it is none of these, or holds feeds of several kinds.
    """
    listing = Listing(folder)
    if layout := _layout(listing, reader_of):
        yield from read_layout(layout, listing, layout.files(listing), limit, reader_of)
    elif saved := _saved(folder):
        yield from _in_turn(folder, saved, limit, lambda path: read_arrow)
    elif shards := _downloaded(listing):
        yield from img2dataset.read_shards(folder, shards, limit)
    elif files := _feeds(listing, top=True):
        yield from _in_turn(folder, files, limit, reader_of)
    elif tars := listing.ending(".tar"):
        yield from (with_split(table, table.file) for table in read_tars(folder, tars, limit))
    elif files := [path for path in listing.ending(*METADATA) if path.name in METADATA]:
        yield from read_metadata(folder, files, limit, reader_of)
    elif shards := listing.ending(".parquet") or listing.ending(".arrow"):
        yield from _in_turn(folder, shards, limit, reader_of)
    elif files := _feeds(listing, top=False):
        yield from _in_turn(folder, files, limit, reader_of)
    elif listing.pictures or listing.ending(".zip"):
        yield from read_pictures(folder, limit, reader_of)
    else:
        raise DataError(
            f"{folder}: the folder holds no feed; expected a data set of a known layout (docs/feeds.md), shards of "
            f".tar, .parquet or .arrow, one of {', '.join(READABLE)}, or pictures"
        )


def layout_beside(path: Path, reader_of: Callable[[Path], Reader]) -> Layout | None:
    """The layout to which one file with rows belongs that other files say more of, or that has no header."""
    for layout in LAYOUTS:
        fits = (layout.joins or layout.header) and matches(layout.rows, path.name)
        if fits and set(layout.words) <= set(_header(path, reader_of(path)) if layout.words else ()):
            return layout
    return None


def read_beside(layout: Layout, path: Path, limit: int | None, reader_of: Callable[[Path], Reader]) -> Iterator[Table]:
    """Stream one file of a layout, or its first `limit` rows, joined with what lies in its folder."""
    for table in read_layout(layout, Listing(path.parent), [path], limit, reader_of):
        yield replace(table, file="")


def _layout(listing: Listing, reader_of: Callable[[Path], Reader]) -> Layout | None:
    for layout in LAYOUTS:
        files = layout.files(listing)
        if files and (not layout.words or set(layout.words) <= set(_header(files[0], reader_of(files[0])))):
            return layout
    return None


def _header(path: Path, reader: Reader) -> list[str]:
    try:
        return next(reader(path, 1)).cells.columns
    except (DataError, OSError, EOFError, StopIteration):
        return []


def _saved(folder: Path) -> list[Path]:
    """The Arrow files of `save_to_disk`, as its notes list them; those of a DatasetDict split after split."""
    notes = folder / "dataset_dict.json"
    with damaged(notes, "what `save_to_disk` writes", "save the data set again"):
        splits = [folder / name for name in json.loads(notes.read_bytes())["splits"]] if notes.is_file() else [folder]
        states = [split / "state.json" for split in splits]
        if not all(state.is_file() for state in states):
            return []
        lists = [(state.parent, json.loads(state.read_bytes())["_data_files"]) for state in states]
        files = [split / file["filename"] for split, listed in lists for file in listed]
        root = folder.resolve()
        return [path for path in files if path.resolve().is_relative_to(root)]


def _downloaded(listing: Listing) -> list[Path]:
    """The Parquet files of img2dataset: each lists a shard's rows."""
    files = listing.ending(".parquet")
    return files if files and set(_header(files[0], read_parquet)) >= img2dataset.COLUMNS else []


def _in_turn(
    folder: Path, files: list[Path], limit: int | None, reader_of: Callable[[Path], Reader]
) -> Iterator[Table]:
    """File after file; addresses of pictures, and `file`, are relative to the folder."""
    left = limit
    for path in files:
        name = path.relative_to(folder).as_posix()
        reader = reader_of(path)
        if reader in _WITH_ADDRESSES:
            reader = partial(reader, file=name)
        for table in reader(path, left):
            yield with_split(replace(table, file=name), name)
            left = None if left is None else left - table.rows
        if left is not None and left <= 0:
            return


def _feeds(listing: Listing, top: bool) -> list[Path]:
    """The feed files of a folder, of one kind; `top`: those that lie in it directly and surely are feeds."""
    endings = _FEEDS if top else READABLE
    names = [name for name in listing.names if _ending(name) in endings and not (top and "/" in name)]
    paths = [Path(name) for name in names]
    paths = [path for path in paths if path.name not in METADATA and path.stem.lower() not in _NO_ROWS]
    paths = [path for path in paths if path.suffix != ".txt"] or paths
    if len({_ending(path.name) for path in paths}) > 1:
        told = ", ".join(path.as_posix() for path in paths[:8])
        raise DataError(f"{listing.folder}: holds feeds of several kinds ({told}); give the path of one as the feed")
    return [listing.folder / path for path in paths]


def _ending(name: str) -> str:
    return Path(name.lower().removesuffix(".gz")).suffix


_WITH_ADDRESSES = (read_parquet, read_arrow, read_hdf5)
