"""Cross-modal probes (paper): the same hidden words beside the true, another and a blank picture, and the same hidden
patches beside the true, another and no text. Masks are the same in each, so that differences are paired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from workbench.batch import Batch
from workbench.batches.masking import HEAVY_IMAGE, HEAVY_TEXT
from workbench.draws import ORDER, stream
from workbench.model.losses import recon_errors
from workbench.model.mlim import Mlim
from workbench.recipe.schema import Mam, ModalityDropout
from workbench.tasks import metrics
from workbench.tasks.catalog import Catalog

if TYPE_CHECKING:
    from rich.console import Console

Rows = NDArray[np.int64]
SEED = 0x70726F62  # "prob": masks and partners that no training drew
BATCH = 64
MOST = 2000  # listings: more would narrow the intervals little, and take long
CONDITIONS = {"mlm": ("true", "random", "blank"), "recon": ("true", "random", "none")}


def sampled(rows: Rows) -> Rows:
    """At most MOST of the rows, drawn by a fixed seed, in ascending order."""
    return np.sort(stream(SEED, ORDER).permutation(rows)[:MOST])


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
    """A pre-trained network in front of listings that it never saw."""

    network: Mlim
    catalog: Catalog
    masking: Mam  # its shares hide words and patches
    background: str  # colour of a blank picture, as #rrggbb
    device: torch.device

    def __post_init__(self) -> None:
        self.network.to(self.device)

    def masked(self, rows_B: Rows, mode: int, draw: int) -> Batch:
        """The listings, all masked in one mode of MAM."""
        masking = self.masking.model_copy(update={"modes": tuple(float(m == mode) for m in range(3))})
        return self.catalog.listings.batch(rows_B, epoch=draw, seed=SEED, masking=masking)

    def conditions(self, rows_B: Rows, other_B: Rows, draw: int) -> dict[str, Batch]:
        """A batch for each condition of each loss: only what stands beside the hidden changes."""
        words, patches = self.masked(rows_B, HEAVY_TEXT, draw), self.masked(rows_B, HEAVY_IMAGE, draw)
        other = self.catalog.listings.batch(other_B)
        silent = self.catalog.listings.batch(rows_B, dropout=ModalityDropout(text=1, image=0))
        colour_C = torch.tensor(list(bytes.fromhex(self.background[1:])), dtype=torch.uint8)
        return {
            "mlm_true": words,
            "mlm_random": replace(words, pixels_BCHW=other.pixels_BCHW),
            "mlm_blank": replace(words, pixels_BCHW=colour_C[:, None, None].expand_as(words.pixels_BCHW)),
            "recon_true": patches,
            "recon_random": _beside(patches, other),
            "recon_none": _beside(patches, silent),
        }

    @torch.no_grad()
    def losses(self, rows: Rows, draws: int, console: Console) -> pl.DataFrame:
        """A line for each of `rows`: row, id, group, tokens and six losses, over all draws of masks.

        tokens: hidden tokens; mlm_*: nats, summed over these; recon_*: squared error a pixel, averaged over draws.
        """
        lines: pl.DataFrame = self.catalog.items[rows.tolist()].select("row", "id", "group")
        names = [f"{loss}_{beside}" for loss, besides in CONDITIONS.items() for beside in besides]
        totals = {name: np.zeros(len(rows)) for name in ("tokens", *names)}
        by_length = np.argsort(self.catalog.listings.tokens.lengths[rows], kind="stable")  # less padding
        other = [partners(lines["group"].to_list(), draw) for draw in range(draws)]
        work = [(draw, by_length[i : i + BATCH]) for draw in range(draws) for i in range(0, len(rows), BATCH)]
        for draw, chosen in track(work, "probes", console=console, disable=not console.is_terminal):
            batches = self.conditions(rows[chosen], rows[other[draw][chosen]], draw)
            totals["tokens"][chosen] += batches["mlm_true"].text_masked_BL.sum(1).numpy()
            for name, batch in batches.items():
                measure = mlm_by_listing if name.startswith("mlm") else recon_by_listing
                totals[name][chosen] += measure(self.network, batch.to(self.device)).cpu().numpy()
        columns = [
            pl.Series(name, total / draws if name.startswith("recon") else total) for name, total in totals.items()
        ]
        return lines.with_columns(*columns).with_columns(pl.col("tokens").cast(pl.UInt32))

    def summary(self, losses: pl.DataFrame, draws: int, bootstrap: int) -> dict[str, Any]:
        """The probes of docs/report.md, with intervals over product groups; a `reason` if no word was hidden."""
        weights_Rn = metrics.resamples(losses["group"].to_list(), bootstrap)
        tokens_n = losses["tokens"].to_numpy().astype(np.float64)
        if not tokens_n.any():
            return {"reason": "no word was hidden: the texts are too short, or pretrain.masking.heavy_text is too low"}
        measures: dict[str, Callable[[metrics.Floats], metrics.Floats]] = {
            "mlm": lambda nats_n: metrics.ratio(nats_n, tokens_n, weights_Rn),
            "recon": lambda errors_n: metrics.mean(errors_n, weights_Rn),
        }
        found: dict[str, Any] = {
            "listings": losses.height,
            "draws": draws,
            "bootstrap": bootstrap,
            "blank": self.background,
        }
        for loss, besides in CONDITIONS.items():
            with np.errstate(invalid="ignore"):  # a resample may hold no hidden word
                values = {beside: measures[loss](losses[f"{loss}_{beside}"].to_numpy()) for beside in besides}
            found[loss] = {beside: float(value_R[0]) for beside, value_R in values.items()}
            for beside in besides[1:]:
                difference = metrics.estimate(values[beside] - values["true"])
                found[loss][f"{beside}_minus_true"] = asdict(difference)
        return found


def mlm_by_listing(network: Mlim, batch: Batch) -> Tensor:
    """(B,) negative log-likelihood of each listing's masked tokens in nats, summed over them."""
    text_BLD, _ = network.encode(batch)
    logits_MV = network.masked_token_logits(text_BLD, batch)
    nats_M = F.cross_entropy(logits_MV.float(), batch.tokens_BL[batch.text_masked_BL], reduction="none")
    return torch.zeros(batch.tokens_BL.shape, device=nats_M.device).masked_scatter(batch.text_masked_BL, nats_M).sum(1)


def recon_by_listing(network: Mlim, batch: Batch) -> Tensor:
    """(B,) squared error summed over the channels, averaged over all pixels of each picture."""
    _, image_BPD = network.encode(batch)
    return recon_errors(network.redraw(image_BPD), batch.pixels_BCHW.float() / 255)


def _beside(batch: Batch, text: Batch) -> Batch:
    """The pictures of one batch and the texts of another."""
    return replace(
        batch,
        tokens_BL=text.tokens_BL,
        shown_BL=text.shown_BL,
        text_real_BL=text.text_real_BL,
        text_masked_BL=text.text_masked_BL,
        has_text_B=text.has_text_B,
    )
