"""The encoder with its heads as ONNX, of any number of listings and length of texts; held against torch when made.

Inputs   input_ids, attention_mask int64 (B, L); pixel_values uint8 (B, 3, H, W); has_image bool (B,)
Outputs  embeddings float32 (B, D), each of length 1; and what the head of each task gives, by the task's name
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.answers.answers import Answers, placed
from workbench.batch import Batch
from workbench.errors import DataError, MlimError
from workbench.tasks.fill.net import SaysWords
from workbench.tasks.tuned import Tuned

MODEL = "onnx/model.onnx"
OPSET = 18
CLOSE = 1e-4  # to torch, of every output


def answered(tuned: Tuned) -> list[str]:
    """The tasks whose head reads a listing as it is: not one with words to be said."""
    return [task for task, head in tuned.heads.items() if not isinstance(head, SaysWords)]


class Asked(nn.Module):
    """A tuned network as ONNX calls it."""

    def __init__(self, tuned: Tuned) -> None:
        super().__init__()
        self.tuned = tuned
        self.tasks = answered(tuned)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor, has_image: Tensor
    ) -> tuple[Tensor, ...]:
        real_BL, nothing_BL = attention_mask.bool(), torch.zeros_like(input_ids, dtype=torch.bool)
        masked_BP = has_image.new_zeros(1, self.tuned.network.shape.grid**2).expand(has_image.shape[0], -1)
        rows_B, has_text_B = input_ids[:, 0], real_BL[:, 0]
        batch = Batch(rows_B, input_ids, input_ids, real_BL, nothing_BL, pixel_values, masked_BP, has_image, has_text_B)
        pooled_BD = self.tuned.pooled(batch)
        return placed(self.tuned, pooled_BD), *(self.tuned.said(task, batch, pooled_BD) for task in self.tasks)


def inputs_of(batch: Batch) -> dict[str, NDArray[Any]]:
    """A batch by the names of the inputs."""
    return {
        "input_ids": batch.tokens_BL.numpy(),
        "attention_mask": batch.text_real_BL.long().numpy(),
        "pixel_values": batch.pixels_BCHW.numpy(),
        "has_image": batch.has_image_B.numpy(),
    }


def write_onnx(folder: Path, answers: Answers, batches: Mapping[str, Batch]) -> float:
    """Add the file to a folder, and compare; the greatest difference to torch on these batches, by what they are.

    Raises DataError without the extra `onnx`, MlimError where the two differ by more than CLOSE.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise DataError(f"--onnx needs {error.name}, which is not installed: pip install mlim[onnx]") from None
    asked, path = Asked(answers.tuned).eval(), folder / MODEL
    model = _exported(asked, inputs_of(next(iter(batches.values()))))
    for node in model.graph.node:
        del node.metadata_props[:]  # where in whose files it comes from
    path.parent.mkdir()
    onnx.save(model, path)
    return compared(path, asked, batches)


def _exported(asked: Asked, given: Mapping[str, NDArray[Any]]) -> Any:
    pictures = {0: torch.export.Dim("batch")}
    texts = pictures | {1: torch.export.Dim("length", max=asked.tuned.network.shape.text_positions)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, of what it is made of
        program = torch.onnx.export(
            asked,
            tuple(torch.from_numpy(array) for array in given.values()),
            input_names=list(given),
            output_names=["embeddings", *asked.tasks],
            dynamic_shapes=(texts, texts, pictures, pictures),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program
    return program.model_proto


def compared(path: Path, asked: Asked, batches: Mapping[str, Batch]) -> float:
    """The greatest difference of ONNX Runtime to torch; MlimError where one is more than CLOSE."""
    import onnxruntime

    session, worst = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), 0.0
    for name, batch in batches.items():
        given = inputs_of(batch)
        with torch.inference_mode():
            expected = asked(*(torch.from_numpy(array) for array in given.values()))
        for output, found, wanted in zip(session.get_outputs(), session.run(None, given), expected, strict=True):
            off = float(np.abs(found - wanted.numpy()).max(initial=0))
            if not off <= CLOSE:
                raise MlimError(f"ONNX: {output.name} differs from torch by {off:.2g} on {name}; at most {CLOSE:g} is")
            worst = max(worst, off)
    return worst
