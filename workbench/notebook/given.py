"""The listings that a model is asked about, however they are given -> parts of a feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from workbench.answers.feeds import DROPS, PART, Opened, Part, open_feed, parts_of
from workbench.answers.listing import Listing
from workbench.errors import DataError
from workbench.recipe.schema import Feed
from workbench.sources import bring_bare, bring_feed

if TYPE_CHECKING:
    from workbench.answers.answers import Answers
    from workbench.notebook.recipe import Recipe

One: TypeAlias = "Listing | Mapping[str, Any]"
Given: TypeAlias = "str | Path | Recipe | pl.DataFrame | One | Sequence[One]"  # of data frames those of pandas, too
NUMBER = "row number"  # of a data frame without ids


@dataclass(frozen=True)
class Asked:
    """Listings in parts, and lines on which column plays which role."""

    parts: Iterator[Part]
    said: tuple[str, ...] = ()


@contextmanager
def asked(
    given: Given, answers: Answers, columns: Mapping[str, str] | None = None, pictures: str | Path | None = None
) -> Iterator[Asked]:
    """`given` while it is read: a feed's path, a recipe (its feeds), a data frame, or listings as `Listing` or dict.

    `columns` are header words by role, `pictures` is the folder or archive of the pictures; those of a data frame are
    else looked for from the working directory on. Raises DataError where it can't be read.
    """
    if isinstance(given, Listing | Mapping):
        given = [given]
    frame = _frame(given)
    if isinstance(given, Sequence) and not isinstance(given, str):
        yield Asked(_in_parts([_listing(one, number) for number, one in enumerate(given)]))
    elif frame is not None:
        with TemporaryDirectory(prefix="mlim-") as folder:
            yield _of(_of_frame(frame, Path(folder), answers, columns or {}, pictures))
    else:
        yield _of([_open(feed, answers, columns or {}) for feed in _feeds(given, pictures)])


def _of(feeds: Sequence[Opened]) -> Asked:
    return Asked(
        (part for feed in feeds for part in parts_of(feed)), tuple(line for feed in feeds for line in feed.said)
    )


def _open(feed: Feed, answers: Answers, columns: Mapping[str, str]) -> Opened:
    preparation = answers.preparation
    return open_feed(feed, preparation.told["feeds"], preparation.fields, columns)


def _feeds(given: Any, pictures: str | Path | None) -> Sequence[Feed]:
    from workbench.notebook.recipe import Recipe, here

    if isinstance(given, str | Path) and Path(given).suffix.lower() in (".yaml", ".yml"):
        given = Recipe.load(given)
    if isinstance(given, Recipe):
        feeds = given.settings.catalog.feeds
        for feed in feeds:
            bring_feed(feed)
        return feeds
    if not isinstance(given, str | Path):
        raise DataError(f"a {type(given).__name__}: expected a feed's path, a recipe, a data frame, or listings")
    path, place = here(given), here(pictures) if pictures else None
    if not path.exists():
        raise DataError(f"{given}: no such file or folder; give the path of a feed or of a recipe (.yaml)")
    bring_bare(path, place)
    return [Feed(path=path, pictures=place)]


def _frame(given: Any) -> pl.DataFrame | None:
    if isinstance(given, pl.LazyFrame):
        return given.collect()
    if type(given).__module__.split(".")[0] == "pandas":
        return pl.DataFrame(pl.from_pandas(given))
    return given if isinstance(given, pl.DataFrame) else None


def _of_frame(
    frame: pl.DataFrame, folder: Path, answers: Answers, columns: Mapping[str, str], pictures: str | Path | None
) -> list[Opened]:
    """As the same table would be read from a file; a column that is named as a field of the model is that field, but
    where the training had another word for it that is there, too."""
    known, fields = answers.preparation.told["feeds"], answers.preparation.fields
    words = [feed["columns"] | feed["columns"]["text"] for feed in known]
    own = {
        field: field
        for field in ("id", *fields, "picture")
        if field in frame.columns and not {feed.get(field) for feed in words} & {*frame.columns}
    }
    held = any((not isinstance(kind, pl.String) and kind.is_nested()) or kind == pl.Binary for kind in frame.dtypes)
    place = Path(pictures or (folder if held else Path.cwd())).absolute()
    feed = Feed(path=folder / "frame.parquet", pictures=place)
    assert feed.path
    frame.write_parquet(feed.path)
    try:
        return [_open(feed, answers, {**own, **columns})]
    except DataError as error:
        if "no column for the id" not in str(error):
            raise
    frame.with_row_index(NUMBER).write_parquet(feed.path)
    return [_open(feed, answers, {**own, **columns, "id": NUMBER})]


def _listing(one: Any, number: int) -> Listing:
    """Of a dict: id, picture (a path, bytes, pixels), and texts by field; what isn't text is written as such."""
    if isinstance(one, Listing):
        return one
    if not isinstance(one, Mapping):
        raise DataError(f"listing {number}: a {type(one).__name__}; expected a dict such as {{'title': 'red mug'}}")
    texts = {name: None if text is None else str(text) for name, text in one.items() if name not in ("id", "picture")}
    return Listing(str(one.get("id", number)), texts, one.get("picture"))


def _in_parts(listings: Sequence[Listing]) -> Iterator[Part]:
    for start in range(0, max(len(listings), 1), PART):
        some = list(listings[start : start + PART])
        lines = pl.DataFrame(
            {"file": "", "line": range(start + 1, start + 1 + len(some))}, {n: DROPS[n] for n in ("file", "line")}
        )
        yield Part(some, lines, pl.DataFrame(schema=DROPS), 0)
