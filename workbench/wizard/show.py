"""What was found, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.catalog.dialects.known import dialect_named
from workbench.forecast.words import span
from workbench.wizard.pictures import Pictures
from workbench.wizard.sight import Sight
from workbench.wizard.sizes import Sized

FEW = 300  # products
HEADER = ("role", "column", "filled", "values", "for example")


def headlines(sight: Sight) -> Iterator[str]:
    """Format, dialect, counts and language."""
    dialect = dialect_named(sight.reading.dialect)
    known = f"; read as {dialect.name}: {dialect.about}" if dialect.name != "plain" else ""
    yield f"{sight.feed.path}: {sight.read_as}{known}"
    more = "" if sight.whole else f", of about {sight.total:,}"
    yield f"{sight.products:,} products in {sight.rows:,} rows{more}; {sight.bad:,} rows can't be read"
    if sight.total < FEW:
        yield f"warning: a model learns little from {sight.total:,} products; {FEW} are a beginning"
    if sight.languages:
        yield f"language: {', '.join(f'{code} {share:.0%}' for code, share in sight.languages.items())}"
    mean, longest = sight.words
    yield f"texts: {mean:.0f} words a product on average, {longest:.0f} in the longest"


def table(sight: Sight) -> list[tuple[str, ...]]:
    """A line for each column that plays a role."""
    return [
        (c.role, c.word, f"{c.filled:.0%}", f"{c.values:,}", " | ".join(c.examples)) for c in sight.columns if c.role
    ]


def unused(sight: Sight) -> str:
    """The columns without a role; "" where there is none."""
    words = [column.word for column in sight.columns if not column.role]
    more = f" and {len(words) - 12} more" if len(words) > 12 else ""
    return f"not read: {', '.join(words[:12])}{more}" if words else ""


def of_pictures(found: Pictures, products: int) -> Iterator[str]:
    """Lines on pictures."""
    if not found.named:
        yield "pictures: none is named; the model learns from texts alone"
        return
    hosts = f", {found.web:,} by web address ({', '.join(found.hosts)})" if found.web else ""
    yield f"pictures: {found.named:,} of {products:,} products name one{hosts}"
    if found.tried:
        size = f", {found.side} px and more on the shorter side for half of them" if found.side else ""
        yield f"  {found.tried} were tried: {found.found} found{size}"
        for what, names in (("missing", found.missing), ("broken", found.broken)):
            if names:
                yield f"  {len(names)} {what}, as {names[0]}"


def of_sizes(found: Sized) -> str:
    """What was chosen, and how long it takes."""
    model, epochs = found.tree["model"], found.tree["pretrain"]["epochs"]
    takes = f"{span(*found.range)} on {found.machine.gpu or f'{found.machine.cores} CPU cores'}"
    return f"chosen: a {model['size']} network, pictures of {model['image_side']} px, {epochs} epochs: {takes}"
