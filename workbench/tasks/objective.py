"""The objective of pre-training: loss = mlm * MLM + recon * RECON."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from workbench.batch import Batch
from workbench.model.losses import mlm_sum, recon_sum
from workbench.model.mlim import Mlim


class MlmRecon:
    """MLM averaged over masked tokens, RECON over pictures (paper, Loss)."""

    def __init__(self, model: Mlim, mlm: float, recon: float) -> None:
        self.model = model
        self.weights = {"mlm": mlm, "recon": recon}

    def counts(self, batch: Batch) -> Mapping[str, int]:
        return {"mlm": int(batch.text_masked_BL.sum()), "recon": int(batch.has_image_B.sum())}

    def sums(self, batch: Batch) -> Mapping[str, Tensor]:
        text_BLD, image_BPD = self.model.encode(batch)
        logits_MV = self.model.masked_token_logits(text_BLD, batch)
        return {
            "mlm": mlm_sum(logits_MV, batch.tokens_BL[batch.text_masked_BL]),
            "recon": recon_sum(self.model.redraw(image_BPD), batch.pixels_BCHW.float() / 255, batch.has_image_B),
        }
