"""What one would look at without mlim: words and pieces of words; colours, shapes and edges of the picture.

The words are learnt on the train part, as everything else here. A listing without a text or a picture has zeros.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from torch.utils.dlpack import from_dlpack

from workbench.images.augment import identity
from workbench.tasks.catalog import Catalog

Floats = NDArray[np.float32]
TEXTS = 200_000  # of the train part from which words are learnt, at most
SIDE, _GRID, _BINS, _ANGLES = 32, 8, 4, 9  # pixels of a picture; cells a side; bins a colour; directions of edges
_THUMB, _COLOURS = 3 * _GRID**2, _BINS**3
BLOCKS = (slice(0, _THUMB), slice(_THUMB, _THUMB + _COLOURS), slice(_THUMB + _COLOURS, None))  # of a picture
_WIDTH = _THUMB + _COLOURS + _ANGLES * _GRID**2


class Features:
    """Features of all listings of a catalog, each kind made when it is first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.groups = catalog.items["group"].to_numpy().astype(np.str_)  # (N,)
        self.has_picture = np.asarray(catalog.shards.usable)  # (N,) bool

    @cached_property
    def titles(self) -> list[str]:
        return [title or "" for title in self.catalog.items["title"]]

    @cached_property
    def texts(self) -> list[str]:
        """Title and further text of each listing."""
        columns = [c for c in self.catalog.items.columns if c == "title" or c.startswith("text.")]
        return [" ".join(filter(None, row)) for row in self.catalog.items.select(columns).iter_rows()]

    @cached_property
    def has_text(self) -> NDArray[np.bool_]:
        """(N,)"""
        return np.array([bool(text.strip()) for text in self.texts])

    @cached_property
    def words(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """(N, words) TF-IDF of words and of pieces of 2 to 4 characters, each listing of length 1 in either."""
        return self._tfidf(self.texts)

    @cached_property
    def words_of_titles(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """The same of the titles alone."""
        return self._tfidf(self.titles)

    @cached_property
    def text(self) -> sp.csr_matrix:
        """Words and pieces side by side, each listing of length 1."""
        return sp.hstack(self.words).tocsr() / np.float32(np.sqrt(2))

    @cached_property
    def sets(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """(N, many) 1 for each word that a text has, known or not; and that a title has."""
        count = HashingVectorizer(binary=True, norm=None, alternate_sign=False, token_pattern=r"(?u)\w+")
        return count.transform(self.texts), count.transform(self.titles)

    def pictures_of(self, rows: NDArray[np.int64]) -> Floats:
        """(n, 832): an 8x8 thumbnail around its mean, a colour histogram, and edges by place and direction (HOG); each
        of the three of length 1, of the picture at 32 x 32 pixels."""
        missing = np.unique(rows[self.has_picture[rows] & ~self._described[rows]])
        for start in range(0, len(missing), 256):
            some = missing[start : start + 256]
            begun = self.catalog.listings.pictures.start(some, identity(len(some)), None, SIDE)
            self._pictures[some] = [describe(pixels) for pixels in from_dlpack(begun()).numpy(force=True)]
        self._described[missing] = True
        return np.asarray(self._pictures[rows])

    @cached_property
    def _pictures(self) -> Floats:
        """(N, 832), of which only what is written takes memory."""
        return np.zeros((len(self.has_picture), _WIDTH), np.float32)

    @cached_property
    def _described(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.has_picture), bool)

    def _tfidf(self, texts: list[str]) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        found = []
        for vectors in self._fitted:
            found.append(vectors.transform(texts) if vectors else sp.csr_matrix((len(texts), 1), dtype=np.float32))
        return found[0], found[1]

    @cached_property
    def _fitted(self) -> list[TfidfVectorizer | None]:
        """None where the train part has no words."""
        how = {"sublinear_tf": True, "dtype": np.float32}
        train = [self.texts[row] for row in evenly(self.catalog.rows("train"), TEXTS)]
        fitted: list[TfidfVectorizer | None] = []
        for vectors in (
            TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\w+", **how),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), **how),
        ):
            try:
                fitted.append(vectors.fit(train))
            except ValueError:  # an empty vocabulary
                fitted.append(None)
        return fitted


def evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of them, spread evenly."""
    return rows[:: max(1, -(-len(rows) // most))]


def describe(pixels_CHW: NDArray[np.uint8]) -> Floats:
    """(832,) of a square picture whose side the grid divides."""
    cell = pixels_CHW.shape[1] // _GRID
    thumbnail = pixels_CHW.reshape(3, _GRID, cell, _GRID, cell).mean((2, 4)).ravel() / 255
    bins = (pixels_CHW.astype(np.int64) * _BINS // 256).reshape(3, -1)
    histogram = np.bincount(bins[0] * _BINS**2 + bins[1] * _BINS + bins[2], minlength=_COLOURS)
    parts = (thumbnail - thumbnail.mean(), np.sqrt(histogram), np.sqrt(_edges(pixels_CHW, cell)))
    return np.concatenate([p / max(float(np.linalg.norm(p)), 1e-9) for p in parts]).astype(np.float32)


def _edges(pixels_CHW: NDArray[np.uint8], cell: int) -> NDArray[np.float64]:
    """(576,) strength of the edges by cell and direction; of the three colours the strongest counts."""
    across, down = np.zeros((2, *pixels_CHW.shape))
    light = pixels_CHW.astype(np.float64)
    across[:, :, 1:-1], down[:, 1:-1] = light[:, :, 2:] - light[:, :, :-2], light[:, 2:] - light[:, :-2]
    strongest = np.hypot(across, down).argmax(0)[None]
    across, down = (np.take_along_axis(a, strongest, 0)[0] for a in (across, down))
    angle = np.arctan2(down, across) % np.pi / np.pi * _ANGLES
    low, strength = np.floor(angle).astype(np.int64), np.hypot(across, down)
    y, x = np.indices(strength.shape) // cell
    place = (y * _GRID + x) * _ANGLES
    size = _ANGLES * _GRID**2
    nearer = np.bincount((place + low % _ANGLES).ravel(), (strength * (low + 1 - angle)).ravel(), size)
    return np.asarray(
        nearer + np.bincount((place + (low + 1) % _ANGLES).ravel(), (strength * (angle - low)).ravel(), size)
    )
