"""Matching: a symmetric score, losses that add up, and results that equal scikit-learn's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.tasks import shop
from tests.tiny import batch, network, scatter
from workbench.artifacts.store import Artifact, Store
from workbench.batch import Batch
from workbench.batches.loader import Listings
from workbench.errors import DataError
from workbench.evaluate.calibrate import fit_platt
from workbench.recipe.schema import ModalityDropout, Runtime
from workbench.tasks.catalog import open_catalog
from workbench.tasks.match.answer import probability, table
from workbench.tasks.match.cross import score_rows
from workbench.tasks.match.exam import ArmScores, Test
from workbench.tasks.match.net import QUICK, MatchHead, PairBatch, PairLoss, shares
from workbench.tasks.match.pairs import Pairs
from workbench.tasks.match.results import section
from workbench.tasks.match.tuning import lost_together, nearest
from workbench.tasks.network import mean_of_tokens, model_section
from workbench.tasks.pooling import PIXELS, WORDS, numbers_of, pixels_of, words_of
from workbench.tasks.tuned import Tuned, load_tuned, read_answers, width_of


@pytest.fixture
def model() -> Tuned:
    shape = network()
    model = Tuned(shape, {"match": MatchHead(width_of(shape))}).eval()
    scatter(model)
    return model


def points(model: Tuned, made: Batch) -> torch.Tensor:
    return model.heads["match"](model.pooled(made))


def test_a_score_is_the_same_both_ways_round(model: Tuned) -> None:
    head, points_BD = model.heads["match"], points(model, batch([1, 5, 3, 0]))
    scores_BB = head.all_scores(points_BD)
    left, right = torch.triu_indices(4, 4)
    scores = head.scores(points_BD[left], points_BD[right])
    assert torch.equal(scores, head.scores(points_BD[right], points_BD[left]))
    torch.testing.assert_close(scores, scores_BB[left, right] + head.corrected(points_BD[left], points_BD[right]))
    fresh = MatchHead(width_of(model.network))
    torch.testing.assert_close(
        fresh.scores(points_BD[left], points_BD[right]), fresh.all_scores(points_BD)[left, right]
    )
    torch.testing.assert_close(points_BD.norm(dim=1), torch.ones(4))


def test_padding_and_missing_pictures_do_not_enter_a_listing(model: Tuned) -> None:
    made = batch([2, 7])
    alone = points(model, batch_of(made, [0]))
    torch.testing.assert_close(points(model, made)[:1], alone, rtol=1e-5, atol=1e-6)
    blind = replace(made, has_image_B=torch.tensor([False, True]))
    text_BLD, image_BPD = model.network.encode(blind)
    expected = text_BLD[0, :4].mean(0)  # [CLS], two words, [SEP]
    torch.testing.assert_close(mean_of_tokens(blind, text_BLD, image_BPD)[0], expected)


def test_what_is_missing_is_no_part_of_a_point_and_the_other_half_has_all_the_weight(model: Tuned) -> None:
    """Nothing is alike for being missing in both; a listing of which there is nothing is like none."""
    made = batch([4, 4, 0, 0])
    made = replace(made, has_image_B=torch.tensor([True, False, True, False]))
    width = width_of(model.network)
    parts = torch.split(points(model, made), [width, width, WORDS, PIXELS], 1)
    lengths_B4 = torch.stack([part.norm(dim=1) for part in parts], 1)
    share_4 = (QUICK * model.heads["match"].weights).softmax(0)
    there_B4 = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]])  # text, picture, words, pixels
    expected_B4 = (share_4 * there_B4) / (share_4 * there_B4).sum(1, keepdim=True).clamp(min=1e-9)
    torch.testing.assert_close(lengths_B4, expected_B4.sqrt())
    model.zero_grad()
    points(model, made).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_the_words_of_a_listing_are_its_tokens_without_cls_sep_and_padding() -> None:
    made = batch([3, 0, 1])
    words_BW = words_of(made)
    for row, length in enumerate((3, 0, 1)):
        expected = sorted(set(numbers_of(made.tokens_BL[row, 1 : 1 + length]).tolist()))
        assert words_BW[row].nonzero()[:, 0].tolist() == expected
    assert len(set(numbers_of(torch.arange(WORDS)).tolist())) > 0.6 * WORDS  # spread


def test_the_shares_of_words_by_hand() -> None:
    left = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    right = torch.tensor([[0, 1, 1, 1, 1], [1, 0, 0, 0, 0]]).bool()
    torch.testing.assert_close(shares(left, right), torch.tensor([[2 / 5, 2 / 3, 1.0, 0.5], [0.0, 0.0, 0.0, 0.25]]))
    assert torch.equal(shares(left, right), shares(right, left))


def test_how_a_picture_looks_by_hand() -> None:
    """Its left half black, its right half white: 8 x 8 cells around their mean, and two colours, half each."""
    made = batch([1, 1])
    pixels_BCHW = torch.zeros_like(made.pixels_BCHW)
    pixels_BCHW[..., 8:] = 255
    looks_BE = pixels_of(replace(made, pixels_BCHW=pixels_BCHW, has_image_B=torch.tensor([True, False])))
    thumb = torch.tensor([-1.0] * 4 + [1.0] * 4).repeat(24) / 192**0.5
    colours = torch.zeros(64)
    colours[[0, 63]] = 0.5**0.5
    torch.testing.assert_close(looks_BE, torch.stack([torch.cat([thumb, colours]), torch.zeros(PIXELS)]))


def test_a_batch_of_pairs_loses_one_modality_as_a_whole_as_often_as_the_recipe_says() -> None:
    places, mdo = np.arange(4000).reshape(-1, 1), ModalityDropout(text=0.1, image=0.3)
    drawn = [lost_together(mdo, 0, 3, place) for place in places]
    counts = [drawn.count(how) for how in (ModalityDropout(text=1, image=0), ModalityDropout(text=0, image=1), None)]
    assert sum(counts) == 4000
    np.testing.assert_allclose(np.array(counts) / 4000, [0.1, 0.3, 0.6], atol=0.02)
    assert drawn == [lost_together(mdo, 0, 3, place) for place in places]


def batch_of(made: Batch, places: list[int]) -> Batch:
    cut = {name: tensor[places] for name, tensor in vars(made).items()}
    longest = int(cut["text_real_BL"].sum(1).max())
    return Batch(
        **{
            n: t[:, :longest] if n in ("tokens_BL", "shown_BL", "text_real_BL", "text_masked_BL") else t
            for n, t in cut.items()
        }
    )


def pair_batch(made: Batch, left: list[int], right: list[int], match: list[float], products: list[int]) -> PairBatch:
    return PairBatch(made, torch.tensor(left), torch.tensor(right), torch.tensor(match), torch.tensor(products))


def test_the_losses_are_the_cross_entropies(model: Tuned) -> None:
    """Listings 0, 1 and 4 are one product: none of them is a wrong answer for another."""
    pairs = pair_batch(batch([2, 7, 4, 1, 3]), [0, 1, 2], [1, 2, 3], [1.0, 0, 0], [5, 5, 6, 7, 5])
    loss = PairLoss(model)
    sums, counts = loss.sums(pairs), loss.counts(pairs)
    assert counts == {"pairs": 3, "points": 3, "in_batch": 2} and len(pairs) == 3
    scores = model.heads["match"].all_scores(points(model, pairs.batch)).detach().numpy().astype(np.float64)
    odds = scores[[0, 1, 2], [1, 2, 3]]
    placed_BD = points(model, pairs.batch)
    added = model.heads["match"].corrected(placed_BD[[0, 1, 2]], placed_BD[[1, 2, 3]]).detach().numpy()
    for name, said in (("points", odds), ("pairs", odds + added)):
        expected = np.log1p(np.exp(-said[0])) + np.log1p(np.exp(said[1:])).sum()
        assert sums[name].item() == pytest.approx(expected, rel=1e-4)
    found = [np.log(np.exp(scores[i, [1 - i, 2, 3]]).sum()) - scores[0, 1] for i in (0, 1)]
    assert sums["in_batch"].item() == pytest.approx(sum(found), rel=1e-4)


def test_micro_batches_of_pairs_give_the_gradient_of_the_whole(model: Tuned) -> None:
    made = batch([2, 7, 4, 1, 3])
    whole = pair_batch(made, [0, 1, 2, 0], [1, 2, 3, 4], [1.0, 0, 0, 1], [0, 0, 1, 2, 0])
    parts = [
        pair_batch(batch_of(made, [0, 1]), [0], [1], [1.0], [0, 0]),
        pair_batch(made, [1, 2, 0], [2, 3, 4], [0.0, 0, 1], [0, 0, 1, 2, 0]),
    ]
    gradients = []
    for batches in ([whole], parts):
        model.zero_grad()
        for pairs in batches:
            (PairLoss(model).sums(pairs)["pairs"] / 4).backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_no_matching_pair_in_a_batch_is_no_nan(model: Tuned) -> None:
    loss = PairLoss(model)
    pairs = pair_batch(batch([2, 7]), [0], [1], [0.0], [0, 1])
    sums = loss.sums(pairs)
    sum(sums.values()).backward()
    assert sums["in_batch"].item() == 0
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_listings_without_text_or_picture_are_finite_and_pixels_of_none_do_not_count(model: Tuned) -> None:
    made = batch([0, 7, 4, 0])
    has = torch.tensor([True, False, True, False])
    made = replace(made, has_image_B=has, has_text_B=torch.tensor([False, True, True, False]))
    pairs = pair_batch(made, [0, 1, 0], [1, 2, 3], [1.0, 0, 0], [0, 0, 1, 2])
    loss = PairLoss(model)
    sums = loss.sums(pairs)
    sum(sums.values()).backward()
    assert all(s.isfinite() for s in sums.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    other = replace(made, pixels_BCHW=torch.where(has[:, None, None, None], made.pixels_BCHW, 255 - made.pixels_BCHW))
    assert torch.equal(points(model, made), points(model, other))


def test_the_first_step_is_of_ordinary_size_where_pictures_are_missing() -> None:
    """At the start the part of a missing picture is projected to 0, where a norm's gradient has no bound."""
    net = network()
    model = Tuned(net, {"match": MatchHead(width_of(net))}).eval()
    made = replace(batch([2, 7, 4, 3]), has_image_B=torch.tensor([True, False, True, False]))
    pairs = pair_batch(made, [0, 1], [1, 2], [1.0, 0], [0, 0, 1, 2])
    sum(PairLoss(model).sums(pairs).values()).backward()
    assert max(float(p.grad.norm()) for p in model.parameters() if p.grad is not None) < 100


