"""What a network says of a missing attribute: a score for each value, read from the listing without that attribute."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from workbench.batch import Batch
from workbench.batches.fields import NONE, Words, asking, without
from workbench.tasks.tuned import Tuned


def ask(tuned: Tuned, batch: Batch, told: Mapping[str, Any]) -> Tensor:
    """(B, values) scores of all values of all attributes side by side, in the order of `answers.json`."""
    return torch.cat([ask_one(tuned, batch, told, place) for place in range(len(told["attributes"]))], 1)


def ask_one(tuned: Tuned, batch: Batch, told: Mapping[str, Any], place: int) -> Tensor:
    """(B, values) of the attribute at this place."""
    start, end = ends_of(told)[place : place + 2]
    return scores(tuned, batch, torch.full_like(batch.rows_B, place), told)[:, start:end]


def scores(tuned: Tuned, batch: Batch, attribute_B: Tensor, told: Mapping[str, Any]) -> Tensor:
    """(B, values) of the attribute that is asked of each listing, and -inf of all others: logits of classes, or the
    mean log likelihood of a value's words."""
    words, attributes = Words.told(told["text"]), list(told["attributes"].values())
    markers = [NONE if attribute["marker"] is None else attribute["marker"] for attribute in attributes]
    marker_B = torch.tensor(markers, device=attribute_B.device)[attribute_B]
    if told["answer"] == "classes":
        scores_BV: Tensor = tuned.heads["fill"](tuned.pooled(without(batch, marker_B, words))).float()
    else:
        pieces = [ids for attribute in attributes for ids in attribute["pieces"]]
        scores_BV = _likelihoods(tuned, batch, marker_B, pieces, words)
    of_value = [place for place, attribute in enumerate(attributes) for _ in attribute["values"]]
    other_BV = torch.tensor(of_value, device=attribute_B.device) != attribute_B[:, None]
    return scores_BV.masked_fill(other_BV, -torch.inf)


def ends_of(told: Mapping[str, Any]) -> list[int]:
    """Where the values of each attribute begin among all of them; and their number."""
    return list(accumulate((len(attribute["values"]) for attribute in told["attributes"].values()), initial=0))


def _likelihoods(tuned: Tuned, batch: Batch, marker_B: Tensor, pieces: list[list[int]], words: Words) -> Tensor:
    """(B, values) one pass for each length of values: so many [MASK]s stand behind the marker, and each value's tokens
    are looked up there; no token of an answer is read by another's."""
    device, said = marker_B.device, []
    order = sorted(range(len(pieces)), key=lambda place: len(pieces[place]))
    for length in sorted({len(ids) for ids in pieces}):
        any_BK = torch.zeros(len(batch), length, dtype=torch.long, device=device)
        asked = asking(batch, marker_B, any_BK, words)
        logits_MV = tuned.network.masked_token_logits(tuned.network.encode(asked)[0], asked)
        logs_BKV = logits_MV.float().log_softmax(1).view(len(batch), length, -1)
        ids_vK = torch.tensor([pieces[place] for place in order if len(pieces[place]) == length], device=device)
        said.append(torch.stack([logs_BKV[:, i, ids_vK[:, i]] for i in range(length)]).mean(0))
    back = torch.tensor(order, device=device).argsort()
    return torch.cat(said, 1)[:, back]
