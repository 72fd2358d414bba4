"""What one would try without mlim: words, colours and shapes by scikit-learn, on the same split.

The words are learnt on the train part, as everything else here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from torch.utils.dlpack import from_dlpack

from workbench.images.augment import identity
from workbench.tasks.catalog import Catalog

TEXT, PICTURE, BOTH = "text baseline", "picture baseline", "both baseline"
_GRID, _BINS = 8, 4  # thumbnails of 8 x 8 pixels, colour histograms of 4 x 4 x 4 bins


def text_features(catalog: Catalog) -> sp.csr_matrix:
    """(N, words) TF-IDF of words and of character 2- to 4-grams, each listing of length 1."""
    columns = [c for c in catalog.items.columns if c == "title" or c.startswith("text.")]
    texts = [" ".join(filter(None, row)) for row in catalog.items.select(columns).iter_rows()]
    tfidf = make_union(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)),
        TfidfVectorizer(sublinear_tf=True, analyzer="char_wb", ngram_range=(2, 4)),
    )
    tfidf.fit([texts[row] for row in catalog.rows("train")])
    return sp.csr_matrix(tfidf.transform(texts)) / np.sqrt(2)


def picture_features(catalog: Catalog) -> NDArray[np.float32]:
    """(N, 256): an 8x8 thumbnail around its mean, and a colour histogram; each half of length 1, zeros without one."""
    features = np.zeros((catalog.items.height, 3 * _GRID**2 + _BINS**3), np.float32)
    usable = np.flatnonzero(catalog.shards.usable)
    for start in range(0, len(usable), 256):
        rows = usable[start : start + 256]
        pixels_BCHW = from_dlpack(catalog.listings.pictures.start(rows, identity(len(rows)))()).numpy(force=True)
        features[rows] = [_describe(pixels_CHW) for pixels_CHW in pixels_BCHW]
    return features


def _describe(pixels_CHW: NDArray[np.uint8]) -> NDArray[np.float32]:
    side = pixels_CHW.shape[1] // _GRID * _GRID
    blocks = pixels_CHW[:, :side, :side].reshape(3, _GRID, side // _GRID, _GRID, side // _GRID)
    thumbnail = blocks.mean((2, 4)).ravel() / 255
    bins = (pixels_CHW.astype(np.int64) * _BINS // 256).reshape(3, -1)
    histogram = np.bincount(bins[0] * _BINS**2 + bins[1] * _BINS + bins[2], minlength=_BINS**3)
    parts = (thumbnail - thumbnail.mean(), np.sqrt(histogram / histogram.sum()))
    return np.concatenate([p / max(float(np.linalg.norm(p)), 1e-9) for p in parts]).astype(np.float32)


def score_pairs(
    catalog: Catalog, pairs: dict[str, NDArray[np.int64]], match: dict[str, NDArray[np.bool_]]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Scores of each baseline for the (n, 2) rows of pairs of each part.

    Text and picture are cosines; "both" is a logistic regression on the two, learnt on the training pairs.
    """
    words, pictures = text_features(catalog), picture_features(catalog)
    cosines = {}
    for part, rows in pairs.items():
        left, right = rows.T
        text = np.asarray(words[left].multiply(words[right]).sum(1)).ravel()
        cosines[part] = np.stack([text, (pictures[left] * pictures[right]).sum(1) / 2], 1).astype(np.float64)
    both = make_pipeline(StandardScaler(), LogisticRegression()).fit(cosines["train"], match["train"])
    scores = {TEXT: {p: c[:, 0] for p, c in cosines.items()}, PICTURE: {p: c[:, 1] for p, c in cosines.items()}}
    return scores | {BOTH: {p: both.decision_function(c) for p, c in cosines.items()}}


def classify_rows(
    catalog: Catalog, train_rows: NDArray[np.int64], labels: NDArray[np.int64], rows: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """Class guessed for each of `rows` by logistic regressions on words, on the picture and on both."""
    words, pictures = text_features(catalog), sp.csr_matrix(picture_features(catalog))
    features = {TEXT: words, PICTURE: pictures, BOTH: sp.hstack([words, pictures]).tocsr()}
    known = labels[train_rows]

    def guess(x: sp.csr_matrix) -> NDArray[np.int64]:
        # One class against the rest, by one thread: as good as all at once, and many words take a tenth of the time.
        wide = x.shape[1] > len(train_rows)
        tol = 0.01 if wide else 1e-4
        one = LogisticRegression(C=30, solver="liblinear", dual=wide, tol=tol, max_iter=1000, random_state=0)
        return np.asarray(OneVsRestClassifier(one).fit(x[train_rows], known).predict(x[rows]))

    return {name: guess(x) for name, x in features.items()}


def names() -> Sequence[str]:
    """The baselines, in the order in which they are shown."""
    return (TEXT, PICTURE, BOTH)