def test_candidates_are_the_nearest_of_either() -> None:
    angles = torch.tensor([0.0, 0.1, 0.3, 2.0])
    points_nD = torch.stack([angles.cos(), angles.sin()], 1)
    assert nearest(points_nD, 1).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert nearest(points_nD, 9).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert nearest(points_nD[:1], 3).shape == (0, 2)


# What is measured


def pairs_of(match: list[int]) -> Pairs:
    n = len(match)
    return Pairs(np.arange(2 * n).reshape(n, 2), np.array(match, bool), np.array(["test"] * n))


def of(valid: Pairs, test: Pairs) -> Test:
    rows = np.arange(2 * max(len(test), len(valid)) + 1)
    slices = pl.DataFrame({"category": np.where(rows % 4 < 2, "mug", "lamp")})
    return Test({"valid": valid, "test": test}, rows.astype(str), rows, rows % 8 > 1, slices, {})


def test_intervals_thresholds_and_examples_by_hand() -> None:
    stream = np.random.default_rng(0)
    test, valid = pairs_of([1, 0] * 50), pairs_of([1, 1, 0, 1, 0, 0, 0])
    good = np.clip(test.match * 0.4 + stream.random(100) * 0.6, 0, 1)
    other = np.clip(test.match * 0.3 + stream.random(100) * 0.7, 0, 1)
    seeds = [{"valid": np.array([0.9, 0.8, 0.7, 0.1, 0.3, 0.2, 0.05]), "test": s} for s in (good, other)]
    arms = [
        ArmScores("pretrained", 1.0, seeds),
        ArmScores("scratch", 1.0, seeds[1:]),
        ArmScores("text baseline", None, [{"valid": seeds[0]["valid"], "test": 1 - good}]),
    ]
    found, told = section(of(valid, test), arms, 0.9)
    truth = [average_precision_score(test.match, s) for s in (good, other)]
    kept, scratch, baseline = found["arms"]
    assert kept["by_seed"] == pytest.approx(truth) and kept["seeds"] == 2 and scratch["seeds"] == 1
    assert kept["pr_auc"]["mean"] == pytest.approx(np.mean(truth))
    assert kept["pr_auc"]["low"] < np.mean(truth) < kept["pr_auc"]["high"]
    above = good >= 0.8  # two of two valid pairs from 0.8 on match, two of three from 0.7 on
    calibrated = fit_platt(seeds[0]["valid"], valid.match)
    assert told["calibration"] == {"scale": calibrated.scale, "shift": calibrated.shift}
    assert told["threshold"] == calibrated(np.array([0.8]))[0] and told["precision"] == 0.9
    assert kept["threshold"] == {
        "wanted_precision": 0.9,
        "score": told["threshold"],
        "precision": pytest.approx(test.match[above].mean()),
        "recall": pytest.approx((above & test.match).sum() / 50),
    }
    gains = {(d["left"], d["right"], d["share"]): d for d in found["differences"]}
    assert gains.keys() == {("pretrained", "scratch", 1.0), ("pretrained", "text baseline", 1.0)}
    gain = gains["pretrained", "text baseline", 1.0]
    assert gain["better"] == "left" and gain["pr_auc"]["mean"] == pytest.approx(np.mean(truth) - baseline["by_seed"][0])
    assert found["verdict"][0].startswith(
        "With all labels, the pre-trained network beats the best baseline, text: PR AUC"
    )
    probability = calibrated(good)
    right = (probability > 0.5) == test.match
    assert len(found["best"]) == 24 and len(found["worst"]) == min(24, (~right).sum())
    assert [pair["match"] for pair in found["best"]] == [1, 0] * 12  # in turns, the surest of each kind first
    for kind in (1, 0):
        sure = sorted(np.abs(probability[right & (test.match == kind)] - 0.5), reverse=True)
        assert [abs(pair["score"] - 0.5) for pair in found["best"] if pair["match"] == kind] == sure[:12]
    assert found["best"][0]["right"]["row"] == found["best"][0]["left"]["row"] + 1
    assert found["curve"][0]["points"][-1] == [1.0, 0.5] and len(found["curve"]) == 3
    assert kept["roc_auc"]["mean"] == pytest.approx(np.mean([roc_auc_score(test.match, s) for s in (good, other)]))
    whole = np.arange(100) % 4 > 0  # pairs of which both listings have both
    (reading, *_) = found["readings"]
    assert reading["items"] == whole.sum() and reading["reading"] == "both"
    truth = [average_precision_score(test.match[whole], s[whole]) for s in (good, other)]
    assert reading["pr_auc"]["mean"] == pytest.approx(np.mean(truth))
    assert {(line["by"], line["value"], line["items"]) for line in found["slices"]} == {
        ("category", "mug", 50),
        ("category", "lamp", 50),
    }


