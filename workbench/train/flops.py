"""The work of a training step, from its shapes: floating-point operations of products, backward twice those of forward.

What is useful counts, and nothing else: no padding, no patch that is hidden from the embedder, nothing that is computed
again in the backward pass. So a share of the peak says what part of a device learns (MFU; Chowdhery et al. 2022, PaLM,
appendix B).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

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

    def encoder(lengths: list[int]) -> float:
        return sum(network.layers_flops(length, length) for length in lengths)

    def needed(batch: Batch) -> float:
        texts: list[int] = batch.text_real_BL.sum(1).tolist()
        images: list[int] = (batch.has_image_B * batch.image_masked_BP.shape[1]).tolist()
        pictures = sum(images)
        hidden = int((batch.image_masked_BP & batch.has_image_B[:, None]).sum()) if shape.embedder != "resnet" else 0
        together = encoder([text + image for text, image in zip(texts, images, strict=True)])
        total = (masked + matched) * together
        total += network.embedder_flops(masked * (pictures - hidden) + (matched + contrasted) * pictures)
        if "mlm" in losses:
            total += network.head_flops(int(batch.text_masked_BL.sum()))
        if "recon" in losses:
            total += network.decoder_flops(pictures)
        if contrasted:
            total += encoder(texts) + encoder(images)
        return 3 * total

    return needed


def positions(batch: Batch) -> tuple[int, int]:
    """Those of texts and pictures together, and how many the batch holds with padding."""
    patches = batch.image_masked_BP.shape[1]
    real = int(batch.text_real_BL.sum()) + int(batch.has_image_B.sum()) * patches
    return real, len(batch) * (batch.text_real_BL.shape[1] + patches)
