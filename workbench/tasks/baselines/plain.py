"""What the plain baselines see: words, the picture, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from workbench.tasks.baselines import pairs
from workbench.tasks.baselines.features import Features
from workbench.tasks.baselines.linear import Floats

Rows = NDArray[np.int64]

KINDS = {
    "text": {"both": "text", "text": "text"},
    "picture": {"both": "picture", "picture": "picture"},
    "both": {"both": "both", "text": "text", "picture": "picture"},
}


@dataclass(frozen=True)
class Plain:
    """One of KINDS."""

    name: str
    features: Features

    @property
    def groups(self) -> NDArray[np.str_]:
        return self.features.groups

    @property
    def readings(self) -> Mapping[str, str]:
        return KINDS[self.name]

    def weights(self, part: str) -> Sequence[float]:
        return (0.3, 0.6, 1.0) if part == "both" else (1.0,)

    def vectors(self, part: str, weight: float, rows: Rows) -> Any:
        if part == "picture":
            return self.features.pictures_of(rows)
        text = self.features.text[rows]
        return (
            text
            if part == "text"
            else sp.hstack([text, sp.csr_matrix(self.features.pictures_of(rows) * weight)]).tocsr()
        )

    def common(self, part: str, rows_n2: Rows) -> Floats:
        found = {"text": pairs.of_text, "picture": pairs.of_picture}
        return np.hstack([of(self.features, rows_n2) for kind, of in found.items() if part in (kind, "both")])

    def apart(self, part: str, rows_n2: Rows) -> Any:
        """By word; numbers of two pictures one by one say nothing more than their cosines."""
        return None if part == "picture" else pairs.apart(self.features.text, rows_n2)

    def points(self, rows: Rows, reading: str) -> Any:
        """(n, d) sparse, but of pictures alone; of length 1 where the listing has all that is read, else shorter."""
        if reading not in self.readings:
            return None
        if self.name == "text":
            return self.features.text[rows]
        picture = self.features.pictures_of(rows) / np.float32(np.sqrt(3))
        if self.name == "picture":
            return picture
        part, text = self.readings[reading], self.features.text[rows]
        half = np.sqrt(0.5) if part == "both" else 1.0
        halves = text * (half * (part != "picture")), sp.csr_matrix(picture * (half * (part != "text")))
        return sp.hstack(halves).tocsr()
