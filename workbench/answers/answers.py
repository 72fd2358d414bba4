"""A portable folder -> answers: points, classes, probabilities. Torch stays inside; numpy and polars come out."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from workbench.answers.compose import ABOUT
from workbench.answers.pictures import Fetch
from workbench.answers.preparation import Preparation
from workbench.batch import Batch
from workbench.errors import DataError, RecipeError
from workbench.tasks.network import load_network
from workbench.tasks.tuned import ANSWERS, Tuned, load_tuned

Floats = NDArray[np.float32]
PLACING = ("retrieve", "match")  # tasks whose head places a listing on the sphere, best first


class Answers:
    """A model that is asked. Its network is in eval mode and in float32; safe to use from several threads."""

    def __init__(self, tuned: Tuned, tasks: Mapping[str, Any], about: Mapping[str, Any], preparation: Preparation):
        self.tuned, self.tasks, self.about, self.preparation = tuned.eval(), tasks, about, preparation
        self.device = next(tuned.parameters()).device

    @classmethod
    def open(cls, folder: Path, device: str = "auto", threads: int = 0, fetch: Fetch | None = None) -> Answers:
        """`device`: auto (the first GPU if there is one), cpu, cuda; `threads` of torch and of pictures, 0: all cores.
        `fetch` reads pictures by web address; without it they count as absent.

        Raises ArtifactError for a folder that holds no model, RecipeError for a GPU that isn't there.
        """
        preparation = Preparation.open(folder, threads, fetch)
        if threads:
            torch.set_num_threads(threads)
        if device == "cuda" and not torch.cuda.is_available():
            raise RecipeError("device: found no GPU that torch can use; give auto or cpu")
        chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
        bare = not (folder / ANSWERS).is_file()
        tuned = Tuned(load_network(folder), {}) if bare else load_tuned(folder)
        tasks = {} if bare else json.loads((folder / ANSWERS).read_text("utf-8"))
        about = json.loads((folder / ABOUT).read_text("utf-8"))
        return cls(tuned.to(chosen), tasks, about, preparation)

    @torch.inference_mode()
    def points(self, batch: Batch) -> Floats:
        """(B, D) float32, each of length 1: by the head for retrieval, else for matches, else as the encoder has it."""
        task = next((task for task in PLACING if task in self.tuned.heads), None)
        pooled = self._pooled(batch)
        points: Tensor = self.tuned.heads[task](pooled) if task else pooled
        return F.normalize(points.float(), dim=-1).cpu().numpy()

    @torch.inference_mode()
    def outputs(self, task: str, batch: Batch) -> NDArray[np.float32]:
        """(B, …) what the head of a task gives: logits, or for match and retrieve points of length 1."""
        self.told(task)
        raw: Tensor = self.tuned.heads[task](self._pooled(batch))
        return raw.float().cpu().numpy()

    def table(self, task: str, batch: Batch) -> pl.DataFrame:
        """A line for each listing: classes by name and their probabilities, as the task's answer.py has it."""
        told = self.told(task)
        table: pl.DataFrame = _answer(task).table(told, self.outputs(task, batch))
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

    def told(self, task: str) -> Mapping[str, Any]:
        """A task's part of answers.json. Raises DataError where the model doesn't answer it."""
        if task not in self.tasks:
            known = ", ".join(self.tasks) or "no task: it is a bare encoder"
            raise DataError(f"this model answers {known}; it was asked for {task}")
        told: Mapping[str, Any] = self.tasks[task]
        return told

    def _pooled(self, batch: Batch) -> Tensor:
        return self.tuned.pooled(batch.to(self.device))


def _answer(task: str) -> Any:
    return importlib.import_module(f"workbench.tasks.{task}.answer")
