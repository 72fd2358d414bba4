"""Products -> listings: the columns under the names of their roles, cleaned; a chunk at a time, each by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from workbench.catalog.clean import boilerplate
from workbench.catalog.clean.language import language_of, told_languages
from workbench.catalog.clean.missing import Kind, found_missing
from workbench.catalog.clean.price import read_prices
from workbench.catalog.clean.rules import Changed, Changes, Found, apply, examples, text_rules, without_control
from workbench.catalog.dialects.dialect import VARIANT_PICTURES, Products
from workbench.catalog.dialects.pictures import split_pictures
from workbench.recipe.schema import Clean, Columns

PICTURES = {"row": pl.UInt32, "order": pl.UInt16, "role": pl.String, "name": pl.String}
_GLANCE = 2_000  # cells that tell whether the values of a column recur
_NAMES = ("id", "group", "code", "given_split")  # they must still equal what other files call them


@dataclass(frozen=True)
class Listings:
    """A chunk's listings, cleaned."""

    rows: pl.DataFrame  # file, line, and the columns of `schema` but for row and feed; reason, detail: null if kept
    pictures: pl.DataFrame  # PICTURES, `row` being the index into `rows`
    changes: Changes


def schema(columns: Sequence[Columns]) -> dict[str, type[pl.DataType]]:
    """Name and type of each column of the items, of all feeds together."""
    texts = sorted({f"text.{name}" for c in columns for name in c.text})
    labels = sorted({f"label.{name}" for c in columns for name in c.labels})
    return {
        **{"row": pl.UInt32, "id": pl.String, "group": pl.String, "code": pl.String, "feed": pl.UInt32},
        **dict.fromkeys(["title", *texts, *labels, "language"], pl.String),
        **{"price": pl.Float64, "currency": pl.String, "given_split": pl.String, "picture": pl.String},
    }


def words(columns: Columns) -> dict[str, str | None]:
    """Column of the items -> header word of the feed; None for a role that no column plays."""
    return {
        **{name: getattr(columns, name) for name in ("id", "group", "code", "title", "language", "price", "picture")},
        "given_split": columns.split,
        **{f"text.{name}": word for name, word in columns.text.items()},
        **{f"label.{name}": word for name, word in columns.labels.items()},
    }


def learn(cells: pl.DataFrame, columns: Columns, clean: Clean) -> dict[str, boilerplate.Boilerplate]:
    """What recurs in each text column of a feed's first products."""
    rules = text_rules(clean.model_copy(update={"white_space": False}))  # the ends of lines part sentences
    texts = {name: word for name, word in words(columns).items() if name.startswith("text.") and word in cells.columns}
    found = {name: boilerplate.learn(apply(rules, cells[word], {})) for name, word in texts.items()}
    return {name: recurring for name, recurring in found.items() if recurring}


def to_listings(
    products: Products,
    position: int,
    columns: Columns,
    names: Sequence[str],
    recurring: Mapping[str, boilerplate.Boilerplate],
    clean: Clean,
) -> Listings:
    """The chunk's listings; `names` are all columns of the items, `position` that of the chunk's first product."""
    roles, cells = words(columns), products.cells
    nothing = pl.repeat(None, cells.height, dtype=pl.String, eager=True)
    raw = {name: cells[word] if (word := roles.get(name)) in cells.columns else nothing for name in names}
    changes, done = Changes(), {name: _name(raw[name], name, clean) for name in _NAMES}
    for name in names:
        if name == "title" or name.startswith(("text.", "label.")):
            done[name] = _text(raw[name].alias(name), recurring.get(name), clean, changes, position, done["id"])
    done["price"], done["currency"] = read_prices(raw["price"])
    unread = (done["price"].is_null() & (raw["price"].str.strip_chars() != "")).arg_true()
    if len(unread):
        lost = Changed.of(_all(nothing), unread, raw["price"], nothing)
        changes.add("unread_price", len(unread), examples("price", lost, position, done["id"]))
    pictures = pictures_of(cells, columns)
    main = pictures.filter(pl.col("order") == 0)
    done["picture"] = nothing.clone().scatter(main["row"], main["name"])
    rows = pl.DataFrame({"line": products.lines, **{n: s.alias(n) for n, s in done.items()}})
    rows = rows.with_columns(_language(raw["language"], rows, clean), pl.lit(products.file).alias("file"))
    return Listings(_judged(rows, clean), pictures, changes)


def _name(cells: pl.Series, name: str, clean: Clean) -> pl.Series:
    cells = without_control(cells).str.strip_chars()
    missing = cells == ""
    kind: Kind | None = "group" if name == "group" else "code" if name == "code" else None
    if clean.placeholders and kind:
        missing = missing | found_missing(cells, kind, clean)
    return cells.set(missing.fill_null(False), None)


