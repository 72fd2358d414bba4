"""Tuning a network to find listings: batches of queries and answers, and what becomes of held-out queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.batches.loader import Listings
from workbench.batches.order import Rows
from workbench.draws import ANSWERS, uniforms
from workbench.recipe.schema import ModalityDropout, Query, Retrieve
from workbench.tasks.match.tuning import lost_together
from workbench.tasks.readings import READINGS, scored
from workbench.tasks.retrieve.asked import Gallery, Ints, named
from workbench.tasks.retrieve.belonging import Belonging
from workbench.tasks.retrieve.crowds import Crowds
from workbench.tasks.retrieve.net import ContrastiveLoss, QueryBatch, RetrieveHead
from workbench.tasks.tuned import Tuned

FOUND = ".found"  # ends the name of the rows that were found first


def main_of(queries: Sequence[Query]) -> Query:
    """The kind of query that the task is judged by."""
    return "both" if "both" in queries else queries[0]


def drawn(queries: Sequence[Query]) -> ModalityDropout:
    """What makes of listings queries of these kinds, each as often as the others."""
    return ModalityDropout(text=queries.count("picture") / len(queries), image=queries.count("text") / len(queries))


@dataclass(frozen=True)
class RetrieveTuning:
    """The retrieve task as `tune` sees it: a label is a training listing to which another belongs."""

    section: Retrieve
    belonging: Belonging
    rows: Ints  # (n,) these listings
    groups: NDArray[np.str_]  # (n,) what they have in common with their answers: a share of the labels has it whole
    galleries: Mapping[str, Gallery]  # by held-out part
    near: Ints | None = None  # (n, K) places of the listings most alike that are no answers, -1: no more; for crowds

    def heads(self, width: int) -> dict[str, nn.Module]:
        return {"retrieve": RetrieveHead(width, self.section.temperature)}

    def objective(self, tuned: Tuned) -> ContrastiveLoss:
        return ContrastiveLoss(tuned)

    def frequencies(self, places: NDArray[np.int64], seed: int) -> Crowds | None:
        """Each listing asks once an epoch; with mined negatives, those alike ask together."""
        return None if self.near is None else Crowds.among(places, self.near)

    def start(self, listings: Listings, chosen: NDArray[np.int64], clock: Rows, seed: int) -> Callable[[], QueryBatch]:
        """Begin the queries of these places, all of one kind, each with one of its answers, read whole but for modality
        dropout. Kinds and losses are drawn for a micro-batch, whose listings are compared with one another."""
        rows, how = self.rows[chosen], self.section
        answers = self._answers(rows, clock, seed)
        begun = [
            listings.start(
                of,
                epoch=clock,
                seed=seed,
                augment=how.augment,
                dropout=lost_together(lost, seed, int(clock[0]), of),
                any_picture=True,
            )
            for of, lost in ((rows, drawn(how.queries)), (answers, how.mdo))
        ]
        product_n = torch.from_numpy(self.belonging.product_N[rows])
        side_2n = torch.from_numpy(self.belonging.side_N[np.stack([rows, answers])])
        return lambda: QueryBatch(begun[0](), begun[1](), product_n, side_2n)

    def _answers(self, rows: Ints, clock: Rows, seed: int) -> Ints:
        """(n,) one of the answers of each, drawn at random."""
        side_N, found = self.belonging.side_N, []
        for row, u in zip(rows, uniforms(seed, ANSWERS, clock, rows, 1)[:, 0], strict=True):
            alike = self._of_product[self.belonging.product_N[row]]
            others = alike[side_N[alike] != side_N[row]]
            found.append(others[int(u * len(others))])
        return np.array(found, np.int64)

    @cached_property
    def _of_product(self) -> dict[int, Ints]:
        product_n = self.belonging.product_N[self.rows]
        order = np.argsort(product_n, kind="stable")
        products, starts = np.unique(product_n[order], return_index=True)
        return dict(zip(products.tolist(), np.split(self.rows[order], starts[1:]), strict=True))

    def finish(self, *_: Any) -> None:
        """Nothing is."""

    def scores(self, tuned: Tuned, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """By part and kind of query: (q, measures) of its gallery's queries, and under the name + ".found" (q, SHOWN)
        the rows found first."""
        head = tuned.heads["retrieve"]

        def points(rows: Ints, lost: ModalityDropout | None) -> NDArray[np.float64]:
            read = [head(tuned.pooled(b.to(device))).float().cpu() for b in listings.batches(rows, size, dropout=lost)]
            return torch.cat(read).double().numpy() if read else np.zeros((0, 1))

        found: dict[str, Tensor] = {}
        main = main_of(self.section.queries)
        for part, gallery in self.galleries.items():
            whole = points(gallery.rows, None)
            for kind in self.section.queries if part == "test" else (main,):
                asked = whole[gallery.places] if kind == "both" else points(gallery.queries, READINGS[kind])
                measures, first = gallery.ask(asked, whole)
                name = scored(part, kind)
                found |= {name: torch.from_numpy(measures), name + FOUND: torch.from_numpy(first)}
        return found

    def outcome(self, scores: dict[str, NDArray[np.float64]]) -> str:
        """How good the scores are on the valid part, for a person who waits."""
        mrr = named(scores[scored("valid", main_of(self.section.queries))])["mrr"]
        return f"MRR {mrr.mean():.3f} on valid" if len(mrr) else "nothing to find in the valid part"
