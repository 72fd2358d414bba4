"""The objectives of pre-training (docs/objectives.md): loss = sum of weight * objective, each an object of its own.

What compares listings with each other, ITM and ITC, does so within a micro-batch, and never two of one product group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import polars as pl
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.model.heads import ContrastHead, Heads, MatchHead, cosines
from workbench.model.losses import contrast, mlm_nats, normalise, recon_errors, restore
from workbench.model.mlim import Mlim
from workbench.model.reading import Reading
from workbench.model.vision import pixels_of
from workbench.recipe.schema import Objectives, Recon
from workbench.tasks.network import mean_of_tokens

_NEVER = 1e6  # far above any likeness or distance


class Objective(Protocol):
    """One loss: what it is averaged over is known without the model, its sums by listing are not."""

    @property
    def name(self) -> str: ...

    def count(self, batch: Batch) -> int:
        """What of a batch the loss is averaged over."""

    def by_listing(self, reading: Reading) -> Tensor:
        """(B,) the loss of each listing, summed over what counts of it; 0 where nothing does."""


@dataclass(frozen=True)
class MlmLoss:
    """Nats of the masked tokens, averaged over these."""

    name = "mlm"

    def count(self, batch: Batch) -> int:
        return int(batch.text_masked_BL.sum())

    def by_listing(self, reading: Reading) -> Tensor:
        batch = reading.batch
        masked_BL = batch.text_masked_BL
        logits_MV = reading.network.masked_token_logits(reading.masked[0], batch)
        nats_M = mlm_nats(logits_MV, batch.tokens_BL.flatten()[batch.masked_M])
        nats_BL = torch.zeros(masked_BL.numel(), device=nats_M.device).index_copy(0, batch.masked_M, nats_M)
        return nats_BL.view_as(masked_BL).sum(1)  # masked_scatter would make the CPU wait for a GPU, in its gradient


@dataclass(frozen=True)
class ReconLoss:
    """Squared error of the redrawn picture, averaged over pixels and then over pictures."""

    section: Recon
    name = "recon"

    def count(self, batch: Batch) -> int:
        counted_B = batch.has_image_B
        if self.section.over == "masked":
            counted_B = counted_B & batch.image_masked_BP.any(1)
        return int(counted_B.sum())

    def by_listing(self, reading: Reading) -> Tensor:
        batch, network = reading.batch, reading.network
        true_BCHW, drawn_BCHW = batch.pixels_BCHW.float() / 255, network.draw(reading.masked[1])
        if self.section.target == "normalised":
            true_BCHW = normalise(true_BCHW, network.shape.patch)[0]
        else:
            drawn_BCHW = drawn_BCHW.sigmoid()
        counted_BP = batch.image_masked_BP if self.section.over == "masked" else None
        return recon_errors(drawn_BCHW, true_BCHW, counted_BP) * batch.has_image_B

    def redrawn(self, reading: Reading) -> Tensor:
        """(B, 3, H, W) in [0, 1]: pictures as a person looks at them. What was no target is the true picture's: patches
        that weren't masked, where these alone count, and each patch's mean and deviation, where it was normalised."""
        batch, network = reading.batch, reading.network
        true_BCHW, drawn_BCHW = batch.pixels_BCHW.float() / 255, network.draw(reading.masked[1])
        if self.section.target == "normalised":
            redrawn_BCHW = restore(drawn_BCHW, *normalise(true_BCHW, network.shape.patch)[1:])
        else:
            redrawn_BCHW = drawn_BCHW.sigmoid()
        if self.section.over == "picture":
            return redrawn_BCHW
        return torch.where(pixels_of(batch.image_masked_BP, true_BCHW), redrawn_BCHW, true_BCHW)


@dataclass(frozen=True)
class Strangers:
    """Which listings may stand for each other as what does not belong together."""

    groups_N: Tensor | None  # number of the product group, by row; None: each row is one of its own
    _there: dict[torch.device, Tensor] = field(default_factory=dict)

    def __call__(self, batch: Batch) -> Tensor:
        """(B, B) bool: two listings of different product groups, each with a text and a picture."""
        group_B, both_B = self._groups(batch.rows_B), batch.has_text_B & batch.has_image_B
        return (group_B[:, None] != group_B) & both_B[:, None] & both_B

    def _groups(self, rows_B: Tensor) -> Tensor:
        if self.groups_N is None:
            return rows_B
        if rows_B.device not in self._there:
            self._there[rows_B.device] = self.groups_N.to(rows_B.device)
        return self._there[rows_B.device][rows_B]


@dataclass(frozen=True)
class ItcLoss:
    """Nats of finding the picture of a text among the strangers', and the other way round; averaged over the listings
    that have a stranger in the micro-batch."""

    head: ContrastHead
    strangers: Strangers
    name = "itc"

    def count(self, batch: Batch) -> int:
        return int(self.strangers(batch).any(1).sum())

    def by_listing(self, reading: Reading) -> Tensor:
        return contrast(self.head(*reading.apart) * self.head.scale, self.strangers(reading.batch))


@dataclass(frozen=True)
class ItmLoss:
    """Cross-entropy of telling listings from those that got a stranger's picture; averaged over the listings that have
    a stranger in the micro-batch.

    Every second one of these is given away: they exchange pictures with one another, so that no picture is seen more
    often where it does not belong, which would tell the answer without a look at the text. Among all ways to exchange
    it is that of the greatest likeness in sum: by ITC's head, text by picture, or else of two listings as the masked
    pass read them; or, unless `hard`, that in which each gets the next one's.
    """

    head: MatchHead
    strangers: Strangers
    hard: bool
    contrast: ContrastHead | None = None
    name = "itm"

    def count(self, batch: Batch) -> int:
        return int(self.strangers(batch).any(1).sum())

    def by_listing(self, reading: Reading) -> Tensor:
        asked_B, whose_B = self.strangers(reading.batch).any(1), self.whose(reading)
        shown = replace(reading.unmasked, pixels_BCHW=reading.batch.pixels_BCHW[whose_B])
        belongs_B = (whose_B == torch.arange(len(whose_B), device=whose_B.device)).float()
        logits_B = self.head(reading.network.encode(shown)[0])
        return F.binary_cross_entropy_with_logits(logits_B, belongs_B, reduction="none") * asked_B

    def whose(self, reading: Reading) -> Tensor:
        """(B,) the place of the listing whose picture each gets; its own where no exchange with a stranger is left."""
        strangers_BB = self.strangers(reading.batch)
        given_n = strangers_BB.any(1).nonzero()[1::2, 0]
        strangers_nn, likeness_nn = (x[given_n][:, given_n] for x in (strangers_BB, self._likeness(reading)))
        costs_nn = torch.where(strangers_nn, -likeness_nn.double(), 2 * _NEVER)
        costs_nn.diagonal().fill_(_NEVER)  # so that it is rather its own than another of its group
        whose_B = torch.arange(len(strangers_BB), device=given_n.device)
        whose_B[given_n] = given_n[torch.from_numpy(linear_sum_assignment(costs_nn.cpu())[1]).to(given_n.device)]
        return whose_B

    def _likeness(self, reading: Reading) -> Tensor:
        """(B, B): the higher, the rather the listing of a row gets the picture of the column's."""
        if not self.hard:
            place_B = torch.arange(len(reading.batch), device=reading.batch.rows_B.device)
            return -((place_B - place_B[:, None]) % len(place_B)).float()
        if self.contrast:
            cosines_BB: Tensor = self.contrast(*reading.apart).detach()
            return cosines_BB
        mean_BD = mean_of_tokens(reading.batch, *reading.masked).detach()
        return cosines(mean_BD, mean_BD)


