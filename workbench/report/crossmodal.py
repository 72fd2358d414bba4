"""Cross-modal probes (paper): the same hidden words beside the true, another and a blank picture, and the same hidden
patches beside the true, another and no text. Masks are the same in each, so that differences are paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from workbench.batch import Batch
from workbench.batches.masking import HEAVY_IMAGE, HEAVY_TEXT
from workbench.draws import ORDER, stream
from workbench.model.reading import Reading
from workbench.progress import followed
from workbench.recipe.schema import ModalityDropout
from workbench.report.trained import Trained

if TYPE_CHECKING:
    from rich.console import Console

Rows = NDArray[np.int64]
SEED = 0x70726F62  # "prob": masks and partners that no training drew
BATCH = 64
CONDITIONS = {"mlm": ("true", "random", "blank"), "recon": ("true", "random", "none")}


def sampled(rows: Rows, most: int) -> Rows:
    """At most so many of the rows, drawn by a fixed seed, in ascending order."""
    return np.sort(stream(SEED, ORDER).permutation(rows)[:most])


def partners(groups: Sequence[str], draw: int) -> Rows:
    """For each listing the index of another, of another product group; each is the partner of one.

    Listings lie group by group, in random order, and each takes the one that lies as many places further as the
    largest group is long. A group of more than half of the listings can't but meet itself.
    """
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    numbers = stream(SEED, ORDER, 1 + draw)
    place_of_group = numbers.permutation(len(names))
    order = np.lexsort((numbers.random(len(groups)), place_of_group[group_of]))
    shift = min(int(np.bincount(group_of).max()), len(groups) // 2)
    partner = np.empty(len(groups), np.int64)
    partner[order] = np.roll(order, -shift)
    return partner


@dataclass(frozen=True)
class Probe:
    """A trained network in front of listings."""

    trained: Trained

    def masked(self, rows_B: Rows, mode: int, draw: int) -> Batch:
        """The listings, all masked in one mode of MAM."""
        masking = self.trained.masking.model_copy(update={"modes": tuple(float(m == mode) for m in range(3))})
        return self.trained.catalog.listings.batch(rows_B, epoch=draw, seed=SEED, masking=masking)

    def conditions(self, rows_B: Rows, other_B: Rows, draw: int) -> dict[str, Batch]:
        """A batch for each condition of each loss: only what stands beside the hidden changes."""
        words, patches = self.masked(rows_B, HEAVY_TEXT, draw), self.masked(rows_B, HEAVY_IMAGE, draw)
        listings, background = self.trained.catalog.listings, self.trained.background
        other = listings.batch(other_B)
        silent = listings.batch(rows_B, dropout=ModalityDropout(text=1, image=0))
        colour_C = torch.tensor(list(bytes.fromhex(background[1:])), dtype=torch.uint8)
        every = {
            "mlm_true": words,
            "mlm_random": replace(words, pixels_BCHW=other.pixels_BCHW),
            "mlm_blank": replace(words, pixels_BCHW=colour_C[:, None, None].expand_as(words.pixels_BCHW)),
            "recon_true": patches,
            "recon_random": beside(patches, other),
            "recon_none": beside(patches, silent),
        }
        return {name: every[name] for name in names(self.trained)}

    @torch.no_grad()
    def losses(self, rows: Rows, draws: int, console: Console) -> pl.DataFrame:
        """A line for each of `rows`: row, id, group, tokens and the losses of `names`, over all draws of masks.

        tokens: hidden tokens; mlm_*: nats, summed over these; recon_*: squared error a pixel, averaged over draws.
        """
        catalog, network = self.trained.catalog, self.trained.network
        device = next(network.parameters()).device
        lines: pl.DataFrame = catalog.items[rows.tolist()].select("row", "id", "group")
        totals = {name: np.zeros(len(rows)) for name in ("tokens", *names(self.trained))}
        by_length = np.argsort(catalog.listings.tokens.lengths[rows], kind="stable")  # less padding
        other = [partners(lines["group"].to_list(), draw) for draw in range(draws)]
        work = [(draw, by_length[i : i + BATCH]) for draw in range(draws) for i in range(0, len(rows), BATCH)]
        for draw, chosen in followed(console, "probes", work, lambda piece: len(piece[1])):
            for name, batch in self.conditions(rows[chosen], rows[other[draw][chosen]], draw).items():
                measure = self.trained.objectives[name.split("_")[0]]
                totals[name][chosen] += measure.by_listing(Reading(network, batch.to(device))).float().cpu().numpy()
                if name == "mlm_true":
                    totals["tokens"][chosen] += batch.text_masked_BL.sum(1).numpy()
        columns = [
            pl.Series(name, total / draws if name.startswith("recon") else total) for name, total in totals.items()
        ]
        return lines.with_columns(*columns).with_columns(pl.col("tokens").cast(pl.UInt32))


def names(trained: Trained) -> list[str]:
    """The losses that can be asked, as `mlm_true`."""
    return [f"{loss}_{beside}" for loss in trained.objectives for beside in CONDITIONS[loss]]


def beside(batch: Batch, text: Batch) -> Batch:
    """The pictures of one batch and the texts of another."""
    return replace(
        batch,
        tokens_BL=text.tokens_BL,
        shown_BL=text.shown_BL,
        text_real_BL=text.text_real_BL,
        text_masked_BL=text.text_masked_BL,
        has_text_B=text.has_text_B,
    )
