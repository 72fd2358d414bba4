"""Whose network a stage asks: the recipe's own, or that of a saved folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.recipe.schema import Pretrain

NEEDS = ("ingest", "images", "duplicates", "split", "tokens")


def asked(checkpoint: Path | None, pretrain: Pretrain) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """What of the recipe is part of the stage's section, and the stages it needs: of a saved network the recipe's
    `pretrain` is believed in what it was trained for."""
    if checkpoint:
        return {"pretrain": pretrain.model_dump(mode="json", include={"masking", "objectives"})}, NEEDS
    return {}, (*NEEDS, "pretrain")
