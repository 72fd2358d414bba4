"""How much a common word tells, before anything is learnt: the rarer it is in the catalog, the more."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.tasks.pooling import WORDS, numbers_of
from workbench.text.tokens import TokenTable

MOST = 50_000  # listings that are counted


def rarity(tokens: TokenTable, rows: NDArray[np.int64]) -> Tensor:
    """(WORDS,) logarithms of scikit-learn's smooth IDF: 1 + ln((1 + listings) / (1 + those with the word))."""
    rows = rows[:: max(1, -(-len(rows) // MOST))]
    having_W = np.zeros(WORDS)
    for row in rows:
        ids = torch.from_numpy(tokens.ids(int(row)).astype(np.int64))
        having_W[np.unique(numbers_of(ids).numpy())] += 1
    return torch.from_numpy(np.log(1 + np.log((1 + len(rows)) / (1 + having_W)))).float()
