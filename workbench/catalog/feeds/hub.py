"""A data set of the `datasets` library by name: loaded into that library's cache, then read there as Arrow files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from workbench.catalog.feeds.arrow import read_arrow
from workbench.catalog.feeds.table import Table
from workbench.errors import DataError


def read_dataset(dataset: str, limit: int | None = None) -> Iterator[Table]:
    """Stream the rows of NAME, all splits in turn, or of NAME:SPLIT; the column `split` names each row's.

    Addresses of pictures are below the cache of Hugging Face libraries (HF_HOME). Raises DataError when the data set
    can't be loaded: no such name, no network, no right to read it.
    """
    home, files = _load(dataset)
    left = limit
    for split, path in files:
        for table in read_arrow(path, left, _below(path, home)):
            named = pl.lit(split).alias("split" if "split" not in table.cells.columns else "split (2)")
            yield replace(table, cells=table.cells.with_columns(named), read_as="datasets")
            left = None if left is None else left - table.rows


def _load(dataset: str) -> tuple[Path, list[tuple[str, Path]]]:
    """(home of the cache, each Arrow file with its split)."""
    import datasets

    name, _, split = dataset.partition(":")
    if "[" in split:
        raise DataError(f"{dataset}: {split!r} is no split; give the name of one, such as {name}:train")
    try:
        loaded = datasets.load_dataset(name, split=split or None)
    except Exception as error:  # a dozen kinds: of the hub, of the network, of the data set's own builder
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{dataset}: the data set can't be loaded ({reason}); check its name, the network and HF_TOKEN, or save it "
            "with `save_to_disk` where there is a network and give that folder as `path`"
        ) from None
    splits = loaded if isinstance(loaded, dict) else {split: loaded}
    return Path(datasets.config.HF_CACHE_HOME).expanduser(), [
        (part, Path(file["filename"])) for part, rows in splits.items() for file in rows.cache_files
    ]


def _below(path: Path, home: Path) -> str:
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else path.as_posix()
