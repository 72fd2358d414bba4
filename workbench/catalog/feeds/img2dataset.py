"""What img2dataset downloaded: a Parquet file a shard lists the rows, its tar or folder holds the pictures by key.

The column `image` is the picture's address. A row that failed to be downloaded is a bad row, with what the downloader
said.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.layout import PICTURES
from workbench.catalog.feeds.parquet import read_parquet
from workbench.catalog.feeds.table import BadRow, Table, excerpt

COLUMNS = {"url", "key", "status"}


def read_shards(folder: Path, shards: list[Path], limit: int | None = None) -> Iterator[Table]:
    """Stream the rows that the Parquet files `shards` list, or the first `limit`."""
    left = limit
    for path in shards:
        pictures = _pictures(path, folder)
        for table in read_parquet(path, left, path.relative_to(folder).as_posix()):
            yield _with_pictures(_without_failed(table), pictures)
            left = None if left is None else left - table.rows
        if left is not None and left <= 0:
            return


def _pictures(shard: Path, folder: Path) -> dict[str, str]:
    """Key -> address of its picture."""
    tar, beside = shard.with_suffix(".tar"), shard.with_suffix("")
    name = tar.relative_to(folder).as_posix()
    if tar.is_file():
        with suppress(tarfile.TarError, OSError, ValueError), tarfile.open(tar, "r:") as archive:
            names = [posixpath.normpath(member.name) for member in archive if member.isreg()]
            return {_key(one): f"{name}::{one}" for one in names if _is_picture(one)}
    if beside.is_dir():
        files = sorted(path.relative_to(folder).as_posix() for path in beside.iterdir())
        return {_key(one): one for one in files if _is_picture(one)}
    return {}


def _key(name: str) -> str:
    return posixpath.basename(name).partition(".")[0]


def _is_picture(name: str) -> bool:
    return name.rpartition(".")[2].lower() in PICTURES


def _without_failed(table: Table) -> Table:
    failed = table.cells.select(pl.col("status").fill_null("") != "success")["status"]
    words = [word for word in ("status", "error_message", "url") if word in table.cells.columns]
    bad = tuple(
        BadRow(
            line, (row["status"] or "no status").replace("_", " "), excerpt(f"{row.get('error_message')}: {row['url']}")
        )
        for line, row in zip(
            table.lines.filter(failed), table.cells.filter(failed).select(words).to_dicts(), strict=True
        )
    )
    return replace(
        table, cells=table.cells.filter(~failed), lines=table.lines.filter(~failed), bad=bad, read_as="img2dataset"
    )


def _with_pictures(table: Table, pictures: dict[str, str]) -> Table:
    if not pictures:
        return table  # they are in the Parquet file itself, or nowhere
    names = [pictures.get(key or "") for key in table.cells["key"]]
    return replace(table, cells=table.cells.with_columns(pl.Series("image", names, pl.String)))
