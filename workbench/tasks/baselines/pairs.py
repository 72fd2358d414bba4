"""What two listings have in common: features of a pair, the same both ways round."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from workbench.tasks.baselines.features import BLOCKS, Features

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]  # (n, 2)


def dot(vectors: Any, rows_n2: Rows) -> Floats:
    """(n,) of vectors (N, d), dense or sparse."""
    left, right = vectors[rows_n2[:, 0]], vectors[rows_n2[:, 1]]
    product = left.multiply(right) if sp.issparse(vectors) else left * right
    return np.asarray(product.sum(1), np.float64).ravel()


def of_text(features: Features, rows_n2: Rows) -> Floats:
    """(n, 9): cosines of words and of pieces, shares of common words, of the whole texts and of the titles; whether
    both have a text."""
    columns = [dot(vectors, rows_n2) for vectors in (*features.words, *features.words_of_titles)]
    for words in features.sets:
        common, left, right = dot(words, rows_n2), *(np.asarray(words[side].sum(1)).ravel() for side in rows_n2.T)
        columns += [common / np.maximum(1, left + right - common), common / np.maximum(1, np.minimum(left, right))]
    return np.stack([*columns, features.has_text[rows_n2].all(1)], 1)


def of_picture(features: Features, rows_n2: Rows) -> Floats:
    """(n, 4): cosines of thumbnails, colours and edges; whether both have a picture."""
    rows, places = np.unique(rows_n2, return_inverse=True)
    pictures = features.pictures_of(rows)
    columns = [dot(pictures[:, block], places.reshape(-1, 2)) for block in BLOCKS]
    return np.stack([*columns, features.has_picture[rows_n2].all(1)], 1)


def apart(vectors: Any, rows_n2: Rows) -> Any:
    """(n, 2 d) of vectors (N, d): what both have, number by number, and what one has more of."""
    left, right = vectors[rows_n2[:, 0]], vectors[rows_n2[:, 1]]
    if sp.issparse(vectors):
        return sp.hstack([left.multiply(right), abs(left - right)]).tocsr()
    return np.hstack([left * right, np.abs(left - right)])
