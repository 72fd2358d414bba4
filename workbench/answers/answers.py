"""A portable folder -> answers: points, classes, probabilities. Torch stays inside; numpy and polars come out."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from workbench.answers.compose import ABOUT, CROSS
from workbench.answers.pictures import Fetch
from workbench.answers.preparation import PREPARATION, Preparation
from workbench.artifacts.key import key_of
from workbench.artifacts.store import digests_of
from workbench.batch import Batch
from workbench.errors import ArtifactError, DataError, RecipeError
from workbench.tasks.heads import outputs
from workbench.tasks.match.cross import scores
from workbench.tasks.match.net import PairBatch
from workbench.tasks.network import CONFIG, WEIGHTS, load_network
from workbench.tasks.pooling import ALL, means_of
from workbench.tasks.tuned import ANSWERS, HEAD, Tuned, load_tuned
from workbench.text.tokenizer import TOKENIZER, VOCABULARY

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
PLACING = ("retrieve", "match")  # tasks whose head places a listing on the sphere, best first
PAIRS = ("match", "retrieve", "cross")  # tasks that say nothing of a listing by itself
KEY = (CONFIG, WEIGHTS, HEAD, ANSWERS, *CROSS, TOKENIZER, VOCABULARY, PREPARATION)  # files that answers depend on


class Answers:
    """A model that is asked. Its network is in eval mode and in float32; safe to use from several threads."""

    def __init__(self, folder: Path, tuned: Tuned, preparation: Preparation) -> None:
        self.folder, self.tuned, self.preparation = folder, tuned.eval(), preparation
        self.tasks: dict[str, Any] = _json(folder / ANSWERS) if (folder / ANSWERS).is_file() else {}
        self.about: dict[str, Any] = _json(folder / ABOUT)
        self.cross: Tuned | None = None
        self.device = next(tuned.parameters()).device

    @cached_property
    def key(self) -> str:
        """64 hexadecimal digits: the same of all copies of this model, and of no other."""
        names = [name for name in KEY if (self.folder / name).is_file()]
        digests = digests_of([self.folder / name for name in names])
        return key_of(dict(zip(names, digests, strict=True)))

    @classmethod
    def open(cls, folder: Path, device: str = "auto", threads: int = 0, fetch: Fetch | None = None) -> Answers:
        """`device`: auto (the first GPU if there is one), cpu, cuda; `threads` of torch and of pictures, 0: all cores.
        `fetch` reads pictures by web address; without it they count as absent.

        Raises ArtifactError for a folder that holds no whole model, RecipeError for a GPU that isn't there.
        """
        preparation = Preparation.open(folder, threads, fetch)
        if threads:
            torch.set_num_threads(threads)
        if device == "cuda" and not torch.cuda.is_available():
            raise RecipeError("device: found no GPU that torch can use; give auto or cpu")
        chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
        try:
            bare = _json(folder / ABOUT)["task"] == "pretrain"
            tuned = Tuned(load_network(folder), {}) if bare else load_tuned(folder)
            answers = cls(folder, tuned.to(chosen), preparation)
            if (folder / CROSS[0]).is_file():
                answers.cross = load_tuned((folder / CROSS[0]).parent).to(chosen)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ArtifactError(f"{folder}: a damaged model ({error}); copy or export it again") from None
        return answers

    @torch.inference_mode()
    def points(self, batch: Batch) -> Floats:
        """(B, D) float32, each of length 1: by the head for retrieval, else for matches, else as the encoder has it.

        Of a listing with nothing to read it is finite, and means nothing.
        """
        return placed(self.tuned, self._pooled(batch)).cpu().numpy()

    @torch.inference_mode()
    def outputs(self, task: str, batch: Batch) -> NDArray[np.float32]:
        """(B, …) what the head of a task gives: logits, scores of values; of match and retrieve points of length 1."""
        told = self.told(task)
        if task == "fill":  # reads a listing anew for each attribute
            return outputs(self.tuned, task, batch.to(self.device), told).float().cpu().numpy()
        return self.tuned.said(task, batch.to(self.device), self._pooled(batch)).float().cpu().numpy()

    def table(self, task: str, batch: Batch) -> pl.DataFrame:
        """A line for each listing: classes by name and their probabilities, as the task's answer.py has it."""
        return self.read(task, self.outputs(task, batch))

    def read(self, task: str, raw_n: NDArray[np.float32]) -> pl.DataFrame:
        """The same of what `outputs` gave. Raises DataError for a task that says nothing of single listings."""
        told = self.told(task)
        if task in PAIRS:
            raise DataError(f"{task} says nothing of a listing by itself: give pairs, or ask for points")
        table: pl.DataFrame = _answer(task).table(told, raw_n)
        return table

    @torch.inference_mode()
    def match(self, left_nD: NDArray[np.float32], right_nD: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) calibrated probability that two listings are the same product, of what `outputs("match")` gave."""
        told = self.told("match")
        sides = (torch.from_numpy(np.ascontiguousarray(side)).to(self.device) for side in (left_nD, right_nD))
        head: Any = self.tuned.heads["match"]
        log_odds: Tensor = head.scores(*sides)
        found: NDArray[np.float64] = _answer("match").probability(told, log_odds.double().cpu().numpy())
        return found

    @torch.inference_mode()
    def match_read(self, batch: Batch, left_n: Ints, right_n: Ints) -> NDArray[np.float64]:
        """(n,) calibrated probability that the listings at these places of a batch are the same product, which
        `of_pairs` tells of: by reading both together where the model has learnt to, else as `match` has it."""
        if not self.cross:
            points = self.outputs("match", batch)
            return self.match(points[left_n], points[right_n])
        left, right = (torch.from_numpy(np.ascontiguousarray(side, np.int64)) for side in (left_n, right_n))
        pairs = PairBatch(batch, left, right, torch.zeros(len(left_n)), batch.rows_B).to(self.device)
        log_odds_n = scores(self.cross, pairs).double().cpu().numpy()
        found: NDArray[np.float64] = _answer("match").probability(self.of_pairs, log_odds_n)
        return found

    @cached_property
    def of_pairs(self) -> Mapping[str, Any]:
        """Calibration and thresholds of what `match_read` gives."""
        told: Mapping[str, Any] = _json(self.folder / CROSS[-1])["cross"] if self.cross else self.told("match")
        return told

    def told(self, task: str) -> Mapping[str, Any]:
        """A task's part of answers.json. Raises DataError where the model doesn't answer it."""
        if task not in self.tasks:
            known = ", ".join(self.tasks) or "no task: it is a bare encoder"
            raise DataError(f"this model answers {known}; it was asked for {task}")
        told: Mapping[str, Any] = self.tasks[task]
        return told

    def _pooled(self, batch: Batch) -> Tensor:
        """Remembered of the batch, which may be asked for several answers."""
        if "pooled" not in batch.__dict__:
            batch.__dict__["pooled"] = self._read(batch.to(self.device))
        pooled: Tensor = batch.__dict__["pooled"]
        return pooled

    def _read(self, batch: Batch) -> Tensor:
        """Listings without a picture by themselves: their sequences are so much shorter."""
        has_B = batch.has_image_B
        if has_B.all():
            return self.tuned.pooled(batch)
        bare_bX = self.tuned.pooled(batch.of(~has_B).without_pictures(self.tuned.network.shape.patch))
        pooled_BX = bare_bX.new_empty(len(batch), bare_bX.shape[1])
        pooled_BX[~has_B] = bare_bX
        if has_B.any():
            pooled_BX[has_B] = self.tuned.pooled(batch.of(has_B))
        return pooled_BX


def _json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def placed(tuned: Tuned, pooled_BX: Tensor) -> Tensor:
    """(B, D) float32, each of length 1."""
    task = next((task for task in PLACING if task in tuned.heads), None)
    points_BD: Tensor = tuned.heads[task](pooled_BX) if task else means_of(pooled_BX)[:, ALL]
    return F.normalize(points_BD.float(), dim=-1)


def _answer(task: str) -> Any:
    return importlib.import_module(f"workbench.tasks.{task}.answer")
