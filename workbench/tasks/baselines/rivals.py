"""The baselines: each learns from the same labels as the networks and is asked in the same ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.recipe.schema import Baselines, Runtime
from workbench.tasks.baselines.embedded import Embedded
from workbench.tasks.baselines.features import Features
from workbench.tasks.baselines.learnt import Learnt
from workbench.tasks.baselines.plain import KINDS, Plain
from workbench.tasks.baselines.trees import Trees
from workbench.tasks.catalog import Catalog

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class Rival(Protocol):
    """What a network is held against. A reading (readings.py) that it can't do is absent from what it gives."""

    @property
    def name(self) -> str: ...

    def classify(self, train_rows: Rows, labels: NDArray[Any], classes: int, rows: Rows) -> Mapping[str, Floats]:
        """By reading the (n, classes) probabilities of `rows`; `labels` of `train_rows` are (n,) int or, where a
        listing is in several classes, (n, classes) bool."""

    def match(
        self, train_rows: Rows, train_match: NDArray[np.bool_], parts: Mapping[str, Rows]
    ) -> Mapping[str, Floats]:
        """By part and reading (`scored`) the (n,) probabilities that the (n, 2) rows of a part match, learnt from pairs
        of both kinds."""

    def points(self, rows: Rows, reading: str) -> Any:
        """(n, d) dense or csr_matrix: listings whose products are cosines; None where it has none."""


def rivals(catalog: Catalog, section: Baselines, runtime: Runtime | None = None) -> list[Rival]:
    """Those that the recipe wants; what published models make of the listings is kept in the cache of `runtime`."""
    features = Features(catalog)
    found: list[Rival] = [Learnt(Plain(name, features)) for name in KINDS] if section.plain else []
    if section.trees:
        found.append(Trees(features))
    return [*found, *(Learnt(Embedded(named, features, runtime)) for named in section.embeddings)]
