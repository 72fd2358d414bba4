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
from workbench.model.reading import Reading
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


def shown_to(loss: ItmLoss, task: Pretraining, made: Batch, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], Batch]:
    """Whose picture each listing got."""
    seen: list[Batch] = []
    encode = type(task.network).encode
    monkeypatch.setattr(type(task.network), "encode", lambda self, b: seen.append(b) or encode(self, b))
    loss.by_listing(Reading(task.network, made))
    equal_BB = (seen[-1].pixels_BCHW[:, None] == made.pixels_BCHW).flatten(2).all(2)
    return equal_BB.long().argmax(1).tolist(), seen[-1]


def test_every_second_listing_gets_the_next_strangers_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batch([3, 6, 1, 4, 2, 5], [1] * 6)
    made = replace(made, has_image_B=torch.tensor([True, True, False, True, True, True]))
    task = training(of("itm", itm={"negatives": "random"}), groups=[7, 7, 1, 7, 2, 3])
    (loss,) = task.objectives
    whose, shown = shown_to(loss, task, made, monkeypatch)
    assert whose == [0, 4, 2, 3, 5, 5]  # of 0, 1, 3, 4, 5 the second and the fourth
    assert not shown.text_masked_BL.any() and not shown.image_masked_BP.any()
    assert torch.equal(shown.shown_BL, made.tokens_BL)
    assert task.counts(made) == {"itm": 5}
    logits_B = task.heads.itm(task.network.encode(shown)[0])
    by_hand = F.softplus(torch.tensor([-1.0, 1, 0, -1, 1, -1]) * logits_B) * made.has_image_B
    torch.testing.assert_close(loss.by_listing(Reading(task.network, made)), by_hand)


def test_hard_pictures_are_of_the_most_alike_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batch([3, 6, 1, 4], [1] * 4)
    made.tokens_BL[3], made.pixels_BCHW[3] = made.tokens_BL[1], made.pixels_BCHW[1]  # 3 is 1 again: of its group
    near = made.pixels_BCHW[1].clone()
    near[0, 0, 0] ^= 1
    made.tokens_BL[2], made.shown_BL[2], made.text_real_BL[2] = (
        made.tokens_BL[1],
        made.shown_BL[1],
        made.text_real_BL[1],
    )
    made.pixels_BCHW[2], made.image_masked_BP[2] = near, made.image_masked_BP[1]
    task = training(of("itm"), groups=[0, 5, 2, 5])
    assert shown_to(task.objectives[0], task, made, monkeypatch)[0][:3:2] == [0, 2]
    assert shown_to(task.objectives[0], task, made, monkeypatch)[0][1] == 2


def test_hard_pictures_go_by_itc_where_it_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    task = training(of("itc", "itm"))
    with torch.no_grad():
        cosines_BB = task.heads.itc(*Reading(task.network, FOUR).apart).fill_diagonal_(-9)
    nearest = cosines_BB.argmax(1).tolist()
    assert shown_to(task.objectives[1], task, FOUR, monkeypatch)[0] == [0, nearest[1], 2, nearest[3]]


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
    assert counts["itm"] == counts["itc"] == 0 and float(sums["itm"]) == float(sums["itc"]) == 0
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
        assert float(sum(task.sums(half)[name] for half in halves)) == pytest.approx(float(whole), rel=1e-5)
        assert sum(task.counts(half)[name] for half in halves) == task.counts(FOUR)[name]


# The stage


def pretrained(tmp_path: Path, **pretrain: object) -> Artifact:
    if not (tmp_path / "feed.csv").exists():
        shop.build(tmp_path)
    tree = shop.tree(tmp_path / "cache")
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