@pytest.mark.parametrize("match", [[], [1, 1], [0]])
def test_test_pairs_of_one_kind_measure_nothing_and_say_so(match: list[int]) -> None:
    scores = {"valid": np.zeros(0), "test": np.zeros(len(match))}
    held_out = {"valid": pairs_of([]), "test": pairs_of(match)}
    found, told = section(of(**held_out), [ArmScores("pretrained", 1.0, [scores])], 0.9)
    assert told == {"calibration": {"scale": 1.0, "shift": 0.0}, "precision": 0.9, "threshold": None}
    assert found["undefined"]["roc_auc"].startswith("undefined, because")
    assert found["arms"] == found["differences"] == found["best"] == []
    assert "nothing could be measured" in found["verdict"][0]


def test_without_valid_pairs_there_is_no_threshold() -> None:
    scores = {"valid": np.zeros(0), "test": np.array([0.9, 0.1])}
    held_out = {"valid": pairs_of([]), "test": pairs_of([1, 0])}
    (arm,) = section(of(**held_out), [ArmScores("pretrained", 1.0, [scores])], 0.9)[0]["arms"]
    assert arm["threshold"] == {"wanted_precision": 0.9, "score": None, "precision": None, "recall": None}
    assert arm["pr_auc"]["mean"] == 1


