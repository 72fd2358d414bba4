"""Networks saved and loaded, at their own side and at another; what is done to weights before tuning."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import batch, network
from workbench.errors import ArtifactError
from workbench.model.encoder import Size
from workbench.model.mlim import Shape
from workbench.model.vision import fit_positions
from workbench.recipe.schema import Start
from workbench.tasks.network import CONFIG, load_network, read_shape, save_network, shrink_and_perturb

SHAPE_224 = Shape(Size(16, 1, 2), vocabulary=40, mask_token=4, text_positions=12, image_side=224, patch=32)


@torch.no_grad()
@pytest.mark.parametrize("embedder", ["cnn", "patches", "resnet"])
def test_a_checkpoint_of_224_px_loads_at_384(tmp_path: Path, embedder: str):
    small = network(shape=replace(SHAPE_224, embedder=embedder))
    save_network(tmp_path, small)
    large = load_network(tmp_path, replace(small.shape, image_side=384)).eval()
    assert large.shape.grid == 12
    assert torch.equal(large.image_positions.weight, fit_positions(small.image_positions.weight, 12))
    text_BLD, image_BPD = large.encode(batch([3, 6], [1, 2], large.shape))
    assert image_BPD.shape == (2, 144, 16) and text_BLD.isfinite().all()
    assert large.redraw(image_BPD).shape == (2, 3, 384, 384) and large.redraw(image_BPD).isfinite().all()


@pytest.mark.parametrize(
    ("change", "told"), [({"patch": 16}, "patch 32, expected 16"), ({"embedder": "resnet"}, "cnn, expected resnet")]
)
def test_a_checkpoint_of_another_patch_or_embedder_is_refused(tmp_path: Path, change: dict[str, int], told: str):
    save_network(tmp_path, network(shape=SHAPE_224))
    with pytest.raises(ArtifactError, match=f"{tmp_path}: a network of .*{told}; only image_side may be another"):
        load_network(tmp_path, replace(SHAPE_224, **change))


def test_a_network_saved_before_there_were_other_embedders_has_the_papers(tmp_path: Path):
    save_network(tmp_path, network(shape=SHAPE_224))
    config = json.loads((tmp_path / CONFIG).read_text())
    del config["embedder"]
    (tmp_path / CONFIG).write_text(json.dumps(config))
    assert read_shape(tmp_path)[0] == load_network(tmp_path).shape == SHAPE_224


def test_shrink_alone_halves_matrices_and_pulls_gains_to_one_and_offsets_to_zero():
    model = network(seed=0)
    with torch.no_grad():
        model.embedding_norm.weight.fill_(3.0)
        model.embedding_norm.bias.fill_(4.0)
    words = model.words.weight.detach().clone()
    shrink_and_perturb(model, Start(shrink=0.5))
    torch.testing.assert_close(model.words.weight, words * 0.5)
    assert (model.embedding_norm.weight == 2).all() and (model.embedding_norm.bias == 2).all()


def test_the_noise_has_the_spread_of_each_matrix():
    model = network(seed=0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.manual_seed(1)
    shrink_and_perturb(model, Start(shrink=1.0, perturb=0.5))
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and weight.numel() > 2000:
            added = (weight.detach() - before[name]).std() / before[name].std()
            assert abs(float(added) - 0.5) < 0.05, name


def test_it_is_repeatable_and_nothing_by_default():
    models = [network(seed=0) for _ in range(3)]
    for model in models[:2]:
        torch.manual_seed(7)
        shrink_and_perturb(model, Start(shrink=0.7, perturb=1.0))
    shrink_and_perturb(models[2], Start())
    fresh = network(seed=0)
    for a, b, c, d in zip(*(m.parameters() for m in (*models, fresh)), strict=True):
        assert torch.equal(a, b) and torch.equal(c, d)
