"""The audit's page: the least fitting listings, as a person judges them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from workbench.model.reading import Reading
from workbench.report.gallery import MOST_PIXELS, redrawn, said
from workbench.report.misfit import hidden
from workbench.report.page import environment
from workbench.report.shelf import Shelf, png
from workbench.report.trained import Trained

if TYPE_CHECKING:
    import polars as pl


def render(name: str, listings: Sequence[dict[str, Any]], pictures: dict[str, bytes], audited: int) -> str:
    """One HTML file that needs nothing else."""
    return environment(pictures).get_template("audit.html").render(name=name, listings=listings, audited=audited)


@torch.no_grad()
def shown(trained: Trained, lines: pl.DataFrame) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """For each line of audit.csv what the page shows of it, and the PNG bytes of its pictures by name.

    `tokens`: the words with the network's guesses from the picture alone; `redrawn`: the picture from the text alone;
    `best`: the stranger whose picture fits better.
    """
    items = trained.catalog.items
    shelf, found = Shelf(items, trained.catalog.shards), []
    row_of = dict(items.select("id", "row").iter_rows())
    device = next(trained.network.parameters()).device
    for line in lines.iter_rows(named=True):
        words, picture = hidden(trained, np.array([line["row"]]))
        listing = line | shelf.show(line["row"])
        if "mlm" in trained.objectives:
            listing["tokens"] = said(trained, Reading(trained.network, words.to(device)))
        for role, pixels_CHW in redrawn(trained, Reading(trained.network, picture.to(device))).items():
            listing[role] = f"redrawn-{line['row']}"
            shelf.pictures[listing[role]] = png(Image.fromarray(pixels_CHW.transpose(1, 2, 0)), MOST_PIXELS)
        if line["best_stranger"]:
            listing["best"] = shelf.show(row_of[line["best_stranger"]])
        found.append(listing)
    return found, shelf.pictures