# The stage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.build(folder)
    for product in range(0, shop.PRODUCTS, 4):
        (folder / "pictures" / f"L{product}.png").unlink()
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Artifact:
    asked = shop.match(label_shares=[1.0, 0.5], seeds=[0, 1])
    return shop.make(folder, folder / "cache", "match", match=asked, baselines={"trees": False})[0]


@pytest.fixture(scope="module")
def mined(folder: Path) -> Artifact:
    asked = shop.match(pairs=None, scratch=None, cross={"epochs": 1, "candidates": 4})
    return shop.make(folder, folder / "cache", "match", match=asked, baselines={"plain": False, "trees": False})[0]


def read(made: Artifact) -> tuple[dict[str, Any], pl.DataFrame]:
    table = pl.read_parquet(made.path("scores.parquet"))
    return json.loads(made.path("results.json").read_text()), table.filter(pl.col("part") == "test")


def test_from_the_feed_to_the_results(made: Artifact) -> None:
    results, test = read(made)
    counts = results["pairs"]
    kept = sum(counts[part]["pairs"] for part in ("train", "valid", "test"))
    assert kept + sum(d["count"] for d in counts["dropped"]) == 4 * shop.PRODUCTS
    assert [d["reason"] for d in counts["dropped"]] == ["crosses the split"]
    assert sum(counts[part]["positives"] for part in ("train", "valid", "test")) == shop.PRODUCTS
    arms = {(arm["arm"], arm["share"]): arm for arm in results["arms"]}
    networks = [(arm, share) for share in (1.0, 0.5) for arm in ("pretrained", "scratch")]
    plain = [(f"{name} baseline", share) for name in ("text", "picture", "both") for share in (1.0, 0.5)]
    assert [*arms] == [*networks, *plain] and {arms[name]["seeds"] for name in networks} == {2}
    assert test.height == counts["test"]["pairs"]
    assert test["both"].to_list() == [int(left[1:]) % 4 > 0 for left in test["left"]]  # each has a text
    for name in plain:
        told = test[f"{name[0]} {name[1]:g}"]
        assert arms[name]["by_seed"][0] == pytest.approx(average_precision_score(test["match"], told))
    readings = [(r["reading"], r["items"]) for r in results["readings"] if (r["arm"], r["share"]) == networks[0]]
    assert readings == [(reading, test["both"].sum()) for reading in ("both", "text", "picture")]
    columns = ["pretrained 1", "pretrained 1 text", "pretrained 1 picture"]
    assert all(test[column].is_between(0, 1).all() for column in columns)
    (clusters, *_) = results["clusters"]
    assert clusters["listings"] == test["left"].append(test["right"]).n_unique()
    assert clusters["products"] == clusters["listings"] // 2


