"""The Alone stage: the test pairs told apart by words alone, and by pictures alone. Modality dropout is for that.

scores.parquet   left, right (listing ids), match of the test pairs, and their log odds where listings are read
                 without their pictures (text) or without their texts (picture), if they have both
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work

BATCH = 256  # listings read at once


def stage() -> Stage:
    """What the network of the Match stage says where a modality is missing."""
    needs = ("ingest", "images", "duplicates", "split", "tokens", "pretrain", "match")
    return Stage("alone", 1, {}, _run, needs)


def _run(work: Work) -> Mapping[str, Any]:
    import numpy as np  # torch and all that a plan does not need
    import polars as pl
    import torch
    from safetensors.torch import load_file

    from workbench.recipe.schema import ModalityDropout
    from workbench.tasks.catalog import choose_device, open_catalog
    from workbench.tasks.network import load_network, model_section
    from workbench.tasks.pair_net import PairNet
    from workbench.tasks.tune import HEAD

    device, match = choose_device(work), work.inputs["match"]
    catalog = open_catalog(work.inputs, model_section(work.inputs["pretrain"]), work.runtime, device)
    model = PairNet(load_network(match.folder))
    model.load_state_dict(load_file(match.path(HEAD)), strict=False)  # all but the network
    model.to(device).eval()
    pairs = pl.read_parquet(match.path("scores.parquet")).filter(pl.col("part") == "test")
    row = dict(zip(catalog.items["id"], catalog.items["row"], strict=True))
    rows, places = np.unique([[row[i] for i in pairs[side]] for side in ("left", "right")], return_inverse=True)
    left, right = places.reshape(2, -1)

    @torch.no_grad()
    def scores(lost: ModalityDropout) -> Any:
        read = catalog.listings.batches(rows, BATCH, dropout=lost)
        points_BD = torch.cat([model.embed(batch.to(device)) for batch in read])
        return model.scores(points_BD[left], points_BD[right]).double().cpu().numpy()

    lost = {"text": ModalityDropout(text=0, image=1), "picture": ModalityDropout(text=1, image=0)}
    known = {name: scores(how) if len(rows) else np.zeros(0) for name, how in lost.items()}
    pairs.select("left", "right", "match").with_columns(**known).write_parquet(work.folder / "scores.parquet")
    return {"pairs": pairs.height}
