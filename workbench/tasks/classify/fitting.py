"""What words and looks say of a class, learnt once the network is tuned (plain.py): convex, so there is one answer.

Layers are learnt on the training labels, as the baselines are; how strongly, and how much each of the three counts, on
the valid part, by likelihood.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit, logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from torch import Tensor

from workbench.batch import Batch
from workbench.tasks.classify.plain import BOUND, COUNTED, LETTERS, LOOKS, PICTURE, TEXT, Plain, looks_of
from workbench.tasks.tuned import Tuned

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEARNT, JUDGED = 100_000, 10_000  # labels that words and looks are learnt from, and judged by, at most
SEES = {"words": TEXT, "looks": PICTURE}  # the bit of `kinds_of` without which a layer is nothing
STRENGTHS = {"words": (30.0, 300.0), "looks": (3.0, 30.0)}  # the inverse of how much weights are held down
NEVER = 10.0  # log odds against a class that no label has


def spelling(spelled_V: Sequence[bytes]) -> Tensor:
    """(V, LETTERS) uint8 of plain.py: small letters, digits, and whatever is beyond ASCII; all else is BOUND."""
    table_VM = np.zeros((len(spelled_V), LETTERS), np.uint8)
    for row_M, piece in zip(table_VM, spelled_V, strict=True):
        letters = [b if b > 127 or chr(b).isalnum() else BOUND for b in piece[:LETTERS].lower()]
        row_M[: len(letters)] = letters
    return torch.from_numpy(table_VM)


@dataclass(frozen=True)
class Seen:
    """What the layers see of n listings, and what the network says."""

    texts_nF: Any  # csr_matrix
    looks_nE: NDArray[np.float32]
    network_nK: NDArray[np.float32]
    kinds_n: NDArray[np.int64]  # `kinds_of`

    def by(self, layer: str, layer_KX: NDArray[np.float32], several: bool) -> NDArray[np.float32]:
        """(n, K) what a layer says, before it is weighed; as `Plain` has it."""
        if layer == "looks":
            return np.asarray(self.looks_nE @ layer_KX[:, :-1].T + layer_KX[:, -1], np.float32)
        said_nK = np.asarray(self.texts_nF @ layer_KX[:, :-1].T + layer_KX[:, -1], np.float32)
        return said_nK if several else -np.logaddexp(0, -said_nK)


@torch.no_grad()
def see(tuned: Tuned, batches: Iterator[Batch], device: torch.device) -> Seen:
    head: Any = tuned.heads["classify"]
    texts, looks = [sp.csr_matrix((0, 2 * COUNTED), dtype=np.float32)], [np.zeros((0, LOOKS), np.float32)]
    network = [np.zeros((0, len(head.plain.words)), np.float32)]
    for batch in batches:
        batch = batch.to(device)
        texts.append(sp.csr_matrix(head.plain.texts_of(batch).cpu().numpy()))
        looks.append(looks_of(batch).cpu().numpy())
        network.append(head(tuned.pooled(batch)).float().cpu().numpy())
    texts_nF, looks_nE = sp.vstack(texts).tocsr(), np.concatenate(looks)
    kinds_n = TEXT * (texts_nF.getnnz(1) > 0) + PICTURE * (looks_nE != 0).any(1)
    return Seen(texts_nF, looks_nE, np.concatenate(network), kinds_n)


def weighed_by_rarity(plain: Plain, seen: Seen) -> Seen:
    """The same texts with scikit-learn's smooth IDF, which `plain` has from now on."""
    texts_nF = seen.texts_nF
    rarity_F = (1 + np.log((1 + texts_nF.shape[0]) / (1 + texts_nF.getnnz(0)))).astype(np.float32)
    plain.rarity.copy_(torch.from_numpy(rarity_F))
    rare_nF = (texts_nF @ sp.diags(rarity_F)).tocsc()
    halves = [normalize(half) for half in (rare_nF[:, :COUNTED], rare_nF[:, COUNTED:])]
    return replace(seen, texts_nF=sp.hstack(halves).tocsr())