def test_mined_pairs_and_the_cross_encoder_among_the_arms(mined: Artifact) -> None:
    results, test = read(mined)
    assert results["pairs"]["mined"]["by"] == "group" and results["pairs"]["dropped"] == []
    positives = {part: results["pairs"][part]["positives"] for part in ("train", "valid", "test")}
    assert sum(positives.values()) == shop.PRODUCTS
    wanted = {part: results["pairs"]["mined"][part]["wanted"] for part in positives}
    assert wanted == {part: 2 * count for part, count in positives.items()}
    assert [arm["arm"] for arm in results["arms"]] == ["pretrained", "cross"]
    assert [c["arm"] for c in results["clusters"]] == ["pretrained", "cross"]
    group = pl.col("left").str.slice(1) == pl.col("right").str.slice(1)
    assert (test.select(group)[:, 0] == (test["match"] == 1)).all()


def test_the_kept_network_is_the_one_that_was_scored(made: Artifact, mined: Artifact, folder: Path) -> None:
    files = {"model.safetensors", "model.json", "head.safetensors", "answers.json"}
    assert {n for n in made.files if "/" not in n} == files | {"results.json", "scores.parquet", "pairs_dropped.csv"}
    assert {f"cross/{name}" for name in files} < set(mined.files)
    assert not any("checkpoint" in name for name in [*made.files, *mined.files])
    test = read(mined)[1]
    ids = {name: row for row, name in enumerate(pl.read_parquet([*folder.glob("cache/ingest-*/items.parquet")])["id"])}
    rows = np.array([[ids[left], ids[right]] for left, right in test.select("left", "right").iter_rows()])
    listings = listings_of(folder, mined)
    tuned, told = load_tuned(mined.folder), read_answers(mined.folder)["match"]
    points_BD = points(tuned, listings.batch(np.arange(len(ids)))).detach()
    log_odds = tuned.heads["match"].scores(points_BD[rows[:, 0]], points_BD[rows[:, 1]]).detach().numpy()
    np.testing.assert_allclose(probability(told, log_odds), test["pretrained 1"], atol=1e-5)
    shown = table(told, log_odds)
    least = 0.5 if told["threshold"] is None else told["threshold"]
    assert shown["match"].to_list() == (shown["probability"] >= least).to_list()
    tuned, told = load_tuned(mined.folder / "cross"), read_answers(mined.folder / "cross")["cross"]
    log_odds = score_rows(tuned, listings, torch.device("cpu"), 7, rows).numpy()
    np.testing.assert_allclose(probability(told, log_odds), test["cross 1"], atol=1e-5)


def listings_of(folder: Path, made: Artifact) -> Listings:
    store = Store(folder / "cache")
    inputs = {name: store.find(name, key) for name, key in made.ingredients["inputs"].items()}
    runtime = Runtime(cache=folder / "cache", device="cpu", threads=1)
    return open_catalog(inputs, model_section(inputs["pretrain"]), runtime).listings


def test_pairs_of_one_kind_can_not_be_learnt_from(folder: Path, tmp_path: Path) -> None:
    (folder / "ones.csv").write_text("left,right,match\n" + "".join(f"L{p},R{p},1\n" for p in range(shop.PRODUCTS)))
    with pytest.raises(DataError, match=r"ones.csv: \d+ of the \d+ pairs of the train part match; expected both"):
        shop.make(folder, folder / "cache", "match", match=shop.match(pairs="ones.csv"))
