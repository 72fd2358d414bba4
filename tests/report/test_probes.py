"""The probes: partners, what stands beside the hidden, and every number against a slow loop over single listings."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from rich.console import Console

from tests.report.shop import make, recipe_of, write_shop
from workbench.artifacts.stage import Stage, Work
from workbench.artifacts.store import Artifact
from workbench.batch import Batch
from workbench.errors import DataError, RecipeError
from workbench.model.heads import Heads
from workbench.model.losses import mlm_nats, recon_errors
from workbench.recipe.schema import Mam, Objectives, Recon
from workbench.report import crossmodal
from workbench.report.asked import NEEDS
from workbench.report.crossmodal import Probe, partners
from workbench.report.gallery import choose
from workbench.report.gaps import gaps, table
from workbench.report.probes import stage as probes_stage
from workbench.report.shelf import png
from workbench.report.trained import Trained
from workbench.tasks.catalog import open_catalog
from workbench.tasks.network import load_network
from workbench.tasks.objective import MlmLoss, ReconLoss

DRAWS = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder, 40)
    return make(recipe_of(folder))


@pytest.fixture
def probe(made: dict[str, Artifact], tmp_path: Path) -> Probe:
    recipe = recipe_of(tmp_path)
    network = load_network(made["pretrain"].folder).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():  # so wide that each listing's loss is its own
            parameter.add_(torch.randn_like(parameter) * 0.1)
    catalog = open_catalog(made, recipe.model, recipe.runtime)
    objectives = {"mlm": MlmLoss(), "recon": ReconLoss(Recon())}
    heads = Heads(Objectives(), network.shape.size.width)
    return Probe(Trained(network, catalog, Mam(), objectives, heads, "#f0e0d0"))


@pytest.mark.parametrize("sizes", [[1] * 9, [2] * 8, [5, 1, 1, 1, 1, 1], [4, 4], [3, 2, 1]])
@pytest.mark.parametrize("draw", range(3))
def test_a_partner_is_of_another_group_and_serves_once(sizes: list[int], draw: int) -> None:
    groups = np.random.default_rng(0).permutation([f"g{i}" for i, size in enumerate(sizes) for _ in range(size)])
    other = partners(groups.tolist(), draw)
    assert sorted(other) == list(range(len(groups)))
    assert not (groups[other] == groups).any()


def test_no_listing_is_its_own_partner_even_where_one_group_holds_most() -> None:
    other = partners(["a"] * 8 + ["b", "c"], 0)
    assert sorted(other) == list(range(10)) and not (other == np.arange(10)).any()


def test_each_draw_has_partners_of_its_own_and_always_the_same() -> None:
    groups = [str(i) for i in range(30)]
    assert (partners(groups, 0) == partners(groups, 0)).all()
    assert (partners(groups, 0) != partners(groups, 1)).sum() > 20


def test_only_what_stands_beside_the_hidden_changes(probe: Probe) -> None:
    rows, other = probe.trained.catalog.pictured("test")[:6], probe.trained.catalog.pictured("test")[6:12]
    batches = probe.conditions(rows, other, draw=1)
    words, patches = batches["mlm_true"], batches["recon_true"]
    for name in ("mlm_random", "mlm_blank"):
        assert torch.equal(batches[name].tokens_BL, words.tokens_BL)
        assert torch.equal(batches[name].text_masked_BL, words.text_masked_BL)
    for name in ("recon_random", "recon_none"):
        assert torch.equal(batches[name].pixels_BCHW, patches.pixels_BCHW)
        assert torch.equal(batches[name].image_masked_BP, patches.image_masked_BP)
    assert words.text_masked_BL.any(1).all() and not words.image_masked_BP.any()
    assert patches.image_masked_BP.any(1).all() and not patches.text_masked_BL.any()
    blank = batches["mlm_blank"].pixels_BCHW
    assert blank.dtype == torch.uint8 and (blank == torch.tensor([0xF0, 0xE0, 0xD0])[:, None, None]).all()
    truly_other = probe.trained.catalog.listings.batch(other)
    assert torch.equal(batches["mlm_random"].pixels_BCHW, truly_other.pixels_BCHW)
    assert torch.equal(batches["recon_random"].tokens_BL, truly_other.tokens_BL)
    words_of = probe.trained.catalog.listings.tokens.tokenizer
    assert batches["recon_none"].tokens_BL.tolist() == [[words_of.cls, words_of.sep]] * 6


def test_losses_are_those_of_a_slow_loop(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossmodal, "BATCH", 7)
    rows = probe.trained.catalog.pictured("test")
    found = probe.losses(rows, DRAWS, Console(file=io.StringIO()))
    groups = probe.trained.catalog.items["group"].gather(rows).to_list()
    assert found["row"].to_list() == rows.tolist() and found["group"].to_list() == groups

    def single(batch: Batch, loss: str) -> float:
        with torch.no_grad():
            text_BLD, image_BPD = probe.trained.network.encode(batch)
            if loss == "mlm":
                logits_MV = probe.trained.network.masked_token_logits(text_BLD, batch)
                return float(mlm_nats(logits_MV, batch.tokens_BL[batch.text_masked_BL]).sum())
            return float(recon_errors(probe.trained.network.redraw(image_BPD), batch.pixels_BCHW / 255))

    slow: dict[str, list[float]] = {}
    tokens = np.zeros(len(rows))
    for i, row in enumerate(rows):
        totals: dict[str, float] = {}
        for draw in range(DRAWS):
            other = rows[partners(groups, draw)[i]]
            batches = probe.conditions(np.array([row]), np.array([other]), draw)
            tokens[i] += int(batches["mlm_true"].text_masked_BL.sum())
            for name, batch in batches.items():
                totals[name] = totals.get(name, 0) + single(batch, name.split("_")[0])
        for name, total in totals.items():
            slow.setdefault(name, []).append(total / (DRAWS if name.startswith("recon") else 1))
    assert found["tokens"].to_list() == tokens.tolist()
    for name, values in slow.items():
        assert found[name].to_list() == pytest.approx(values, rel=1e-4)

    summary = gaps(found, 100)
    true, random = (sum(slow[f"mlm_{beside}"]) / tokens.sum() for beside in ("true", "random"))
    assert summary["mlm"]["true"] == pytest.approx(true, rel=1e-4)
    assert summary["mlm"]["random_minus_true"]["mean"] == pytest.approx(random - true, rel=1e-3)
    gap = np.mean(slow["recon_none"]) - np.mean(slow["recon_true"])
    assert summary["recon"]["none_minus_true"]["mean"] == pytest.approx(gap, rel=1e-3)
    for interval in (summary["mlm"]["blank_minus_true"], summary["recon"]["random_minus_true"]):
        assert interval["low"] < interval["mean"] < interval["high"]


def test_where_no_word_is_hidden_words_are_left_out(probe: Probe) -> None:
    losses = probe.losses(probe.trained.catalog.pictured("test"), 1, Console(file=io.StringIO()))
    assert gaps(losses.with_columns(tokens=pl.lit(0, pl.UInt32)), 100).keys() == {"recon"}


def test_the_artifact(made: dict[str, Artifact]) -> None:
    probes = made["probes"]
    found = json.loads(probes.path("probes.json").read_text())
    assert found["part"] == "test" and found["blank"] == "#f0e0d0" and found["draws"] == 2
    assert pl.read_parquet(probes.path("probes.parquet")).height == found["listings"] > 10
    samples = json.loads(probes.path("samples.json").read_text())
    assert [s["mode"] for s in samples] == ["heavy image", "heavy text", "light", "heavy image"]
    for sample in samples:
        shown = {
            role: np.asarray(Image.open(probes.path(f"pictures/{sample[role]}.png")))
            for role in ("picture", "masked_picture", "redrawn")
        }
        assert {s.shape for s in shown.values()} == {(16, 16, 3)}
        changed = (shown["picture"] != shown["masked_picture"]).any(2).reshape(2, 8, 2, 8).mean((1, 3))
        assert set(np.round(changed, 1).ravel()) <= {0.0, 1.0}  # whole squares
        assert bool(changed.sum() >= 2) == (sample["mode"] == "heavy image")
        words = [t for t in sample["tokens"] if not t["field"]]
        assert [t["text"] for t in sample["tokens"] if t["field"]] == ["title"]
        assert "".join(t["text"] for t in words) == sample["title"].replace(" ", "")
        assert all((t["guess"] is None) == (not t["masked"]) for t in sample["tokens"])
        assert all(t["right"] == (t["guess"] == t["text"]) for t in sample["tokens"] if t["masked"])
        if sample["mode"] == "heavy image":
            assert not any(t["masked"] for t in words)


def test_two_runs_give_the_same_bytes(made: dict[str, Artifact], tmp_path: Path) -> None:
    write_shop(tmp_path, 40)
    again = make(recipe_of(tmp_path))
    assert again["probes"].key == made["probes"].key and again["probes"].files == made["probes"].files


def test_samples_come_in_turn_from_each_class() -> None:
    items = pl.DataFrame(
        {"row": range(30), "label.kind": ["a"] * 26 + ["b", "b", "c", "c"], "label.tint": [str(i) for i in range(30)]}
    )
    rows = choose(items, np.arange(30), 6)
    kinds = items[rows]["label.kind"].to_list()
    assert sorted(kinds[:3]) == sorted(kinds[3:]) == ["a", "b", "c"]
    assert rows == choose(items, np.arange(30), 6)
    assert len(choose(items.select("row"), np.arange(30), 6)) == 6
    assert choose(items, np.arange(0), 6) == []


def test_a_picture_for_the_page_is_small() -> None:
    assert Image.open(io.BytesIO(png(Image.new("RGB", (400, 400)), 128))).size == (128, 128)


def _lines(count: int) -> pl.DataFrame:
    """Losses as `Probe.losses` gives them: the first half gains 1 nat a word by its picture, the other loses 0.5."""
    gain = np.where(np.arange(count) < count // 2, 1.0, -0.5)
    return pl.DataFrame(
        {
            "group": [f"g{i}" for i in range(count)],
            "tokens": [2] * count,
            "mlm_true": [4.0] * count,
            "mlm_random": 4.0 + 2 * gain,
            "mlm_blank": [4.0] * count,
            "recon_true": [0.5] * count,
            "recon_random": 0.5 + np.linspace(-1, 1, count),
            "recon_none": [0.25] * count,
        }
    )


def test_gaps_within_each_class_with_small_ones_and_unlabelled_ones_together() -> None:
    classes = ["mugs"] * 50 + ["lamps"] * 30 + ["rare"] * 4 + ["odd"] * 6 + [None] * 10
    found = gaps(_lines(100), 200, classes)
    assert found["mlm"]["true"] == 2.0 and found["mlm"]["random_minus_true"]["mean"] == pytest.approx(0.25)
    names = [(one["name"], one["listings"]) for one in found["classes"]]
    assert names == [("mugs", 50), ("lamps", 30), ("others", 10), ("without a label", 10)]
    mugs, lamps = (one["mlm"]["random_minus_true"] for one in found["classes"][:2])
    assert mugs == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert lamps == {"mean": -0.5, "low": -0.5, "high": -0.5}
    lines = table(found | {"listings": 100}, "mlm")
    assert [(line[0], line[-1]) for line in lines[:4]] == [
        ("all, against random", "pictures help"),
        ("all, against blank", "undecided"),
        ("mugs", "pictures help"),
        ("lamps", "pictures mislead"),
    ]
    assert lines[2][1:5] == ("50", "2.000", "+1.000", "[+1.000, +1.000]")
    recon = [line[0] for line in table(found | {"listings": 100}, "recon")[2:]]
    assert recon == ["without a label", "others", "lamps", "mugs"]  # by their own gap


def test_a_class_of_one_group_tells_nothing_by_itself() -> None:
    lines = _lines(60).with_columns(group=pl.Series(["same"] * 30 + [f"g{i}" for i in range(30)]))
    found = gaps(lines, 100, ["variants"] * 30 + ["mugs"] * 30)
    assert [one["name"] for one in found["classes"]] == ["others", "mugs"]


def test_another_checkpoint_and_what_it_never_learnt(made: dict[str, Artifact], tmp_path: Path) -> None:
    write_shop(tmp_path, 40)
    folder = made["pretrain"].folder
    probes = {"by": "kind", "bootstrap": 100, "checkpoint": str(folder)}
    recipe = recipe_of(tmp_path, probes=probes)
    inputs = {name: made[name] for name in NEEDS}
    stage = probes_stage(recipe.report, recipe.probes, recipe.pretrain, {"probes.checkpoint": "digest"})
    assert stage.needs == NEEDS and stage.sources == {"probes.checkpoint": "digest"}
    console = Console(file=io.StringIO())

    def run(name: str, stage: Stage) -> dict[str, Any]:
        (tmp_path / name).mkdir()
        return dict(stage.run(Work(tmp_path / name, inputs, recipe.runtime, console, tmp_path / "log")))

    found = run("whole", stage)
    assert found["mlm"] == json.loads(made["probes"].path("probes.json").read_text())["mlm"]  # the very same network
    assert found["by"] == "kind" and sum(one["listings"] for one in found["classes"]) == found["listings"]

    bare = tmp_path / "network"  # without a manifest, the recipe's objectives are believed
    bare.mkdir()
    for name in ("model.json", "model.safetensors"):
        (bare / name).write_bytes((folder / name).read_bytes())
    recipe = recipe_of(
        tmp_path, probes=probes | {"checkpoint": str(bare)}, pretrain={"objectives": {"recon": {"weight": 0}}}
    )
    found = run("words", probes_stage(recipe.report, recipe.probes, recipe.pretrain, {}))
    assert "mlm" in found and "recon" not in found and "weight 0" in found["left_out"]["recon"]
    assert not list((tmp_path / "words" / "pictures").glob("*redrawn*"))

    (bare / "model.json").unlink()
    with pytest.raises(DataError, match=r"holds no model\.json"):
        run("none", probes_stage(recipe.report, recipe.probes, recipe.pretrain, {}))
    recipe = recipe_of(tmp_path, probes={"by": "colour"})
    inputs["pretrain"] = made["pretrain"]
    with pytest.raises(RecipeError, match=r"no label .colour.; labels in catalog\.feeds\.columns: kind"):
        run("label", probes_stage(recipe.report, recipe.probes, recipe.pretrain, {}))
