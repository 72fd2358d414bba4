"""A feed -> listings to be answered: any format that ingest reads, a part at a time, in bounded memory.

Which column plays which role the user says, else the model's folder where the feed has the words of a training's feed,
else the guess that ingest makes. Rows read = listings + joined to one of them + dropped, each of those with its reason.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any

import polars as pl

from workbench.answers.listing import Listing
from workbench.catalog.clean.rules import without_control
from workbench.catalog.dialects.dialect import Products, Reading
from workbench.catalog.dialects.look import look, pictures_beside
from workbench.catalog.dialects.products import products, tables
from workbench.catalog.listings import pictures_of
from workbench.errors import DataError
from workbench.images.fetched import WEB
from workbench.images.origin import Pictures, open_pictures, place_of
from workbench.recipe.schema import Columns, Feed
from workbench.recipe.secrets import without_password

HEAD, PART = 1000, 2048  # rows that tell the header; listings answered before they are written
NONE = "\0none"  # no header word
DROPS = {"file": pl.String, "line": pl.UInt32, "id": pl.String, "title": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Opened:
    """A feed, and how it is read."""

    feed: Feed
    reading: Reading
    like: int | None  # the training's only feed whose words it has
    said: tuple[str, ...] = ()  # a line for each role, for people


@dataclass(frozen=True)
class Part:
    """Some products of a feed."""

    listings: list[Listing]
    lines: pl.DataFrame  # file and line of each listing
    drops: pl.DataFrame  # DROPS: rows that became none
    joined: int  # rows that are part of one of the listings


def open_feed(
    feed: Feed, known: Sequence[Mapping[str, Any]], fields: Sequence[str], given: Mapping[str, str] | None = None
) -> Opened:
    """How a feed is read for a model that reads these fields; `known` are the training's feeds (preparation.json).

    `given` are header words by role (id, title, picture or the name of another field), "" for none. Raises DataError
    for a role or a column that isn't there, and where no column can be the id.
    """
    name, given = str(feed.path or feed.dataset or without_password(feed.database or "")), given or {}
    header = list(dict.fromkeys(word for table in tables(feed, HEAD) for word in table.cells.columns))
    guess, why = _guessed(feed)
    every = {*header, *(word for words in guess.values() for word in words)}
    _check(name, given, every, fields)
    alike = _same(known, feed.columns) if feed.columns else _alike(known, every)
    trained = _roles(_columns(known[alike[0]]), every) if alike else {}
    found, said = dict[str, Sequence[str]](), list[str]()
    for role in ("id", *fields, "picture"):
        ways = (("given", given), ("as in training", trained), (why, guess))
        none = given.get(role) == ""
        how, words = next(((how, way[role]) for how, way in ways if way.get(role) and not none), ("", ()))
        found[role] = (words,) if isinstance(words, str) else words
        said.append(f"{role} <- {', '.join(map(repr, found[role]))} ({how})" if how else f"{role} <- no column")
    if not found["id"]:
        raise DataError(f"{name}: found no column for the id; name it: --column id=WORD. Header: {', '.join(header)}")
    if not any(found[role] for role in (*fields, "picture")):
        raise DataError(f"{name}: the model reads {', '.join(fields)} and a picture, and no column has any of them")
    like = alike[0] if len(alike) == 1 else None
    return _opened(feed, found, fields, known[alike[0]] if alike else {}, like, said)


def _opened(
    feed: Feed,
    found: Mapping[str, Sequence[str]],
    fields: Sequence[str],
    trained: Mapping[str, Any],
    like: int | None,
    said: list[str],
) -> Opened:
    pictures = found["picture"]
    columns = Columns(
        id=found["id"][0],
        title=found["title"][0] if found["title"] else NONE,
        text={name: found[name][0] for name in fields[1:] if found[name]},
        picture=pictures[0] if pictures else None,
        pictures=tuple(pictures[1:]),
    )
    changed: dict[str, Any] = {"columns": columns, "feed": feed.feed or trained.get("dialect")}
    if feed.path and not feed.pictures and pictures:
        path = feed.path.absolute()
        changed["pictures"] = path if path.is_dir() else path.parent / pictures_beside(path)
        said.append(f"pictures are looked for in {changed['pictures']}")
    feed = feed.model_copy(update=changed)
    return Opened(feed, look(feed, "feed", trained.get("language")), like, tuple(said))


def _guessed(feed: Feed) -> tuple[dict[str, Sequence[str]], str]:
    """The roles by the guess of ingest, or as the recipe has them; none where it finds no id or no title."""
    try:
        reading = look(feed, "feed")
    except DataError:
        return {}, ""
    labels = {name: (word,) for name, word in reading.columns.labels.items()}  # what is a label there may be read here
    return {**labels, **_roles(reading.columns, None)}, "the recipe" if feed.columns else "guessed"


def _roles(columns: Columns, there: set[str] | None) -> dict[str, Sequence[str]]:
    """Header words by role, of those that are there."""
    roles = {"id": [columns.id], "title": [columns.title], **{name: [word] for name, word in columns.text.items()}}
    roles["picture"] = [word for word in (columns.picture, *columns.pictures) if word is not None]
    return {role: kept for role, words in roles.items() if (kept := [w for w in words if there is None or w in there])}


def _alike(known: Sequence[Mapping[str, Any]], every: set[str]) -> list[int]:
    """The training's feeds that have most words in common with this one, id's or title's among them, if they all have
    them in the same roles."""
    counts = []
    for feed in known:
        words = _roles(_columns(feed), every)
        counts.append(sum(map(len, words.values())) if "title" in words or "id" in words else 0)
    best = max(counts, default=0)
    alike = [number for number, count in enumerate(counts) if count == best and best]
    roles = [_roles(_columns(known[number]), every) for number in alike]
    return alike if all(each == roles[0] for each in roles) else []


def _same(known: Sequence[Mapping[str, Any]], columns: Columns) -> list[int]:
    """The training's feeds of these columns."""
    return [number for number, feed in enumerate(known) if _columns(feed) == columns]


