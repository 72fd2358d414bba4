"""A preview for people at a terminal: colours and pictures of half blocks, or plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import numpy as np
from PIL import Image
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from workbench.report.gallery import covered
from workbench.report.preview import ITSELF, MASK, OTHER, READ, Measured, Piece, Preview, Shown, View

WIDEST = 32  # columns of a picture
STYLES = {MASK: "black on yellow", OTHER: "black on magenta", ITSELF: "black on cyan"}


def told(preview: Preview) -> Iterator[str]:
    """Plain lines."""
    yield "[word] is hidden and read as [MASK], [word>other] as another word, [word=] as itself; # is a hidden patch"
    for listing in preview.listings:
        yield f"\n{listing.id}\t{listing.title}"
        for view in listing.views:
            yield f"  {_headline(view)}"
            yield from (f"    {name}: {_words(pieces)}" for name, pieces in view.fields)
            if view.hidden_P.any():
                grid = isqrt(len(view.hidden_P))
                yield from (
                    "    " + "".join(".#"[hidden] for hidden in row)
                    for row in view.hidden_P.reshape(grid, grid).astype(int)
                )
    yield ""
    yield from ("\t".join(line) for line in measured_lines(preview.measured))
    yield from summary(preview)


def paint(preview: Preview, console: Console) -> None:
    """The same in colour, the epochs of a listing side by side."""
    samples = zip(("word", "word>other", "word="), READ, strict=True)
    console.print(Text(", ").join(Text.assemble((text, STYLES[way]), f" is read as {way}") for text, way in samples))
    for listing in preview.listings:
        console.print()
        console.print(Text(listing.title, "bold"), Text(listing.id, "dim"))
        console.print(_side_by_side(listing, console.width))
    console.print()
    header, *lines = measured_lines(preview.measured)
    table = Table(*header, box=None, header_style="dim")
    for line in lines:
        table.add_row(*line)
    console.print(table)
    for said in summary(preview):
        console.print(said, markup=False, soft_wrap=True)


def measured_lines(measured: tuple[Measured, ...]) -> Iterator[tuple[str, ...]]:
    """What was meant and what was drawn, by mode, as cells."""
    yield "mode", "listings meant", "drawn", "tokens meant", "drawn", "patches meant", "drawn", "no token hidden"
    for one in measured:
        pairs = (cell for pair in (one.listings, one.tokens, one.patches) for cell in pair)
        yield one.mode, *map(_share, (*pairs, one.wordless))


def summary(preview: Preview) -> Iterator[str]:
    """What else is known of the sample, and what the reader should know of the listings."""
    yield f"drawn from {preview.sample[0]:,} listings in {preview.sample[1]} epochs"
    if preview.unit:
        yield f"hidden together: {preview.unit:.2f} tokens on average"
    if preview.read:
        yield "read in place of a hidden word: " + ", ".join(
            f"{w} {s:.1%}" for w, s in zip(READ, preview.read, strict=True)
        )
    yield from preview.notes


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _headline(view: View) -> str:
    tokens, patches = (f"{hidden} of {all_}" for hidden, all_ in (view.tokens, view.patches))
    return f"epoch {view.epoch}{', ' * bool(view.mode)}{view.mode}: {tokens} tokens and {patches} patches hidden"


def _words(pieces: tuple[Piece, ...]) -> str:
    return "".join(_gap(i, p) + (f"[{p.text}{_instead(p)}]" if p.way else p.text) for i, p in enumerate(pieces))


def _gap(i: int, piece: Piece) -> str:
    return "" if piece.joined or not i else " "


def _instead(piece: Piece) -> str:
    return {OTHER: f">{piece.read}", ITSELF: "="}.get(piece.way, "")


def _side_by_side(listing: Shown, width: int) -> Table:
    table = Table.grid(padding=(0, 2), expand=False)
    wide = max(2, min(WIDEST, width // len(listing.views) - 2))
    for _ in listing.views:
        table.add_column(width=wide)
    table.add_row(*(_painted(view, wide // 2 * 2) for view in listing.views))
    return table


def _painted(view: View, wide: int) -> Group:
    parts = [Text(_headline(view), "dim")]
    if view.pixels_CHW is not None:
        parts.append(half_blocks(covered(view.pixels_CHW, view.hidden_P), wide))
    for name, pieces in view.fields:
        line = Text.assemble((f"{name} ", "dim"))
        for i, piece in enumerate(pieces):
            line.append(_gap(i, piece)).append(piece.text + _instead(piece), STYLES.get(piece.way))
        parts.append(line)
    return Group(*parts)


def half_blocks(pixels_CHW: np.ndarray, wide: int) -> Text:
    """A square picture as lines of upper half blocks: two pixels a character."""
    image = Image.fromarray(pixels_CHW.transpose(1, 2, 0)).resize((wide, wide), Image.Resampling.BOX)
    pixels = np.asarray(image)
    text = Text()
    for top, bottom in zip(pixels[::2], pixels[1::2], strict=True):
        for above, below in zip(top.tolist(), bottom.tolist(), strict=True):
            text.append("▀", f"rgb({','.join(map(str, above))}) on rgb({','.join(map(str, below))})")
        text.append("\n")
    text.rstrip()
    return text
