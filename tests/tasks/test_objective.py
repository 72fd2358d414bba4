"""Objectives: each what it says, in any sum, in any micro-batch, and each with gradients for all that it trains."""

import itertools
import json
from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console

from tests.tasks import shop
from tests.tiny import SHAPE, batch, network, scatter
from workbench.artifacts.store import Artifact
from workbench.batch import Batch
from workbench.errors import ArtifactError, DataError
from workbench.model.mlim import Mlim
from workbench.model.reading import Reading
from workbench.model.vision import fit_positions
from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import recipe_from_tree
from workbench.recipe.schema import Objectives
from workbench.tasks.network import load_heads, load_network
from workbench.tasks.objective import ItmLoss, Pretraining, Strangers, group_numbers

NAMES = ("mlm", "recon", "itm", "itc")


def of(*names: str, **more: dict[str, object]) -> Objectives:
    return Objectives.model_validate({n: {"weight": float(n in names)} | more.get(n, {}) for n in NAMES})


def training(section: Objectives, groups: list[int] | None = None) -> Pretraining:
    made = Pretraining(network(), section, torch.tensor(groups) if groups else None)
    scatter(made.heads)
    return made


def mean(task: Pretraining, made: Batch, name: str) -> float:
    return float(task.sums(made)[name].detach()) / max(task.counts(made)[name], 1)


def part(whole: Batch, start: int, end: int) -> Batch:
    return Batch(*(getattr(whole, f.name)[start:end] for f in fields(Batch)))


FOUR = batch([3, 6, 1, 4], [1, 2, 0, 4])


def test_mlm_and_recon_are_the_mean_over_hidden_tokens_and_over_pictures() -> None:
    made = replace(FOUR, has_image_B=torch.tensor([True, True, False, True]))
    task = training(of("mlm", "recon"))
    text_BLD, image_BPD = task.network.encode(made)
    logits_BLV = task.network.language_head(text_BLD, task.network.words.weight)
    nats_BL = -logits_BLV.log_softmax(2).gather(2, made.tokens_BL[:, :, None])[:, :, 0]
    assert mean(task, made, "mlm") == pytest.approx(nats_BL[made.text_masked_BL].mean().item(), rel=1e-5)
    drawn = (torch.sigmoid(task.network.image_decoder(image_BPD)) - made.pixels_BCHW / 255) ** 2
    assert mean(task, made, "recon") == pytest.approx(drawn.sum(1)[[0, 1, 3]].mean().item(), rel=1e-5)


def test_a_heavy_image_listing_has_no_mlm_loss() -> None:
    (loss,) = (o for o in training(of("mlm")).objectives)
    by_listing = loss.by_listing(Reading(network(), FOUR))
    assert by_listing[2] == 0 and (by_listing[[0, 1, 3]] > 0).all()  # no word of the third is hidden


@torch.no_grad()
def test_recon_of_masked_patches_counts_pictures_that_have_some() -> None:
    made = replace(FOUR, image_masked_BP=FOUR.image_masked_BP & torch.tensor([True, False, True, True])[:, None])
    task = training(of("recon", recon={"over": "masked"}))
    assert task.counts(made) == {"recon": 3}
    (loss,) = task.objectives
    assert loss.by_listing(Reading(task.network, made))[1] == 0


@torch.no_grad()
@pytest.mark.parametrize("over", ["picture", "masked"])
def test_pictures_of_normalised_patches_are_shown_as_pixels(over: str) -> None:
    task = training(of("recon", recon={"target": "normalised", "over": over}))
    (loss,), reading = task.objectives, Reading(task.network, FOUR)
    redrawn_BCHW = loss.redrawn(reading)
    assert redrawn_BCHW.shape == FOUR.pixels_BCHW.shape and 0 <= redrawn_BCHW.min() <= redrawn_BCHW.max() <= 1
    blocks = F.pixel_unshuffle(redrawn_BCHW, 4), F.pixel_unshuffle(FOUR.pixels_BCHW / 255, 4)
    same_BP = torch.isclose(*blocks, rtol=0, atol=1e-6).all(1).flatten(1)
    assert torch.equal(same_BP, ~FOUR.image_masked_BP if over == "masked" else torch.zeros_like(same_BP))


# Telling what belongs together


EIGHT = batch([3, 6, 1, 4, 2, 5, 7, 8], [1] * 8)


def itm_of(task: Pretraining) -> ItmLoss:
    (loss,) = (o for o in task.objectives if isinstance(o, ItmLoss))
    return loss


def test_every_second_listing_gets_the_next_ones_picture() -> None:
    made = replace(EIGHT, has_image_B=torch.arange(8) != 2)
    task = training(of("itm", itm={"negatives": "random"}))
    assert itm_of(task).whose(Reading(task.network, made)).tolist() == [0, 4, 2, 3, 6, 5, 1, 7]  # 1, 4 and 6
    assert task.counts(made) == {"itm": 7}