def _columns(feed: Mapping[str, Any]) -> Columns:
    return Columns.model_validate_json(json.dumps(feed["columns"]))


def _check(name: str, given: Mapping[str, str], every: set[str], fields: Sequence[str]) -> None:
    for role, word in given.items():
        if role not in (roles := ("id", *fields, "picture")):
            raise DataError(f"--column {role}={word}: no such role; this model has {', '.join(roles)}")
        if word and word not in every:
            near = difflib.get_close_matches(word, every, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise DataError(f"--column {role}={word}: {name} has no such column; {hint}{', '.join(sorted(every))}")


def parts_of(opened: Opened) -> Iterator[Part]:
    """The feed's listings in their order; the parts are the same every time. Raises DataError as ingest does."""
    columns = opened.reading.columns
    places = open_pictures(place_of(opened.feed), "--pictures") if columns.picture else None
    for chunk in products(opened.feed, opened.reading):
        nothing = pl.repeat(None, chunk.cells.height, dtype=pl.String, eager=True)
        cells = {
            word: chunk.cells[word] if word in chunk.cells.columns else nothing for word in (columns.id, columns.title)
        }
        ids = without_control(cells[columns.id]).str.strip_chars()
        rows = pl.DataFrame({"line": chunk.lines, "id": ids.set(ids == "", None), "title": cells[columns.title]})
        rows = rows.with_columns(pl.lit(chunk.file).alias("file"))
        for start in range(0, max(rows.height, 1), PART):
            yield _part(opened, chunk, rows, start, places)


def _part(opened: Opened, chunk: Products, rows: pl.DataFrame, start: int, places: Pictures | None) -> Part:
    some, joined = rows.slice(start, PART), chunk.joined.filter(pl.col("index").is_between(start, start + PART - 1))
    there = some["id"].is_not_null()
    listings = _listings(opened, chunk.cells.slice(start, PART), some["id"], places)
    lost = joined.filter(~there.gather(joined["index"] - start))
    bad = [(chunk.file, row.line, f"{row.reason}: {row.detail}".rstrip(": ")) for row in chunk.bad if start == 0]
    drops = (
        some.filter(~there).with_columns(reason=pl.lit("no id")),
        lost.select("file", "line", reason=pl.lit("part of a product without an id")),
        pl.DataFrame(bad, {name: DROPS[name] for name in ("file", "line", "reason")}, orient="row"),
    )
    return Part(
        [*compress(listings, there)],
        some.filter(there).select("file", "line"),
        pl.concat(drops, how="diagonal").select(*DROPS),
        joined.height - lost.height,
    )


def _listings(opened: Opened, cells: pl.DataFrame, ids: pl.Series, places: Pictures | None) -> Iterator[Listing]:
    columns = opened.reading.columns
    fields = {"title": columns.title, **columns.text}
    texts = {name: cells[word].to_list() for name, word in fields.items() if word in cells.columns}
    named = dict[int, list[Any]]()
    for row, name in pictures_of(cells, columns).select("row", "name").iter_rows():
        named.setdefault(row, []).append(_picture(name, places))
    for row, product_id in enumerate(ids):
        picture, *more = named.get(row) or [None]
        yield Listing(product_id, {name: t[row] for name, t in texts.items()}, picture, tuple(more), opened.like)


def _picture(name: str, places: Pictures | None) -> Any:
    """A web address, or what reads the bytes."""
    return name if places is None or re.match(WEB, name) else partial(places.read, name)
