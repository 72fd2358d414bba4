"""Held-out listings as the model sees them: what was hidden, and what it redraws and guesses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from PIL import Image

from workbench.batches.masking import MODES
from workbench.draws import ORDER, stream
from workbench.model.reading import Reading
from workbench.report.crossmodal import SEED, Probe
from workbench.report.shelf import png, title_of
from workbench.report.trained import Trained
from workbench.tasks.objective import ReconLoss
from workbench.text.tokenizer import TextTokenizer

MOST_PIXELS = 192  # a side in the report: a page with its pictures must stay easy to send
GREY, HATCH = 150, 175


def choose(items: pl.DataFrame, rows: NDArray[np.int64], count: int) -> list[int]:
    """Rows to show: taken in turn from each class of the label with the fewest classes, drawn by a fixed seed."""
    shuffled = stream(SEED, ORDER).permutation(rows).tolist()
    held_out: pl.DataFrame = items[shuffled]
    labels = {name: held_out[name].n_unique() for name in items.columns if name.startswith("label.")}
    label = min((name for name, classes in labels.items() if classes > 1), key=lambda name: labels[name], default=None)
    if label:
        held_out = held_out.sort(pl.int_range(pl.len()).over(label), maintain_order=True)
    shown: list[int] = held_out["row"].head(count).to_list()
    return shown


@torch.no_grad()
def write_samples(folder: Path, probe: Probe, rows: list[int]) -> None:
    """Write samples.json (docs/report.md, samples) and pictures/*.png; the modes of MAM take turns.

    What the network was not trained for, guesses or redrawn pictures, isn't there.
    """
    (folder / "pictures").mkdir(exist_ok=True)
    trained, samples = probe.trained, []
    network, catalog = trained.network, trained.catalog
    for i, row in enumerate(rows):
        mode = i % len(MODES)
        batch = probe.masked(np.array([row]), mode, draw=0).to(next(network.parameters()).device)
        pixels_CHW, reading = batch.pixels_BCHW[0].cpu().numpy(), Reading(network, batch)
        pictures = {
            "picture": pixels_CHW,
            "masked_picture": covered(pixels_CHW, batch.image_masked_BP[0].cpu().numpy()),
            **redrawn(trained, reading),
        }
        names = {role: f"sample-{i:02d}-{role}" for role in pictures}
        for role, seen_CHW in pictures.items():
            image = Image.fromarray(seen_CHW.transpose(1, 2, 0))
            (folder / "pictures" / f"{names[role]}.png").write_bytes(png(image, MOST_PIXELS))
        line = catalog.items.row(row, named=True)
        tokens = said(trained, reading)
        samples.append({"id": line["id"], "title": title_of(line), "mode": MODES[mode], **names, "tokens": tokens})
    (folder / "samples.json").write_text(json.dumps(samples, indent=1, ensure_ascii=False), "utf-8")


def redrawn(trained: Trained, reading: Reading) -> dict[str, NDArray[np.uint8]]:
    """The only listing's picture as the network redraws it (3, H, W), as `redrawn`; nothing if it never learnt to."""
    recon = trained.objectives.get("recon")
    if not isinstance(recon, ReconLoss):
        return {}
    return {"redrawn": (recon.redrawn(reading)[0] * 255).round().byte().cpu().numpy()}


def said(trained: Trained, reading: Reading) -> list[dict[str, Any]]:
    """The only listing's tokens, with the network's guess of each that is hidden."""
    batch = reading.batch
    ids, masked = batch.tokens_BL[0].tolist(), batch.text_masked_BL[0].tolist()
    guesses: list[int | None] = [None] * sum(masked)
    if "mlm" in trained.objectives:
        logits_MV = trained.network.masked_token_logits(reading.masked[0], batch)
        guesses = logits_MV.argmax(1).tolist()
    return _tokens(trained.catalog.listings.tokens.tokenizer, ids, masked, guesses)


def covered(pixels_CHW: NDArray[np.uint8], hidden_P: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Hidden squares in hatched grey."""
    side, grid = pixels_CHW.shape[1], round(len(hidden_P) ** 0.5)
    hidden_HW = hidden_P.reshape(grid, grid).repeat(side // grid, 0).repeat(side // grid, 1)
    across_HW = np.add.outer(np.arange(side), np.arange(side))
    grey_HW = np.where(across_HW % max(4, side // 12) == 0, HATCH, GREY)
    return np.where(hidden_HW, grey_HW, pixels_CHW).astype(np.uint8)


def _tokens(
    tokenizer: TextTokenizer, ids: list[int], masked: list[bool], guesses: list[int | None]
) -> list[dict[str, Any]]:
    """The tokens of a text without [CLS] and [SEP]; `guesses` holds one id for each masked token, in order."""
    fields = dict(zip(tokenizer.vocabulary.markers, tokenizer.fields, strict=True))
    guess_at = dict(zip((i for i, hidden in enumerate(masked) if hidden), guesses, strict=True))
    return [
        {
            "text": fields.get(token) or tokenizer.decode([token]),
            "masked": i in guess_at,
            "guess": None if (guess := guess_at.get(i)) is None else tokenizer.decode([guess]),
            "right": None if guess is None else guess == token,
            "field": token in fields,
            "joined": i > 0 and token not in fields and not tokenizer.starts_word_V[token],
        }
        for i, token in enumerate(ids)
        if token not in (tokenizer.cls, tokenizer.sep)
    ]