def test_itm_is_the_cross_entropy_of_belonging_together(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Batch] = []
    encode = Mlim.encode
    monkeypatch.setattr(Mlim, "encode", lambda self, b: seen.append(b) or encode(self, b))
    task = training(of("itm", itm={"negatives": "random"}))
    losses_B = itm_of(task).by_listing(Reading(task.network, FOUR))
    (shown,) = seen
    assert torch.equal(shown.shown_BL, FOUR.tokens_BL) and not shown.image_masked_BP.any()
    assert torch.equal(shown.pixels_BCHW, FOUR.pixels_BCHW[[0, 3, 2, 1]])
    logits_B = task.heads.itm(task.network.encode(shown)[0])
    torch.testing.assert_close(losses_B, F.softplus(torch.tensor([-1.0, 1, -1, 1]) * logits_B))


@pytest.mark.parametrize("negatives", ["hard", "random"])
def test_every_picture_is_seen_once_and_none_beside_its_own_group(negatives: str) -> None:
    groups = [0, 1, 2, 1, 3, 4, 5, 1]  # 1, 3 and 7 are of one group, and 5 the only stranger given away with them
    task = training(of("itm", itm={"negatives": negatives}), groups)
    whose = itm_of(task).whose(Reading(task.network, EIGHT)).tolist()
    moved = {i: k for i, k in enumerate(whose) if i != k}
    assert sorted(moved) == sorted(moved.values()) and len(moved) == 2 and 5 in moved
    assert all(groups[i] != groups[k] for i, k in moved.items())


@torch.no_grad()
@pytest.mark.parametrize("names", [("itm",), ("itc", "itm")], ids="+".join)
def test_hard_pictures_are_of_those_most_alike(names: tuple[str, ...]) -> None:
    task = training(of(*names))
    reading, given = Reading(task.network, EIGHT), (1, 3, 5, 7)
    if "itc" in names:  # text by picture, by its head
        likeness = task.heads.itc(*reading.apart).tolist()
    else:  # as the masked pass read them
        real_BS = torch.cat([EIGHT.text_real_BL, torch.ones(8, 16, dtype=torch.bool)], 1)
        x_BSD = torch.cat(reading.masked, 1)
        mean_BD = F.normalize(torch.stack([x[real].mean(0) for x, real in zip(x_BSD, real_BS, strict=True)]), dim=1)
        likeness = (mean_BD @ mean_BD.T).tolist()
    ways = [way for way in itertools.permutations(given) if all(a != b for a, b in zip(given, way, strict=True))]
    best = max(ways, key=lambda way: sum(likeness[a][b] for a, b in zip(given, way, strict=True)))
    assert itm_of(task).whose(reading).tolist() == [0, best[0], 2, best[1], 4, best[2], 6, best[3]]


def test_itc_is_infonce_between_listings_of_different_groups() -> None:
    task = training(of("itc", itc={"temperature": 0.5, "width": 8}), groups=[0, 1, 0, 2])
    text_BLD, image_BPD = task.network.encode_apart(Reading(task.network, FOUR).unmasked)
    means = [text_BLD[i, : n + 2].mean(0) for i, n in enumerate([3, 6, 1, 4])]
    head = task.heads.itc
    text_BK = F.normalize(head.text(torch.stack(means)), dim=1)
    scores_BB = text_BK @ F.normalize(head.image(image_BPD.mean(1)), dim=1).T * head.log_scale.exp()
    scores_BB[0, 2] = scores_BB[2, 0] = -torch.inf
    own = torch.arange(4)
    by_hand = (F.cross_entropy(scores_BB, own) + F.cross_entropy(scores_BB.T, own)) / 2
    assert mean(task, FOUR, "itc") == pytest.approx(by_hand.item(), rel=1e-5)
    with torch.no_grad():
        head.log_scale.fill_(50)
    assert head.scale.item() == 100


