"""Labels that are probably wrong: confident learning, the method of cleanlab.

A class's threshold is the mean probability that it gets on the items labelled so. An item that reaches the threshold
of another class than its own is suspected, unless its own label is still the most probable. Probabilities must be
those of a network that did not learn from these labels: of the test part, or of others that were held out.

Northcutt, Jiang, Chuang (2021), Confident learning: estimating uncertainty in dataset labels, JAIR 70. The library
itself would bring pandas; a test holds the two together.
"""

from __future__ import annotations

import numpy as np

from workbench.evaluate.intervals import Bools, Floats, Ints

MARGIN = 1e-6  # of a threshold


def suspects(label_n: Ints, probabilities_nk: Floats) -> tuple[Ints, Ints]:
    """The suspected items, the least probable label first, and the class that each probably is in.

    Every label is one of the k classes. As cleanlab's `find_label_issues(filter_by="confident_learning",
    return_indices_ranked_by="self_confidence")`.
    """
    n, k = probabilities_nk.shape
    own_n = probabilities_nk[np.arange(n), label_n]
    sums, counts = np.bincount(label_n, own_n, k), np.bincount(label_n, minlength=k)
    threshold_k = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf).clip(2 * MARGIN)
    reached_nk = probabilities_nk >= threshold_k - MARGIN
    sure_nk = np.where(reached_nk, probabilities_nk, -1)
    # Of several classes reached the most probable of all, which need not be among them.
    guess_n = np.where(reached_nk.sum(1) > 1, probabilities_nk.argmax(1), sure_nk.argmax(1))
    doubted_n = reached_nk.any(1) & (guess_n != label_n) & (probabilities_nk.argmax(1) != label_n)
    chosen = np.flatnonzero(doubted_n)
    chosen = chosen[np.argsort(own_n[chosen], kind="stable")]
    return chosen, guess_n[chosen]


def suspected_pairs(match_n: Bools, probability_n: Floats) -> Ints:
    """The pairs whose label is suspected, the least probable first: two classes, a match or not."""
    found, _ = suspects(match_n.astype(np.int64), np.stack([1 - probability_n, probability_n], 1))
    return found


def best_and_worst(right_n: Bools, certainty_n: Floats, most: int) -> tuple[Ints, Ints]:
    """Items judged rightly, and wrongly, with the most certainty: the most certain first."""
    order = np.argsort(-certainty_n, kind="stable")
    return order[right_n[order]][:most], order[~right_n[order]][:most]
