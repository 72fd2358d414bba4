"""What the cells of a feed hold: each column with its role, the labels, the languages, the length of the texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from workbench.catalog.clean.html import to_text
from workbench.catalog.clean.language import language_of, told_languages
from workbench.recipe.schema import Columns

EXAMPLES, LONG = 3, 40  # of each column; characters of one
SAYS = 0.9  # share of the products of which a text says the label, from which it gives it away
READ, TOLD = 300, 20  # texts whose language is told by their words; so many that a share of them says something


@dataclass(frozen=True)
class Column:
    """A column of the products."""

    word: str  # of the header
    role: str  # title, text brand, label category, …; "" for none
    filled: float  # share of the products
    values: int  # different ones
    examples: tuple[str, ...]  # the most frequent of a label, else the first ones
    counts: tuple[int, ...]  # products that have each example


@dataclass(frozen=True)
class Label:
    """A column that a model may learn to say."""

    name: str
    classes: int  # of two products at least
    filled: float  # share of the products that have one of these
    said_by: tuple[str, ...]  # texts that say it in words, of nearly all of them


def roles_of(columns: Columns) -> Iterator[tuple[str, str]]:
    """Role and header word of each, as a recipe has them in order."""
    yield from (("id", columns.id), ("title", columns.title))
    yield from ((f"text {name}", word) for name, word in columns.text.items())
    yield from ((f"label {name}", word) for name, word in columns.labels.items())
    for role in ("group", "code", "picture"):
        if word := getattr(columns, role):
            yield role, word
    yield from (("further pictures", word) for word in columns.pictures)
    for role in ("price", "language", "split"):
        if word := getattr(columns, role):
            yield role, word


def columns_of(cells: pl.DataFrame, columns: Columns) -> list[Column]:
    """Those with a role first, in the order of a recipe; then the others, as the feed has them."""
    roles = [(role, word) for role, word in roles_of(columns) if word in cells.columns]
    played = {word for _, word in roles}
    return [_column(cells, word, role) for role, word in roles] + [
        _column(cells, word, "") for word in cells.columns if word not in played
    ]


def _column(cells: pl.DataFrame, word: str, role: str) -> Column:
    filled = cells[word].str.strip_chars()
    filled = filled.filter(filled.is_not_null() & (filled != ""))
    counts = filled.value_counts(name="n")
    if role.startswith("label"):
        counts = counts.sort("n", word, descending=[True, False])
        shown = counts.head(EXAMPLES)
    else:
        shown = counts.join(filled.head(1000).to_frame().unique(maintain_order=True), on=word, maintain_order="right")
        shown = shown.head(EXAMPLES)
    examples = tuple(_short(cell) for cell in to_text(shown[word]))
    return Column(word, role, len(filled) / max(cells.height, 1), counts.height, examples, tuple(shown["n"]))


def _short(cell: str) -> str:
    text = " ".join(cell.split())
    return text if len(text) <= LONG else text[: LONG - 1] + "…"


def labels_of(cells: pl.DataFrame, columns: Columns) -> list[Label]:
    """Those of two classes at least that have two products each; the ones with fewest classes first."""
    found = []
    for name, word in columns.labels.items():
        counts = cells[word].str.strip_chars().value_counts(name="n").filter((pl.col("n") > 1) & (pl.col(word) != ""))
        if counts.height > 1:
            filled = float(counts["n"].sum()) / cells.height
            found.append(Label(name, counts.height, filled, tuple(_saying(cells, columns, word))))
    return sorted(found, key=lambda label: label.classes)


def _saying(cells: pl.DataFrame, columns: Columns, label: str) -> Iterator[str]:
    """Texts beside the title that say the label: a model would read there what it is to tell."""
    for name, word in columns.text.items():
        if word in cells.columns and word != label:
            text, said = (_in_words(pl.col(column)) for column in (word, label))
            both = cells.select(text=text, said=said).filter((pl.col("text") != "  ") & (pl.col("said") != "  "))
            share = both.select(pl.col("text").str.contains(pl.col("said"), literal=True).mean()).item()
            if share is not None and share >= SAYS:
                yield name


def _in_words(text: pl.Expr) -> pl.Expr:
    return pl.lit(" ") + text.str.to_lowercase().str.replace_all(r"\W+", " ").str.strip_chars() + pl.lit(" ")


def groups_of(cells: pl.DataFrame, word: str | None) -> int:
    """Values of a column that several products share."""
    if word not in cells.columns:
        return 0
    filled = cells[word].str.strip_chars()
    return filled.filter(filled != "").value_counts(name="n").filter(pl.col("n") > 1).height


def languages_of(cells: pl.DataFrame, columns: Columns) -> dict[str, float]:
    """ISO code -> share of the products, the most frequent first; what tells no language isn't counted."""
    if columns.language in cells.columns:
        codes = told_languages(cells[columns.language])
    else:
        words = [word for word in (columns.title, *columns.text.values()) if word in cells.columns]
        every = cells.gather_every(max(1, cells.height // READ)).head(READ)
        codes = language_of(every.select(pl.concat_str(words, separator=" ", ignore_nulls=True)).to_series())
    codes = codes.drop_nulls()
    if len(codes) < TOLD:
        return {}
    counts = codes.value_counts(name="n").sort("n", codes.name, descending=[True, False])
    return {code: n / len(codes) for code, n in counts.iter_rows() if n / len(codes) > 0.05}


def words_of(cells: pl.DataFrame, columns: Columns) -> tuple[float, float]:
    """Words of a product's texts: on average, and of the longest 5 in 100."""
    words = [word for word in (columns.title, *columns.text.values()) if word in cells.columns]
    some = cells.select(words).gather_every(max(1, cells.height // 2000))
    texts = [to_text(some[word]).str.count_matches(r"\S+").fill_null(0) for word in words]
    counts = pl.DataFrame(texts).sum_horizontal().cast(pl.Float64)
    return float(counts.sum() / max(len(counts), 1)), float(counts.quantile(0.95) or 0)
