"""Tuning a network on labelled listings: batches of them, and the scores of held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.batch import Batch
from workbench.batches.loader import Listings
from workbench.batches.order import Rows
from workbench.batches.weights import Frequencies, balanced
from workbench.recipe.schema import Classify, ModalityDropout
from workbench.tasks.classify.net import ClassBatch, ClassHead, ClassLoss
from workbench.tasks.classify.plain import BOTH, PICTURE, TEXT, Plain
from workbench.tasks.classify.target import Target
from workbench.tasks.readings import READINGS, scored
from workbench.tasks.tuned import Tuned


@dataclass(frozen=True)
class ClassTuning:
    """The classify task as `tune` sees it."""

    section: Classify
    target: Target
    rows: Mapping[str, NDArray[np.int64]]  # rows of the labelled listings by part; in training, of known classes
    groups: NDArray[np.str_]  # product groups of the training listings
    pieces: int  # of the tokenizer

    def heads(self, width: int) -> dict[str, nn.Module]:
        classes = len(self.target.paths)
        plain = Plain(classes, self.pieces, self.target.several is not None)
        return {"classify": ClassHead(width, classes, self.section.dropout, plain)}

    def objective(self, tuned: Tuned) -> ClassLoss:
        return ClassLoss(tuned, self.target.several is not None)

    def frequencies(self, places: NDArray[np.int64], seed: int) -> Frequencies | None:
        """By class; a listing in several is drawn as its rarest class."""
        if not self.section.balance:
            return None
        truth_n = self.target.truth_N[self.rows["train"][places]]
        if self.target.several is not None:
            holds_nK = self.target.holds_TK[truth_n]
            truth_n = np.where(holds_nK, holds_nK.sum(0), len(holds_nK) + 1).argmin(1)
        return balanced(np.unique(truth_n, return_inverse=True)[1], self.section.balance, seed)

    def start(self, listings: Listings, chosen: NDArray[np.int64], clock: Rows, seed: int) -> Callable[[], ClassBatch]:
        rows, how = self.rows["train"][chosen], self.section
        batch = listings.start(rows, epoch=clock, seed=seed, augment=how.augment, dropout=how.mdo, any_picture=True)
        holds_BK = torch.from_numpy(self.target.holds_TK[self.target.truth_N[rows]])
        return lambda: ClassBatch(batch(), holds_BK)

    def finish(
        self, tuned: Tuned, listings: Listings, chosen: NDArray[np.int64], device: torch.device, size: int
    ) -> None:
        """What words and looks say (fitting.py)."""
        from workbench.tasks.baselines.features import evenly  # scikit-learn
        from workbench.tasks.classify import fitting

        head, target = tuned.heads["classify"], self.target
        assert isinstance(head, ClassHead) and head.plain
        plain = head.plain
        plain.spelling.copy_(fitting.spelling(listings.tokens.tokenizer.spelled_V))
        rows, held = self.rows["train"][chosen], self.rows["valid"][target.learnable_N[self.rows["valid"]]]
        if target.several is None:
            rows = rows[target.exact_T[target.truth_N[rows]]]  # those that tell a class in full
        rows, held = evenly(rows, fitting.LEARNT), evenly(held, fitting.JUDGED)
        if not len(rows):
            return

        def seen(rows: NDArray[np.int64], lost: ModalityDropout | None = None) -> fitting.Seen:
            return fitting.see(tuned, listings.batches(rows, size, dropout=lost), device)

        holds_nK, held_nK = (target.holds_TK[target.truth_N[some]] for some in (rows, held))
        train = fitting.weighed_by_rarity(plain, seen(rows))
        valid = dict(zip((BOTH, TEXT, PICTURE), (seen(held, lost) for lost in READINGS.values()), strict=True))
        fitting.learn(plain, train, holds_nK, self.section.balance, valid[BOTH], held_nK)
        fitting.weigh_by_kind(plain, valid, held_nK)

    def scores(self, tuned: Tuned, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """(n, K) logits of the held-out listings by part and reading."""
        found = {}
        for part in ("valid", "test"):
            for reading, lost in READINGS.items() if part == "test" else [("both", None)]:
                read = listings.batches(self.rows[part], size, dropout=lost)
                logits = [self._said(tuned, batch.to(device)) for batch in read]
                found[scored(part, reading)] = torch.cat([*logits, torch.zeros(0, len(self.target.paths))])
        return found

    def _said(self, tuned: Tuned, batch: Batch) -> Tensor:
        return tuned.said("classify", batch, tuned.pooled(batch)).float().cpu()

    def outcome(self, scores: dict[str, NDArray[np.float64]]) -> str:
        """How good the scores are on the valid part, for a person who waits."""
        truth_n, logits_nK = self.target.truth_N[self.rows["valid"]], scores["valid"]
        if not len(truth_n):
            return "no labels in the valid part"
        right = self.target.holds_TK[truth_n][np.arange(len(truth_n)), logits_nK.argmax(1)].mean()
        return f"{right:.1%} right on valid"