def _text(
    cells: pl.Series,
    recurring: boilerplate.Boilerplate | None,
    clean: Clean,
    changes: Changes,
    position: int,
    ids: pl.Series,
) -> pl.Series:
    """A column of texts after all rules; what each changed goes into `changes`. Values that recur are cleaned once."""
    distinct = cells.unique(maintain_order=True) if _recurs(cells) else cells
    after, found = cleaned(distinct, recurring, clean)
    if distinct is not cells:
        after = cells.replace_strict(distinct, after)
        found = {rule: changed.spread(cells, distinct) for rule, changed in found.items()}
    for rule, changed in found.items():
        changes.add(rule, len(changed.index), examples(cells.name, changed, position, ids))
    return after


def _recurs(cells: pl.Series) -> bool:
    return 4 * cells.head(_GLANCE).n_unique() < min(len(cells), _GLANCE)


def cleaned(cells: pl.Series, recurring: boilerplate.Boilerplate | None, clean: Clean) -> tuple[pl.Series, Found]:
    """A column of the items (its name says which) after all rules, each cell by itself, and what each rule changed."""
    found: Found = {}
    after = apply(text_rules(clean), cells, found)

    def note(rule: str, now: pl.Series) -> pl.Series:
        where = after.ne_missing(now).arg_true()
        if len(where):
            found[rule] = Changed.of(_all(cells), where, after, now)
        return now

    if recurring:
        after = note("boilerplate", boilerplate.removed(after, recurring))
    after = note("empty", after.set((after == "").fill_null(False) & (cells != "").fill_null(False), None))
    if clean.placeholders:
        kind: Kind = "title" if cells.name == "title" else "text" if cells.name.startswith("text.") else "label"
        after = note("placeholders", after.set(found_missing(after, kind, clean), None))
    return after.set((after == "").fill_null(False), None), found


def _all(cells: pl.Series) -> pl.Series:
    """The index of each cell."""
    return pl.int_range(len(cells), dtype=pl.UInt32, eager=True)


def _language(told: pl.Series, rows: pl.DataFrame, clean: Clean) -> pl.Series:
    codes = told_languages(told)
    if clean.languages:
        silent = codes.is_null().arg_true()
        texts = rows.select(pl.concat_str(r"^(title|text\..*)$", separator=" ", ignore_nulls=True)).to_series()
        codes = codes.scatter(silent, language_of(texts.gather(silent), clean.languages))
    return codes.alias("language")


def pictures_of(cells: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """PICTURES: every picture of each product once, numbered, the main one first."""
    wanted = [word for word in (columns.picture, *columns.pictures) if word in cells.columns]
    named = [pl.DataFrame(schema=PICTURES)]
    for word in wanted:
        role = "variant" if word == VARIANT_PICTURES else "extra"
        listed = pl.DataFrame({"name": split_pictures(cells[word])}).with_row_index("row")
        held = listed.filter(pl.col("name").list.len() > 0).explode("name").filter(pl.col("name").is_not_null())
        named.append(held.select("row", pl.lit(0, pl.UInt16).alias("order"), pl.lit(role).alias("role"), "name"))
    pictures = pl.concat(named)
    if len(wanted) > 1:
        pictures = pictures.sort("row", maintain_order=True).unique(["row", "name"], keep="first", maintain_order=True)
    at = pl.int_range(pl.len(), dtype=pl.UInt32)
    order = (at - pl.when(pl.col("row").ne_missing(pl.col("row").shift())).then(at).forward_fill()).cast(pl.UInt16)
    main = pl.when(order == 0).then(pl.lit("main"))
    return pictures.select("row", order.alias("order"), main.otherwise("role").alias("role"), "name")


def _judged(rows: pl.DataFrame, clean: Clean) -> pl.DataFrame:
    """The rows with the first reason to drop each, which its cells alone give, and a detail."""
    readable = ~pl.all_horizontal(pl.col(r"^title$", r"^text\..*$").is_null())
    unwanted = pl.col("language").is_not_null() & ~pl.col("language").is_in(clean.languages)
    reasons = [
        (pl.col("id").is_null(), pl.lit("no id"), pl.lit("the id is empty")),
        (~readable, pl.lit("no title"), pl.lit("title and text attributes are empty")),
    ]
    if clean.languages:
        wanted = f"catalog.clean.languages keeps {', '.join(clean.languages)}"
        reasons.append((unwanted, pl.format("language {}", "language"), pl.lit(wanted)))
    return rows.with_columns(
        pl.coalesce(pl.when(applies).then(value[at]) for applies, *value in reasons).alias(name)
        for at, name in enumerate(("reason", "detail"))
    )
