"""Folders of pictures as `datasets` knows them: with metadata.csv, .jsonl or .parquet, or a row a picture.

Names of pictures become relative to the feed's folder; a picture in a zip beside the metadata is `images.zip::a.jpg`.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import polars as pl

from workbench.catalog.feeds.joins import Reader
from workbench.catalog.feeds.layout import PICTURES, natural_key
from workbench.catalog.feeds.table import Table
from workbench.errors import DataError

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
MOST_METADATA = 2**30  # bytes of a metadata file within a zip
CHUNK_ROWS = 50_000
_SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
}
_SPLITS |= {"dev": "validation", "test": "test", "testing": "test", "eval": "test", "evaluation": "test"}


def split_of(name: str) -> str | None:
    """The split that a file's path names as a word of its own: `data/train-00000-of-00002.parquet`, `test/1.jpg`."""
    found = (_SPLITS.get(word) for part in reversed(name.lower().split("/")) for word in re.split(r"[-._ 0-9]+", part))
    return next((split for split in found if split), None)


def with_split(table: Table, name: str) -> Table:
    split = split_of(name)
    if split is None or "split" in table.cells.columns:
        return table
    return replace(table, cells=table.cells.with_columns(pl.lit(split).alias("split")))


def read_metadata(
    folder: Path, files: list[Path], limit: int | None, reader_of: Callable[[Path], Reader]
) -> Iterator[Table]:
    """Stream the rows of metadata files, or the first `limit`."""
    left = limit
    for path in files:
        name = path.relative_to(folder).as_posix()
        zips = _zipped(path.parent)
        for table in reader_of(path)(path, left):
            cells = _relative(table.cells, path.parent, PurePosixPath(name).parent, zips)
            yield with_split(replace(table, cells=cells, file=name, read_as=f"{table.read_as}, imagefolder"), name)
            left = None if left is None else left - table.rows
        if left is not None and left <= 0:
            return


def _zipped(folder: Path) -> dict[str, str]:
    """Name of a picture -> `ZIP::MEMBER`, for the zips beside the metadata."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.zip")):
        with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                found.setdefault(member, f"{path.name}::{member}")
    return found


def _relative(cells: pl.DataFrame, beside: Path, folder: PurePosixPath, zips: dict[str, str]) -> pl.DataFrame:
    """The cells, names of files relative to the feed's folder."""

    def name(text: str) -> str:
        if not text:
            return text
        found = zips.get(text, text) if text in zips and not (beside / text).exists() else text
        return (folder / found).as_posix() if found and not re.match(r"[a-z]+://", found) else found

    def names(text: str) -> str:
        listed = [text]
        with suppress(ValueError, RecursionError):
            listed = [str(one) for one in json.loads(text)] if text.startswith("[") else re.split(r"\n|, ", text)
        return json.dumps([name(one) for one in listed if one], ensure_ascii=False)

    one = [word for word in cells.columns if word == "file_name" or word.endswith("_file_name")]
    many = [word for word in cells.columns if word == "file_names" or word.endswith("_file_names")]
    if folder == PurePosixPath() and not zips:
        one = []
    return cells.with_columns(
        *(pl.col(word).map_elements(name, pl.String) for word in one),
        *(pl.col(word).map_elements(names, pl.String) for word in many),
    )


def read_pictures(folder: Path, limit: int | None, reader_of: Callable[[Path], Reader]) -> Iterator[Table]:
    """A row a picture: `id` (its path without the ending), `file_name`, `label`, `split`; zips are looked into.

    The label is the folder a picture lies in, where all lie at one depth and in more than one folder.
    """
    zips = sorted(folder.rglob("*.zip"))
    left = limit
    for table in (table for path in zips for table in _metadata_within(folder, path, left, reader_of)):
        yield table
        left = None if left is None else max(0, left - table.rows)
    names = sorted(_pictures(folder, zips), key=natural_key)
    labels = [PurePosixPath(name.replace("::", "/")).parent.name for name in names]
    told = len({name.replace("::", "/").count("/") for name in names}) == 1 and len(set(labels)) > 1
    told = told and not all(label.lower() in _SPLITS for label in labels)
    names = names[:left]
    for start in range(0, len(names), CHUNK_ROWS):
        part = names[start : start + CHUNK_ROWS]
        cells = pl.DataFrame({"id": [name.rpartition(".")[0] for name in part], "file_name": part})
        if told:
            cells = cells.with_columns(pl.Series("label", labels[start : start + CHUNK_ROWS], pl.String))
        splits = pl.Series("split", [split_of(name.rpartition("/")[0]) for name in part], pl.String)
        cells = cells.with_columns(splits) if splits.count() else cells
        lines = pl.int_range(start + 1, start + len(part) + 1, eager=True, dtype=pl.UInt32)
        yield Table(cells, lines, (), "pictures of a folder")


def _pictures(folder: Path, zips: list[Path]) -> Iterator[str]:
    for path, _, files in os.walk(folder):
        below = os.path.relpath(path, folder)
        names = files if below == "." else [f"{below}/{name}" for name in files]
        yield from filter(is_picture, names)
    for archive_path in zips:
        with suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(archive_path) as archive:
            members = archive.namelist()
            if not any(PurePosixPath(member).name in METADATA for member in members):
                within = archive_path.relative_to(folder).as_posix()
                yield from (f"{within}::{member}" for member in members if is_picture(member))


def is_picture(name: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return not hidden and name.rpartition(".")[2].lower() in PICTURES


def _metadata_within(
    folder: Path, path: Path, limit: int | None, reader_of: Callable[[Path], Reader]
) -> Iterator[Table]:
    """The rows of metadata within a zip; the metadata alone is copied out of it, for as long as it is read."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path}: can't be read as a zip ({error}); write it again") from None
    with archive, TemporaryDirectory() as aside:
        for member in archive.infolist():
            name = PurePosixPath(member.filename).name
            if name not in METADATA or member.file_size > MOST_METADATA:
                continue
            copy = Path(aside) / name
            copy.write_bytes(archive.read(member))
            within = path.relative_to(folder).as_posix() + "::"
            inner = PurePosixPath(member.filename).parent
            for table in reader_of(copy)(copy, limit):
                yield replace(table, cells=_prefixed(table.cells, within, inner), file=within + member.filename)


def _prefixed(cells: pl.DataFrame, within: str, inner: PurePosixPath) -> pl.DataFrame:
    words = [word for word in cells.columns if re.fullmatch(r"(.*_)?file_name", word)]
    return cells.with_columns(
        pl.col(word).map_elements(lambda name: within + (inner / name).as_posix(), pl.String) for word in words
    )