class Pretraining:
    """The weighted sum, as the training loop wants it.

    An objective of weight 0 has no head and is not computed; what of the network it alone would train is frozen, so
    that all that learns gets a gradient.
    """

    def __init__(self, network: Mlim, section: Objectives, groups_N: Tensor | None = None) -> None:
        """`groups_N`: the number of each row's product group; by default each row is a group of its own."""
        self.network = network
        self.heads = Heads(section, network.shape.size.width)
        self.objectives = objectives_of(section, self.heads, groups_N)
        self.weights = {part.name: float(getattr(section, part.name).weight) for part in self.objectives}
        network.language_head.requires_grad_("mlm" in self.weights)
        network.image_decoder.requires_grad_("recon" in self.weights)
        self.model = nn.ModuleDict({"network": network, "heads": self.heads})

    def counts(self, batch: Batch) -> Mapping[str, int]:
        return {part.name: part.count(batch) for part in self.objectives}

    def sums(self, batch: Batch) -> Mapping[str, Tensor]:
        return {name: losses_B.sum() for name, losses_B in self.by_listing(batch).items()}

    def by_listing(self, batch: Batch) -> Mapping[str, Tensor]:
        """(B,) each loss of each listing."""
        reading = Reading(self.network, batch)
        return {part.name: part.by_listing(reading) for part in self.objectives}


def objectives_of(section: Objectives, heads: Heads, groups_N: Tensor | None = None) -> list[Objective]:
    """The objectives with a weight; `groups_N`: the number of each row's product group, by default its own."""
    strangers = Strangers(groups_N)
    found: list[Objective] = []
    if section.mlm.weight:
        found.append(MlmLoss())
    if section.recon.weight:
        found.append(ReconLoss(section.recon))
    if heads.itc:
        found.append(ItcLoss(heads.itc, strangers))
    if heads.itm:
        found.append(ItmLoss(heads.itm, strangers, section.itm.negatives == "hard", heads.itc))
    return found


def group_numbers(items: pl.DataFrame) -> Tensor:
    """(N,) the number of each row's product group."""
    return torch.from_numpy(items["group"].rank("dense").cast(pl.Int64).to_numpy(writable=True))
