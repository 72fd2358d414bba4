"""Whether plain transformers says the same as the model that was exported, on listings of every kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from workbench.answers.answers import Answers
from workbench.batch import Batch
from workbench.errors import DataError, MlimError
from workbench.export.onnx import answered

CLOSE = 1e-4


@torch.inference_mode()
def check_transformers(folder: Path, answers: Answers, batches: Mapping[str, Batch]) -> float:
    """The greatest difference of embeddings, heads and BERT. Raises MlimError where one is more than CLOSE.

    Raises DataError where transformers isn't installed.
    """
    try:
        from transformers import BertModel
        from transformers.utils import logging

        from workbench.export.code.modeling_mlim import MlimModel
    except ImportError:
        raise DataError("an exported folder is tried with transformers: pip install mlim[export]") from None
    logging.disable_progress_bar()
    model, bert, worst = MlimModel.from_pretrained(folder), BertModel.from_pretrained(folder / "bert"), 0.0
    for name, batch in batches.items():
        said = model(batch.tokens_BL, batch.text_real_BL, batch.pixels_BCHW, batch.has_image_B)
        pooled_BD = answers.tuned.pooled(batch)
        found = {"embeddings": (said.embeddings, torch.from_numpy(answers.points(batch)))}
        found |= {task: (said.scores[task], answers.tuned.heads[task](pooled_BD)) for task in answered(answers.tuned)}
        found["bert"] = _by_bert(bert, answers, batch)
        for what, (one, other) in found.items():
            off = float((one - other).abs().max()) if one.numel() else 0.0
            if not off <= CLOSE:
                raise MlimError(f"transformers: {what} differs by {off:.2g} on {name}; at most {CLOSE:g} is allowed")
            worst = max(worst, off)
    return worst


def _by_bert(bert: torch.nn.Module, answers: Answers, batch: Batch) -> tuple[Tensor, Tensor]:
    """The texts alone, at their real positions, by both."""
    text_BLD, _ = answers.tuned.network.encode(replace(batch, has_image_B=torch.zeros_like(batch.has_image_B)))
    said = bert(input_ids=batch.tokens_BL, attention_mask=batch.text_real_BL.long())
    return said.last_hidden_state[batch.text_real_BL], text_BLD[batch.text_real_BL]
