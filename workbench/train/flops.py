"""The work of a training step, from its shapes: floating-point operations of products, backward twice those of forward.

What is useful counts, and nothing else: no padding, no patch that is hidden from the embedder, nothing that is computed
again in the backward pass. So a share of the peak says what part of a device learns (MFU; Chowdhery et al. 2022, PaLM,
appendix B).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from torch import Tensor

from workbench.batch import Batch
from workbench.model.mlim import Shape
from workbench.model.shape import Network


def flops_of(shape: Shape, losses: Collection[str]) -> Callable[[Batch], float]:
    """What forward and backward need for a micro-batch; `losses` are those of pre-training, or others that read each
    listing once."""
    size = shape.size
    network = Network(
        size.width, size.layers, shape.vocabulary, shape.text_positions, shape.image_side, shape.patch, shape.embedder
    )
    masked, matched, contrasted = bool(set(losses) - {"itm", "itc"}), "itm" in losses, "itc" in losses

    def encoder(lengths_B: Tensor) -> float:
        total = float(lengths_B.sum())
        return network.layers_flops(total, float(lengths_B.double().square().sum()) / max(total, 1.0))

    def needed(batch: Batch) -> float:
        texts_B, images_B = batch.text_real_BL.sum(1), batch.has_image_B * batch.image_masked_BP.shape[1]
        pictures = int(images_B.sum())
        hidden = int((batch.image_masked_BP & batch.has_image_B[:, None]).sum()) if shape.embedder != "resnet" else 0
        total = (masked + matched) * encoder(texts_B + images_B)
        total += network.embedder_flops(masked * (pictures - hidden) + (matched + contrasted) * pictures)
        if "mlm" in losses:
            total += network.head_flops(int(batch.text_masked_BL.sum()))
        if "recon" in losses:
            total += network.decoder_flops(pictures)
        if contrasted:
            total += encoder(texts_B) + encoder(images_B)
        return 3 * total

    return needed


def positions(batch: Batch) -> tuple[int, int]:
    """Those of texts and pictures together, and how many the batch holds with padding."""
    patches = batch.image_masked_BP.shape[1]
    real = int(batch.text_real_BL.sum()) + int(batch.has_image_B.sum()) * patches
    return real, len(batch) * (batch.text_real_BL.shape[1] + patches)
