"""Where a feed's pictures lie below its folder, when its cells only name files: `train_images/`, `images.zip::`."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from os.path import isfile
from pathlib import Path, PurePosixPath

import polars as pl

from workbench.catalog.dialects.pictures import split_pictures, woven

_USUAL = (
    *("images", "image", "Images", "img", "imgs", "pictures", "photos", "media", "assets", "data/images"),
    *("product_images", "product-images", "Pictures", "Photos", "uploads", "wp-content/uploads"),
)


def place(root: Path, names: Iterable[str], folders: Sequence[str] = (), published: bool = True) -> str:
    """What to put before each name: "" where the files lie as named, `images/`, or `images.zip::`.

    It is the first place below `root` (a folder or a .zip) that holds one of the names, some of the feed's first. Where
    none does it is the first of `folders` if the pictures lie as `published`: a missing one is then looked for there.
    """
    below = (name for name in names if not _ELSEWHERE.search(name) and ".." not in PurePosixPath(name).parts)
    local = list(islice(below, 50))
    if not local:
        return ""
    found = (at for at in _places(root, ("", *(folders or _USUAL))) if _holds(root, at, local))
    return next(found, f"{folders[0]}/" if folders and published else "")


def placed(cells: pl.Series, place: str) -> pl.Series:
    """The cells of a picture column with `place` before every name of a file; several as a JSON list."""
    lists = split_pictures(cells)
    several = lists.list.len() > 1
    name = pl.col("name")
    local = ~name.str.contains(_ELSEWHERE.pattern)
    single = lists.filter(~several).list.first().to_frame("name")
    one = single.select(pl.when(local).then(pl.lit(place) + name).otherwise(name)).to_series()
    put = ([n if _ELSEWHERE.search(n) else place + n for n in names] for names in lists.filter(several))
    more = pl.Series([json.dumps(names, ensure_ascii=False) for names in put], dtype=pl.String)
    return woven(one, more, several).alias(cells.name)


_ELSEWHERE = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*:|^/|::")  # an address, a path from the root, a member of an archive


def _places(root: Path, folders: Sequence[str]) -> Iterator[str]:
    for folder in folders:
        if root.is_file() or (root / folder).is_dir():
            yield f"{folder}/" if folder else ""
        elif (root / f"{folder}.zip").is_file():
            yield from (f"{folder}.zip::", f"{folder}.zip::{PurePosixPath(folder).name}/")


def _holds(root: Path, place: str, names: Sequence[str]) -> bool:
    archive, inside, folder = place.rpartition("::")
    if not inside and root.is_dir():
        return any(isfile(root / folder / name) for name in names)  # False for a name too long to be one
    try:
        with zipfile.ZipFile(root / archive) as file:
            return not {folder + name for name in names}.isdisjoint(file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