@pytest.mark.parametrize("negatives", ["hard", "random"])
@pytest.mark.parametrize("case", ["one listing", "one group", "no pictures", "one with both"])
def test_where_nobody_is_a_stranger_there_is_no_loss_and_no_nan(case: str, negatives: str) -> None:
    made = part(FOUR, 0, 1) if case == "one listing" else FOUR
    if case in ("no pictures", "one with both"):
        made = replace(made, has_image_B=torch.tensor([False] * 3 + [case == "one with both"]))
    task = training(of(*NAMES, itm={"negatives": negatives}), [3] * 4 if case == "one group" else None)
    counts, sums = task.counts(made), task.sums(made)
    assert counts["itm"] == counts["itc"] == 0 and sums["itm"].item() == sums["itc"].item() == 0
    torch.stack(list(sums.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in task.model.parameters() if p.grad is not None)


def test_numbers_of_groups_are_by_row() -> None:
    numbers_N = group_numbers(pl.DataFrame({"group": ["b", "a", "b", "c"]}))
    assert numbers_N.tolist() == [2, 1, 2, 3]
    assert Strangers(numbers_N)(FOUR).long().tolist() == [[0, 1, 0, 1], [1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0]]


# Sums


COMBINATIONS = [c for n in range(1, 5) for c in itertools.combinations(NAMES, n)]


CASES = [*((names, "cnn", 16) for names in COMBINATIONS), *((("mlm", "recon"), e, 16) for e in ("patches", "resnet"))]
CASES += [(("mlm", "recon"), "cnn", side) for side in (8, 24)]  # position embeddings interpolated


@pytest.mark.parametrize(("names", "embedder", "side"), CASES, ids=str)
def test_all_that_learns_gets_a_gradient(names: tuple[str, ...], embedder: str, side: int) -> None:
    task = Pretraining(network(shape=replace(SHAPE, embedder=embedder)), of(*names))
    made = FOUR if side == 16 else batch([3, 6, 1, 4], [1, 2, 0, 4], replace(SHAPE, image_side=side))
    sums = task.sums(made)
    assert set(sums) == set(task.weights) == set(task.counts(made)) == set(names)
    torch.stack(list(sums.values())).sum().backward()
    learning = {n: p for n, p in task.model.named_parameters() if p.requires_grad}
    assert [n for n, p in learning.items() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()] == []
    frozen = {n.split(".")[1] for n, p in task.model.named_parameters() if not p.requires_grad}
    heads = {"mlm": "language_head", "recon": "image_decoder"}
    assert frozen == {head for name, head in heads.items() if name not in names}


@pytest.mark.parametrize("over", ["picture", "masked"])
def test_two_micro_batches_are_one_batch(over: str) -> None:
    task = training(of("mlm", "recon", recon={"over": over, "target": "normalised"}))
    halves = part(FOUR, 0, 1), part(FOUR, 1, 4)
    for name, whole in task.sums(FOUR).items():
        assert sum(task.sums(half)[name].item() for half in halves) == pytest.approx(whole.item(), rel=1e-5)
        assert sum(task.counts(half)[name] for half in halves) == task.counts(FOUR)[name]


# The stage


def pretrained(tmp_path: Path, model: dict[str, object] = {}, **pretrain: object) -> Artifact:  # noqa: B006
    if not (tmp_path / "feed.csv").exists():
        shop.build(tmp_path)
    tree = shop.tree(tmp_path / "cache")
    tree["model"] |= model
    tree["pretrain"] |= {"log_every": 1, "validate_every": 1} | pretrain
    recipe = recipe_from_tree(tree, tmp_path)
    return run_plan(plan_recipe(recipe, ["pretrain"]), recipe.runtime, Console(quiet=True))["pretrain"].artifact


def test_all_are_logged_apart_and_their_heads_kept(tmp_path: Path) -> None:
    made = pretrained(tmp_path, objectives={"itm": {"weight": 1}, "itc": {"weight": 0.5, "width": 8}})
    lines = [json.loads(line) for line in made.path("metrics.jsonl").read_text().splitlines()]
    assert set(lines[0]) == {"step", "lr", "grad_norm", *NAMES}
    assert set(lines[-1]) == {"step", *(f"valid_{name}" for name in NAMES)}
    assert made.summary["valid"] == {k: v for k, v in lines[-1].items() if k != "step"}
    heads = load_heads(made)
    assert heads.itm is not None and heads.itc is not None and heads.itc.text.weight.shape == (8, 128)
    assert not torch.equal(heads.itc.log_scale.detach(), torch.tensor(0.07).log().neg())


def test_no_epoch_is_the_network_as_it_starts(tmp_path: Path) -> None:
    made, other = pretrained(tmp_path, epochs=0), pretrained(tmp_path, epochs=0, seed=1)
    assert made.summary["epochs"] == made.summary["steps"] == 0 and made.summary["valid"] == {}
    first, second = (load_network(a.folder).words.weight for a in (made, other))
    assert first.isfinite().all() and not torch.equal(first, second)
    assert "heads.safetensors" not in made.files and load_heads(made).state_dict() == {}


def test_a_training_goes_on_from_a_checkpoint_at_another_picture_side(tmp_path: Path) -> None:
    first = load_network((made := pretrained(tmp_path, epochs=0)).folder)
    start: dict[str, object] = {"checkpoint": str(made.folder), "image_side": 32, "size": None, "dropout": 0.3}
    second = load_network(pretrained(tmp_path, start, epochs=0).folder)
    assert torch.equal(second.encoder.layers[0].up.weight, first.encoder.layers[0].up.weight)
    assert torch.equal(second.image_positions.weight, fit_positions(first.image_positions.weight, 4))
    assert second.dropout.p == 0.3
    with pytest.raises(ArtifactError, match=r"a network of patch 8, expected 4; only image_side may be another"):
        pretrained(tmp_path, start | {"patch": 4}, epochs=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"model\.checkpoint: .*empty: holds no model\.json"):
        pretrained(tmp_path, start | {"checkpoint": "empty"}, epochs=0)
