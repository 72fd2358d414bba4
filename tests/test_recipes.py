"""Every shipped recipe loads, and the paper's has the paper's values."""

from pathlib import Path

import pytest
from torch import nn

from workbench.ablate.variants import read_variants
from workbench.errors import RecipeError
from workbench.model.mlim import SIZES
from workbench.model.vision import EMBEDDERS, ImageDecoder
from workbench.recipe.load import load_recipe
from workbench.recipe.schema import Mam

FOLDER = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def shop(monkeypatch):
    monkeypatch.setenv("MLIM_FEED", "/shop/feed.csv")
    monkeypatch.setenv("MLIM_PAIRS", "/shop/pairs.csv")
    monkeypatch.setenv("MLIM_CATALOGS", "/catalogs")
    monkeypatch.setenv("MLIM_BERT", "/shop/minilm")


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda p: p.stem)
def test_it_loads(path, shop):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.images.side >= recipe.model.image_side


def test_the_paper(shop):
    recipe = load_recipe(FOLDER / "paper.yaml")
    assert recipe.model.size == "large"  # BERT-large
    assert (recipe.model.image_side, recipe.model.patch) == (384, 32)  # a grid of 12 x 12 = 144 image tokens
    assert (recipe.pretrain.objectives.mlm.weight, recipe.pretrain.objectives.recon.weight) == (
        1,
        1,
    )  # loss = MLM + RECON
    third = pytest.approx(1 / 3)
    masking = recipe.pretrain.masking
    assert isinstance(masking, Mam)
    assert masking.modes == (third, third, third)
    assert (masking.heavy_image, masking.heavy_text, masking.light_image, masking.light_text) == (0.8, 0.8, 0.15, 0.15)
    assert (recipe.finetune.match.mdo.text, recipe.finetune.match.mdo.image) == (third, third)
    assert recipe.catalog.feeds[0].path == Path("/shop/feed.csv")


def test_the_papers_embedder_and_decoder_have_its_layers_and_parameters(shop):
    model = load_recipe(FOLDER / "paper.yaml").model
    width = SIZES[model.size].width
    parts = (EMBEDDERS[model.embedder](model.patch, width), ImageDecoder(model.patch, width))
    layers = [sum(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in part.modules()) for part in parts]
    assert layers == [7, 10]
    parameters = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert parameters == [pytest.approx(200e3, rel=0.05), pytest.approx(2.8e6, rel=0.05)]


def test_the_paper_s_table(shop):
    recipe, variants = read_variants(FOLDER / "ablations" / "table.yaml")
    assert recipe.ablate.seeds == (0, 1, 2)
    parts = [v.recipes[0].pretrain.objectives for v in variants]
    assert [(p.mlm.weight, p.recon.weight, p.itm.weight) for p in parts] == [
        (1, 1, 0), (1, 1, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0), (1, 1, 0),
    ]  # fmt: skip
    assert [v.recipes[0].pretrain.masking.policy for v in variants] == ["mam"] * 4 + ["uniform", "mam"]
    assert [v.recipes[0].pretrain.epochs > 0 for v in variants] == [True] * 5 + [False]
    assert [v.recipes[0].finetune.match.mdo.text > 0 for v in variants] == [True, False, *[True] * 4]
    assert [v.name for v in read_variants(FOLDER / "ablations" / "emoji.yaml")[1]] == [v.name for v in variants]


def test_the_quickstart_needs_only_what_is_shipped():
    recipe = load_recipe(FOLDER / "quickstart.yaml")
    for feed in recipe.catalog.feeds:
        assert feed.path.is_file()
        assert feed.pictures.is_file()
    assert recipe.finetune.match.pairs.is_file()
    assert recipe.runtime.cache == FOLDER.parent / ".mlim"
    assert recipe.runtime.reports == FOLDER.parent / "reports"


def test_a_recipe_for_a_feed_of_one_s_own(monkeypatch, tmp_path):
    monkeypatch.delenv("MLIM_FEED", raising=False)
    with pytest.raises(RecipeError, match=r"base.yaml, line \d+: catalog.feeds.0.path uses \$\{MLIM_FEED\}"):
        load_recipe(FOLDER / "base.yaml")
    (tmp_path / "shop.yaml").write_text(f"extends: {FOLDER / 'base.yaml'}\ncatalog: {{feeds: [{{path: my.csv}}]}}\n")
    recipe = load_recipe(tmp_path / "shop.yaml")
    assert recipe.model.size == "base"
    assert recipe.catalog.feeds[0].path == tmp_path / "my.csv"
    assert recipe.runtime.cache == tmp_path / ".mlim"