def learn(plain: Plain, train: Seen, holds_nK: Bools, alike: float, valid: Seen, held_nK: Bools) -> None:
    """Both layers, of the strength that says the valid part best. `alike` is the recipe's `balance`: a listing counts
    by the size of its rarest class."""
    weights_n = np.where(holds_nK, holds_nK.sum(0), len(holds_nK)).min(1) ** -alike
    weights_n /= weights_n.mean()
    share_K = (weights_n @ holds_nK + 0.5) / (len(holds_nK) + 1)
    plain.prior.copy_(torch.from_numpy(logit(share_K) if plain.several else np.log(share_K)))
    plain.words[:, -1], plain.looks[:, -1] = torch.from_numpy(logit(share_K)), plain.prior  # which adds nothing to it
    for layer, strengths in STRENGTHS.items():
        x = train.texts_nF if layer == "words" else train.looks_nE
        there_n, judged_n = train.kinds_n & SEES[layer] > 0, valid.kinds_n & SEES[layer] > 0
        if not there_n.any():
            continue
        tried = []
        for strength in strengths:
            layer_KX = linear(x[there_n], holds_nK[there_n], plain.several, strength, weights_n[there_n])
            said_n1K = valid.by(layer, layer_KX, plain.several)[judged_n, None]
            tried.append((weigh(plain, said_n1K, held_nK[judged_n])[1], layer_KX))
        getattr(plain, layer).copy_(torch.from_numpy(min(tried, key=itemgetter(0))[1]))


def weigh_by_kind(plain: Plain, valid: Mapping[int, Seen], held_nK: Bools) -> None:
    """How much each of the three counts by what a listing has: `valid` has the valid listings as they are read with
    what a kind has."""
    layers = {name: getattr(plain, name).cpu().numpy() for name in SEES}
    for kind, seen in valid.items():
        at_n, counted = seen.kinds_n == kind, [0, *(1 + i for i, name in enumerate(SEES) if kind & SEES[name])]
        three = [seen.network_nK, *(seen.by(name, layer, plain.several) for name, layer in layers.items())]
        weights, _ = weigh(plain, np.stack([three[i][at_n] for i in counted], 1), held_nK[at_n])
        plain.weights[kind] = 0
        plain.weights[kind, counted] = torch.from_numpy(weights).to(plain.weights)


def weigh(plain: Plain, said_nmK: NDArray[np.float32], holds_nK: Bools) -> tuple[Floats, float]:
    """How much each of the m counts, 0 or more, so that together they say these labels best; and how well, less being
    better. A weak prior, worth one listing, pulls them towards the mean of all."""
    prior_K, m = plain.prior.cpu().numpy(), said_nmK.shape[1]
    adds_nmK = said_nmK - prior_K

    def loss(logs_m: Floats) -> tuple[float, Floats]:
        """And its slope."""
        logits_nK, off_m = np.einsum("m,nmk->nk", np.exp(logs_m), adds_nmK) + prior_K, logs_m + np.log(m)
        if plain.several:
            value, slope_nK = np.logaddexp(0, logits_nK) - holds_nK * logits_nK, expit(logits_nK) - holds_nK
        else:
            held_nK = np.where(holds_nK, logits_nK, -np.inf)
            value = logsumexp(logits_nK, 1) - logsumexp(held_nK, 1)
            slope_nK = softmax(logits_nK, 1) - softmax(held_nK, 1)
        slope_m = np.exp(logs_m) * np.einsum("nk,nmk->m", slope_nK, adds_nmK)
        return float(value.sum() + (off_m**2).sum() / 2), slope_m + off_m

    found = minimize(loss, np.full(m, -np.log(m)), jac=True, method="L-BFGS-B", bounds=[(-7, 4)] * m)
    return np.exp(found.x), float(found.fun)


def linear(x: Any, holds_nK: Bools, several: bool, strength: float, weights_n: Floats) -> NDArray[np.float32]:
    """(K, features + 1) logits of each class against the rest from sparse features, or where listings may be in
    several; from dense ones of all against each other. The last column is the bias."""
    layer_KX = np.zeros((holds_nK.shape[1], x.shape[1] + 1), np.float32)
    layer_KX[:, -1] = -NEVER
    if several or sp.issparse(x):
        for k, holds_n in enumerate(holds_nK.T):
            if holds_n.all():
                layer_KX[k, -1] = NEVER
            elif holds_n.any():
                model = regression(x, holds_n, strength, weights_n)
                layer_KX[k] = np.append(model.coef_[0], model.intercept_[0])
        return layer_KX
    label_n = holds_nK.argmax(1)
    known = np.unique(label_n)
    if len(known) == 1:
        layer_KX[known, -1] = NEVER
        return layer_KX
    model = regression(x, label_n, strength, weights_n)
    both = np.column_stack([model.coef_, model.intercept_])
    layer_KX[known] = both if len(known) > 2 else np.concatenate([-both, both]) / 2
    return layer_KX


def regression(x: Any, known_n: NDArray[Any], strength: float, weights_n: Floats) -> LogisticRegression:
    how: dict[str, Any] = {"tol": 1e-3, "max_iter": 300}
    if sp.issparse(x):
        how = {"solver": "liblinear", "dual": x.shape[1] > x.shape[0], "tol": 0.01, "max_iter": 300, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last digits don't matter here
        return LogisticRegression(C=strength, **how).fit(x, known_n, weights_n)
