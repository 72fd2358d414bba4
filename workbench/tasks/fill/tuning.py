"""Tuning a network on known attributes: batches of questions, and the scores of held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.batches.loader import Listings
from workbench.batches.order import Rows
from workbench.recipe.schema import Fill
from workbench.tasks.classify.net import ClassHead
from workbench.tasks.fill.ask import ask_one, ends_of
from workbench.tasks.fill.net import FillBatch, FillLoss, SaysWords
from workbench.tasks.readings import READINGS, scored
from workbench.tasks.tuned import Tuned

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Questions:
    """Listings of which attributes are asked, those of an attribute together."""

    rows: Ints
    attribute: Ints  # place of the attribute
    value: Ints  # place among its values; -1: it has another

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, place: int) -> Questions:
        """Those about one attribute."""
        at = self.attribute == place
        return Questions(self.rows[at], self.attribute[at], self.value[at])

    def among(self, chosen: Ints) -> Questions:
        """Those of these places."""
        return Questions(self.rows[chosen], self.attribute[chosen], self.value[chosen])


@dataclass(frozen=True)
class FillTuning:
    """The fill task as `tune` sees it."""

    section: Fill
    told: Mapping[str, Any]  # the attributes and the text's words, as in answers.json
    questions: Mapping[str, Questions]  # by part; in training of values that can be said
    groups: NDArray[np.str_]  # product groups of the training questions

    def heads(self, width: int) -> dict[str, nn.Module]:
        if self.section.answer == "words":
            return {"fill": SaysWords()}
        return {"fill": ClassHead(width, ends_of(self.told)[-1], self.section.dropout)}

    def objective(self, tuned: Tuned) -> FillLoss:
        return FillLoss(tuned, self.told)

    def frequencies(self, places: Ints, seed: int) -> None:
        """Each question is drawn once an epoch."""

    def start(self, listings: Listings, chosen: Ints, clock: Rows, seed: int) -> Callable[[], FillBatch]:
        asked, how = self.questions["train"], self.section
        rows, attribute_B, value_B = asked.rows[chosen], asked.attribute[chosen], asked.value[chosen]
        batch = listings.start(rows, epoch=clock, seed=seed, augment=how.augment, dropout=how.mdo, any_picture=True)
        value = torch.from_numpy(np.array(ends_of(self.told))[attribute_B] + value_B)
        return lambda: FillBatch(batch(), torch.from_numpy(attribute_B), value)

    def finish(self, *_: Any) -> None:
        """Nothing is."""

    def scores(self, tuned: Tuned, listings: Listings, device: torch.device, size: int) -> dict[str, Tensor]:
        """(n, values) of the held-out questions of each attribute, by part, reading and attribute."""
        found = {}
        for part in ("valid", "test"):
            for reading, lost in READINGS.items() if part == "test" else [("both", None)]:
                for place, name in enumerate(self.told["attributes"]):
                    read = listings.batches(self.questions[part].of(place).rows, size, dropout=lost)
                    said = [ask_one(tuned, batch.to(device), self.told, place).cpu() for batch in read]
                    none = torch.zeros(0, len(self.told["attributes"][name]["values"]))
                    found[key_of(part, reading, name)] = torch.cat([*said, none])
        return found

    def outcome(self, scores: dict[str, NDArray[np.float64]]) -> str:
        """How good the scores are on the valid part, for a person who waits."""
        asked = self.questions["valid"]
        if not len(asked):
            return "nothing to ask in the valid part"
        guesses = [scores[key_of("valid", "both", name)].argmax(1) for name in self.told["attributes"]]
        return f"{(np.concatenate(guesses) == asked.value).mean():.1%} right on valid"


def key_of(part: str, reading: str, name: str) -> str:
    """The name of an attribute's scores."""
    return f"{scored(part, reading)}/{name}"
