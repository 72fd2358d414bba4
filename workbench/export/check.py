"""Whether plain transformers says the same as the model that was exported, on listings of every kind."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from workbench.answers.answers import Answers
from workbench.batch import Batch
from workbench.errors import DataError, MlimError
from workbench.export.onnx import answered

CLOSE = 1e-4
_PACKAGE = "exported_mlim"


@contextmanager
def code_of(folder: Path) -> Iterator[Any]:
    """The modules of an exported folder: `.modeling_mlim`, `.processing_mlim`; AutoModel would keep a copy of them."""
    package: Any = ModuleType(_PACKAGE)
    package.__path__ = [str(folder.absolute())]  # import remembers finders by name, whatever folder one is in
    sys.modules[_PACKAGE] = package
    try:
        for name in ("modeling_mlim", "processing_mlim"):
            setattr(package, name, importlib.import_module(f"{_PACKAGE}.{name}"))
        yield package
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)


@torch.inference_mode()
def check_transformers(folder: Path, answers: Answers, batches: Mapping[str, Batch]) -> float:
    """The greatest difference of embeddings, heads and BERT. Raises MlimError where one is more than CLOSE.

    Raises DataError where transformers isn't installed.
    """
    try:
        from transformers import BertModel
        from transformers.utils import logging
    except ImportError:
        raise DataError("an exported folder is tried with transformers: pip install mlim[export]") from None
    logging.disable_progress_bar()
    bert, worst = BertModel.from_pretrained(folder / "bert"), 0.0
    with code_of(folder) as code:
        model = code.modeling_mlim.MlimModel.from_pretrained(folder)
        for name, batch in batches.items():
            for what, (one, other) in _both(model, bert, answers, batch).items():
                off = float((one - other).abs().max()) if one.numel() else 0.0
                if not off <= CLOSE:
                    raise MlimError(f"transformers: {what} differs by {off:.2g} on {name}; at most {CLOSE:g} may it")
                worst = max(worst, off)
    return worst


def _both(model: Any, bert: Any, answers: Answers, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
    """What transformers and what mlim says, by what it is."""
    tuned = answers.tuned
    said = model(batch.tokens_BL, batch.text_real_BL, batch.pixels_BCHW, batch.has_image_B)
    pooled = tuned.pooled(batch)
    text_BLD, _ = tuned.network.encode(replace(batch, has_image_B=torch.zeros_like(batch.has_image_B)))
    by_bert = bert(input_ids=batch.tokens_BL, attention_mask=batch.text_real_BL.long()).last_hidden_state
    return {
        "embeddings": (said.embeddings, torch.from_numpy(answers.points(batch))),
        **{task: (said.scores[task], tuned.said(task, batch, pooled)) for task in answered(tuned)},
        "bert": (by_bert[batch.text_real_BL], text_BLD[batch.text_real_BL]),
    }
