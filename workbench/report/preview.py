"""Listings as pre-training will read them, drawn before anything is trained, and what the policy hides of a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.artifacts.store import Artifact
from workbench.batch import Batch
from workbench.batches.loader import Hidden, Listings
from workbench.batches.masking import LIGHT, MODES, shares
from workbench.draws import ORDER, stream
from workbench.errors import DataError
from workbench.recipe.schema import Mam, Masking, Recipe
from workbench.report.gallery import choose
from workbench.report.shelf import title_of
from workbench.tasks.catalog import Catalog, open_catalog
from workbench.text.tokenizer import TextTokenizer

EPOCHS = (1, 2, 3)  # the first ones of training
SAMPLE = 2000  # listings that are counted, at most
AT_ONCE = 500
MASK, OTHER, ITSELF = READ = ("[MASK]", "another word", "the word itself")  # in place of a hidden word

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """A token of a text."""

    id: int
    text: str
    joined: bool  # to the piece before, without a space
    way: str  # one of READ where it is hidden, else ""
    read: str  # text of what the model reads


@dataclass(frozen=True)
class View:
    """A listing as it is read in one epoch."""

    epoch: int
    mode: str  # of MAM; "" with another policy
    fields: tuple[tuple[str, tuple[Piece, ...]], ...]  # name of the field -> its tokens
    tokens: tuple[int, int]  # tokens hidden, of those that can be
    patches: tuple[int, int]  # likewise; (0, 0) without a picture
    pixels_CHW: NDArray[np.uint8] | None  # cropped, turned and coloured as the epoch draws it
    hidden_P: NDArray[np.bool_]


@dataclass(frozen=True)
class Shown:
    """A listing in several epochs."""

    id: str
    title: str
    views: tuple[View, ...]


@dataclass(frozen=True)
class Measured:
    """Of one mode in the sample: (what the recipe means, what was drawn), None where nothing could be hidden."""

    mode: str
    listings: tuple[float, float | None]
    tokens: tuple[float, float | None]
    patches: tuple[float, float | None]
    wordless: float | None  # share of its listings of which no word is hidden: they teach no word


@dataclass(frozen=True)
class Preview:
    listings: tuple[Shown, ...]
    measured: tuple[Measured, ...]
    read: tuple[float, ...]  # shares of hidden tokens that are read as each of READ
    unit: float | None  # tokens that are hidden together, on average over the units of the texts
    sample: tuple[int, int]  # listings and epochs
    notes: tuple[str, ...]


def preview(inputs: Mapping[str, Artifact], recipe: Recipe) -> Preview:
    """Draw as pre-training does. Raises RecipeError for a masked field that no text has, DataError where the train part
    is empty."""
    catalog = open_catalog(inputs, recipe.model, recipe.runtime)
    every, read = catalog.rows("train"), catalog.pictured("train")
    if not len(every):
        raise DataError("preview: no listing is in the train part; see catalog.split")
    notes = [f"pre-training reads {len(read):,} of the {len(every):,} listings of the train part"]
    if len(read) < len(every):
        notes.append("the others have no usable picture or no text" + ("" if len(read) else "; they are shown here"))
    if recipe.pretrain.sampling.sides:
        notes.append(
            f"shown at {recipe.model.image_side} px; by pretrain.sampling.sides training begins with smaller ones"
        )
    rows = read if len(read) else every
    sample = np.sort(stream(recipe.pretrain.seed, ORDER).permutation(rows)[:SAMPLE])
    hidden = list(_hidden(catalog.listings, sample, recipe))
    return Preview(
        listings=tuple(_shown(catalog, choose(catalog.items, rows, recipe.report.examples), recipe)),
        measured=tuple(_measured(recipe.pretrain.masking, hidden, catalog.listings.pictures.counts[sample] > 0)),
        read=_read(hidden, catalog.listings.tokens.tokenizer.mask),
        unit=_ratio(sum((h.units_BL > 0).sum() for h in hidden), sum(h.units_BL.max(1).sum() for h in hidden)),
        sample=(len(sample), len(EPOCHS)),
        notes=tuple(notes),
    )


def _shown(catalog: Catalog, rows: list[int], recipe: Recipe) -> Iterator[Shown]:
    """The listings, each as it is read in each of EPOCHS."""
    of, words, mam = np.array(rows), catalog.listings.tokens.tokenizer, isinstance(recipe.pretrain.masking, Mam)
    how = {"seed": recipe.pretrain.seed, "masking": recipe.pretrain.masking, "augment": recipe.pretrain.augment}
    batches = [catalog.listings.batch(of, epoch=epoch, any_picture=True, **how) for epoch in EPOCHS]
    hidden = [_hide(catalog.listings, of, epoch, recipe) for epoch in EPOCHS]
    for i, row in enumerate(rows):
        line = catalog.items.row(row, named=True)
        views = tuple(_view(i, *one, words, mam) for one in zip(EPOCHS, hidden, batches, strict=True))
        yield Shown(line["id"], title_of(line), views)


def _view(i: int, epoch: int, hidden: Hidden, batch: Batch, words: TextTokenizer, mam: bool) -> View:
    there, masked_L, hidden_P = bool(batch.has_image_B[i]), hidden.masks.text_BL[i], hidden.masks.image_BP[i]
    return View(
        epoch=epoch,
        mode=MODES[hidden.masks.mode_B[i]] if mam else "",
        fields=tuple(_fields(hidden.tokens_BL[i].tolist(), hidden.shown_BL[i].tolist(), masked_L.tolist(), words)),
        tokens=(int(masked_L.sum()), int((hidden.units_BL[i] > 0).sum())),
        patches=(int(hidden_P.sum()), len(hidden_P) * there),
        pixels_CHW=batch.pixels_BCHW[i].numpy() if there else None,
        hidden_P=hidden_P,
    )


def _fields(
    ids: list[int], read: list[int], masked_L: list[bool], words: TextTokenizer
) -> Iterator[tuple[str, tuple[Piece, ...]]]:
    names = dict(zip(words.vocabulary.markers, words.fields, strict=True))
    name, pieces = "", list[Piece]()
    for id_, read_id, masked in zip(ids, read, masked_L, strict=True):
        if id_ in names or id_ == words.sep:
            if pieces:
                yield name, tuple(pieces)
            name, pieces = names.get(id_, ""), []
        elif id_ not in (words.cls, words.pad):
            way = "" if not masked else MASK if read_id == words.mask else ITSELF if read_id == id_ else OTHER
            joined = bool(pieces) and not words.starts_word_V[id_]
            pieces.append(Piece(id_, words.decode([id_]), joined, way, words.decode([read_id])))


def _hide(listings: Listings, rows: Rows, epoch: int, recipe: Recipe) -> Hidden:
    text, image = listings.tokens.lengths[rows] > 0, listings.pictures.counts[rows] > 0
    return listings.hide(rows, text, image, epoch=epoch, seed=recipe.pretrain.seed, masking=recipe.pretrain.masking)


def _hidden(listings: Listings, rows: Rows, recipe: Recipe) -> Iterator[Hidden]:
    for epoch in EPOCHS:
        for start in range(0, len(rows), AT_ONCE):
            yield _hide(listings, rows[start : start + AT_ONCE], epoch, recipe)


def _measured(masking: Masking, hidden: list[Hidden], pictured_N: NDArray[np.bool_]) -> Iterator[Measured]:
    mode_N = np.concatenate([h.masks.mode_B for h in hidden])
    tokens_N = np.concatenate([h.masks.text_BL.sum(1) for h in hidden])
    can_N = np.concatenate([(h.units_BL > 0).sum(1) for h in hidden])
    patches_N = np.concatenate([h.masks.image_BP.sum(1) for h in hidden])
    grid_N = np.tile(pictured_N, len(EPOCHS)) * hidden[0].masks.image_BP.shape[1]
    modes = dict(enumerate(masking.modes)) if isinstance(masking, Mam) else {LIGHT: 1.0}
    for mode, meant in modes.items():
        of_N, (text, image) = mode_N == mode, shares(masking, mode)
        yield Measured(
            mode=MODES[mode] if len(modes) > 1 else "every listing",
            listings=(meant, float(of_N.mean())),
            tokens=(text, _ratio(tokens_N[of_N].sum(), can_N[of_N].sum())),
            patches=(image, _ratio(patches_N[of_N].sum(), grid_N[of_N].sum())),
            wordless=_ratio((tokens_N[of_N] == 0).sum(), of_N.sum()),
        )


def _read(hidden: list[Hidden], mask: int) -> tuple[float, ...]:
    true = np.concatenate([h.tokens_BL[h.masks.text_BL] for h in hidden])
    read = np.concatenate([h.shown_BL[h.masks.text_BL] for h in hidden])
    if not len(true):
        return ()
    return tuple(float(np.mean(x)) for x in (read == mask, (read != mask) & (read != true), read == true))


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
