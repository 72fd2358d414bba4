"""How well the text and the picture of each listing fit, held against strangers (docs/audit.md).

With all words hidden the network says them from the picture alone; with the whole picture hidden it redraws it from the
text alone; heads that were trained to tell what belongs together are asked, too. A text and a picture that belong
together lose less than the same text beside a stranger's picture, and than a stranger's text beside the same picture.
Strangers are of other product groups, and each listing is one as often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from workbench.batch import Batch
from workbench.evaluate.intervals import Floats
from workbench.model.reading import Reading
from workbench.progress import followed
from workbench.recipe.schema import Mam
from workbench.report.crossmodal import SEED, Rows, partners
from workbench.report.trained import Trained

if TYPE_CHECKING:
    from rich.console import Console

BATCH = 128
SWEEPS = 30  # each brings the costs closer to the least squares' by a factor of about the number of strangers
FEWEST = 200  # listings to learn a judgement from
REGULAR = 1e3  # inverse strength: hardly any, for a handful of features
ALL_WORDS = Mam(modes=(0, 1, 0), heavy_text=1)


@dataclass(frozen=True)
class Misfit:
    """Figures by listing."""

    losses: Mapping[str, Floats]  # by objective, (1 + S, n): with its own picture, then strangers'; see `pair_losses`
    fits: Mapping[str, Floats]  # (n,) the loss saved against what text and picture cost among strangers
    score_n: Floats  # log odds, in nats, that the picture is a stranger's; see `judge`
    beaten_n: Floats  # share of the strangers' pictures that fit the text better than its own
    best_n: NDArray[np.int64]  # the stranger whose picture fits best, by place; -1 where that is the own


def hidden(trained: Trained, rows_B: Rows) -> tuple[Batch, Batch]:
    """The listings with all words hidden, and with the whole picture hidden."""
    words = trained.catalog.listings.batch(rows_B, seed=SEED, masking=ALL_WORDS)
    picture = replace(
        words,
        shown_BL=words.tokens_BL,
        text_masked_BL=torch.zeros_like(words.text_masked_BL),
        image_masked_BP=torch.ones_like(words.image_masked_BP),
    )
    return words, picture


def questions(trained: Trained) -> dict[str, Callable[[Reading], Tensor]]:
    """What the network can be asked of a text and a picture together: the loss (B,) of a reading, by objective.

    That of ITM, where it was trained for it, is the log odds that they don't belong together.
    """
    found: dict[str, Callable[[Reading], Tensor]] = {n: one.by_listing for n, one in trained.objectives.items()}
    if itm := trained.heads.itm:
        found["itm"] = lambda reading: -itm(reading.network.encode(reading.unmasked)[0])
    return found


@torch.no_grad()
def pair_losses(trained: Trained, rows: Rows, stranger_Sn: Rows, console: Console) -> dict[str, Floats]:
    """(1 + S, n) for each objective: each text with its own picture, then with that of `rows[stranger_Sn[s]]`.

    ITC reads both apart, so that one pass does for all pairs: the negative cosine over the temperature.
    """
    network, listings, asked = trained.network, trained.catalog.listings, questions(trained)
    device, itc = next(network.parameters()).device, trained.heads.itc
    pictures_Sn = np.vstack([np.arange(len(rows)), stranger_Sn])
    losses = {name: np.zeros(pictures_Sn.shape) for name in asked}
    points: list[tuple[Tensor, Tensor]] = []
    by_length = np.argsort(listings.tokens.lengths[rows], kind="stable")  # less padding
    work = [by_length[first : first + BATCH] for first in range(0, len(rows), BATCH)]
    for chosen in followed(console, "audit", work, len):
        words, picture = (batch.to(device) for batch in hidden(trained, rows[chosen]))
        if itc:
            text_BD, image_BD = Reading(network, words).apart
            points.append((F.normalize(itc.text(text_BD), dim=1), F.normalize(itc.image(image_BD), dim=1)))
        redrawn = Reading(network, picture).masked if "recon" in asked else None
        for s, other_n in enumerate(pictures_Sn if asked else ()):
            pixels_BCHW = listings.batch(rows[other_n[chosen]]).pixels_BCHW.to(device) if s else words.pixels_BCHW
            reading = Reading(network, replace(words, pixels_BCHW=pixels_BCHW))
            from_text = Reading(network, replace(picture, pixels_BCHW=pixels_BCHW))
            if redrawn:  # from the text alone: the same, whatever it is held against
                from_text.masked = redrawn
            for name, ask in asked.items():
                answer_B = ask(from_text if name == "recon" else reading)
                losses[name][s, chosen] = answer_B.double().cpu().numpy()
    if itc:
        scale = float(itc.scale)
        text_nK, image_nK = (torch.cat(part)[np.argsort(by_length)].cpu().numpy() for part in zip(*points, strict=True))
        losses["itc"] = np.stack([-scale * (text_nK * image_nK[other_n]).sum(1) for other_n in pictures_Sn])
    return losses


def costs(loss_Sn: Floats, stranger_Sn: Rows) -> tuple[Floats, Floats]:
    """(1 + S, n) each: what the text and what the picture of a pair cost among strangers, own pairs first.

    Their sum is the least squares' for the strangers' losses (a mean of a text's strangers alone would hold what their
    pictures cost). A stranger's pair is left out of its own costs, so that own and strangers' pairs are judged alike.
    """
    others_Sn = loss_Sn[1:]
    strangers, n = others_Sn.shape
    picture_n = np.zeros(n)
    for _ in range(SWEEPS):
        text_n = (others_Sn - picture_n[stranger_Sn]).mean(0)
        picture_n = np.bincount(stranger_Sn.ravel(), (others_Sn - text_n).ravel(), n) / strangers
    left_out_Sn = (others_Sn - text_n - picture_n[stranger_Sn]) / (strangers - 1)
    return np.vstack([text_n, text_n - left_out_Sn]), np.vstack([picture_n, picture_n[stranger_Sn] - left_out_Sn])


def judge(losses: Mapping[str, Floats], stranger_Sn: Rows, seen_n: NDArray[np.bool_]) -> Floats:
    """(1 + S, n) log odds, in nats, that a pair is a stranger's and not an own one, either as likely beforehand.

    A logistic regression of own against strangers' pairs on each objective's loss and the two costs. So an objective
    counts as much as it tells the two apart, and costs are taken off as far as that helps: of MLM nearly wholly, of
    cosines hardly. The few wrong pairs among the own ones move it little. Texts that the network has `seen` in training
    and others are judged apart, since it is surer of the seen; all together where either are too few to learn from.
    """
    parts = [part for loss_Sn in losses.values() for part in (loss_Sn, *costs(loss_Sn, stranger_Sn))]
    told_SnK = np.stack(parts, 2)
    odds_Sn = np.zeros(told_SnK.shape[:2])
    apart = min(seen_n.sum(), (~seen_n).sum()) >= FEWEST
    for chosen_n in (seen_n, ~seen_n) if apart else (np.ones_like(seen_n),):
        told_MK = StandardScaler().fit_transform(told_SnK[:, chosen_n].reshape(-1, len(parts)))
        strangers_M = np.arange(len(told_MK)) >= chosen_n.sum()
        rule = LogisticRegression(C=REGULAR, class_weight="balanced", max_iter=1000).fit(told_MK, strangers_M)
        odds_Sn[:, chosen_n] = rule.decision_function(told_MK).reshape(len(odds_Sn), -1)
    return odds_Sn


def misfit(trained: Trained, rows: Rows, strangers: int, console: Console) -> Misfit:
    """The figures of these rows, which all have a text and a picture."""
    groups = trained.catalog.items["group"].gather(rows).to_list()
    stranger_Sn = np.stack([partners(groups, s) for s in range(strangers)])
    losses = pair_losses(trained, rows, stranger_Sn, console)
    odds_Sn = judge(losses, stranger_Sn, trained.catalog.items["part"].gather(rows).eq_missing("train").to_numpy())
    best_n = odds_Sn.argmin(0)
    best_n = np.where(best_n > 0, stranger_Sn[best_n - 1, np.arange(len(rows))], -1)
    fits = {name: np.add(*costs(loss_Sn, stranger_Sn))[0] - loss_Sn[0] for name, loss_Sn in losses.items()}
    return Misfit(losses, fits, odds_Sn[0], (odds_Sn[1:] < odds_Sn[0]).mean(0), best_n)
