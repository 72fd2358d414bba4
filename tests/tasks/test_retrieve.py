"""Retrieval: what belongs together, a contrastive loss that equals its slow twin, and ranks nobody is favoured by."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import logsumexp

from tests.tasks import shop
from tests.tiny import batch, network, scatter
from workbench.artifacts.store import Artifact
from workbench.batches.order import Order
from workbench.errors import DataError, RecipeError
from workbench.recipe.schema import ModalityDropout, Retrieve
from workbench.tasks.pooling import PIXELS, WORDS
from workbench.tasks.retrieve import asked
from workbench.tasks.retrieve.answer import table
from workbench.tasks.retrieve.asked import MEASURES, Gallery, named
from workbench.tasks.retrieve.belonging import Belonging, read_belonging
from workbench.tasks.retrieve.crowds import CROWD, Crowds
from workbench.tasks.retrieve.net import ContrastiveLoss, QueryBatch, RetrieveHead
from workbench.tasks.retrieve.tuning import RetrieveTuning, drawn
from workbench.tasks.tuned import Tuned, load_tuned, width_of

# What belongs together

ITEMS = pl.DataFrame(
    {
        "row": [0, 1, 2, 3, 4, 5],
        "id": list("abcdef"),
        "group": ["g", "g", "h", "g", "k", "h"],
        "code": [None] * 6,
        "feed": [0, 0, 0, 1, 1, 1],
        "label.kind": ["mug", None, "mug", "mug", "lamp", "lamp"],
        "part": ["test"] * 6,
    },
    schema_overrides={"code": pl.String},
)
ROWS = np.arange(6)


def answers_of(retrieve: Retrieve) -> dict[str, str]:
    belonging = read_belonging(ITEMS, retrieve)[0]
    found = belonging.answers(ROWS, ROWS)
    assert (found.any(1) == np.isin(ROWS, belonging.answerable(ROWS))).all() or retrieve.by == "kind"
    return {"abcdef"[q]: "".join("abcdef"[a] for a in np.flatnonzero(found[q])) for q in belonging.answerable(ROWS)}


def test_listings_of_one_group_belong_together_but_none_to_itself() -> None:
    assert answers_of(Retrieve()) == {"a": "bd", "b": "ad", "c": "f", "d": "ab", "f": "c"}


def test_across_feeds_or_a_label_others_alone_answer() -> None:
    assert answers_of(Retrieve(across="feed")) == {"a": "d", "b": "d", "c": "f", "d": "ab", "f": "c"}
    assert answers_of(Retrieve(across="kind")) == {"c": "f", "f": "c"}  # of b no kind is known


def test_listings_without_the_label_are_neither_asked_nor_found() -> None:
    assert answers_of(Retrieve(by="kind")) == {"a": "cd", "c": "ad", "d": "ac", "e": "f", "f": "e"}
    gallery = Gallery.of(read_belonging(ITEMS, Retrieve(by="kind"))[0], ROWS)
    assert gallery.rows.tolist() == [0, 2, 3, 4, 5]


def test_matches_of_a_file_belong_together_by_way_of_others(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("left,right,match\na,b,1\nb,c,1\nd,e,0\nd,zzz,1\n")
    belonging, dropped = read_belonging(ITEMS, Retrieve(pairs=tmp_path / "pairs.csv"))
    assert belonging.known(ROWS).tolist() == belonging.answerable(ROWS).tolist() == [0, 1, 2]
    assert belonging.answers(np.array([0]), ROWS)[0].tolist() == [False, True, True, False, False, False]
    assert dropped is not None and dropped["reason"].to_list() == ["unknown id"]


def test_unknown_words_are_told() -> None:
    with pytest.raises(RecipeError, match=r"finetune.retrieve.by: found 'x'; expected one of group, code, kind"):
        read_belonging(ITEMS, Retrieve(by="x"))
    with pytest.raises(
        DataError, match=r"finetune.retrieve.across: no feed has a label 'x'; expected one of feed, kind"
    ):
        read_belonging(ITEMS, Retrieve(across="x"))


# The loss


@pytest.fixture
def model() -> Tuned:
    whole = network()
    model = Tuned(whole, {"retrieve": RetrieveHead(width_of(whole), temperature=0.2)}).eval()
    scatter(model)
    return model


def query_batch(products: list[int], sides: list[list[int]]) -> QueryBatch:
    n = len(products)
    queries, answers = batch([3, 1, 5, 2, 4][:n], seed=1), batch([2, 6, 1, 3, 2][:n], seed=2)
    return QueryBatch(queries, answers, torch.tensor(products), torch.tensor(sides))


def test_the_loss_equals_its_slow_twin(model: Tuned) -> None:
    """Queries 0 and 1 are one product: both answers are right for both; 3's own listing answers 4, of its product."""
    made = query_batch([5, 5, 6, 7, 7], [[0, 1, 2, 3, 4], [10, 11, 12, 13, 3]])
    loss, head = ContrastiveLoss(model), model.heads["retrieve"]
    points = [head(model.pooled(side)).detach().double() for side in (made.queries, made.answers)]
    scores = (points[0] @ points[1].T * head.scale.exp()).detach().numpy()
    right = [{0: [0, 1], 1: [0, 1], 2: [2], 3: [3], 4: [3, 4]}, {0: [0, 1], 1: [0, 1], 2: [2], 3: [3, 4], 4: [4]}]
    alike = {0: [0, 1], 1: [0, 1], 2: [2], 3: [3, 4], 4: [3, 4]}
    total = 0.0
    for table_, answers in zip((scores, scores.T), right, strict=True):
        for row, good in answers.items():
            wrong = [table_[row, j] for j in range(5) if j not in alike[row]]
            total += np.mean([logsumexp([table_[row, j], *wrong]) - table_[row, j] for j in good])
    assert loss.sums(made)["contrast"].item() == pytest.approx(total, rel=1e-4)
    assert loss.counts(made) == {"contrast": 10} and len(made) == 5
    torch.testing.assert_close(points[0].norm(dim=1), torch.ones(5).double())


def test_several_right_answers_are_not_held_against_each_other() -> None:
    from workbench.tasks.retrieve.net import _contrast

    scores = torch.tensor([[1.0, 3.0, 0.5]], requires_grad=True)
    _contrast(scores, torch.tensor([[True, True, False]]), torch.tensor([[False, False, True]])).backward()
    assert scores.grad is not None and (scores.grad[0, :2] < 0).all() and scores.grad[0, 2] > 0


def test_a_batch_of_one_product_is_no_nan(model: Tuned) -> None:
    made = query_batch([5, 5], [[0, 1], [1, 0]])
    total = ContrastiveLoss(model).sums(made)["contrast"]
    total.backward()
    assert total.item() == pytest.approx(0, abs=1e-6)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_listing_without_a_picture_has_a_point_of_length_1_and_its_other_spheres_have_the_weight(
    model: Tuned,
) -> None:
    made = batch([3, 1])
    blind = replace(made, has_image_B=torch.tensor([False, True]))
    points = model.heads["retrieve"](model.pooled(blind))
    torch.testing.assert_close(points.norm(dim=1), torch.ones(2))
    whole, text, picture = points.unflatten(1, (3, -1)).norm(dim=2).T
    assert picture[0] == 0 < picture[1] and whole[0] > whole[1] and text[0] > text[1]
    fresh = RetrieveHead(width_of(model.network))
    fresh(model.pooled(blind)).sum().backward()
    assert all(p.grad.norm() < 100 for p in fresh.parameters() if p.grad is not None)


# Ranks


def across(count: int) -> Belonging:
    """`count` products, each listed by two sellers: rows 0 … count - 1, and the same again."""
    return Belonging(np.tile(np.arange(count) + 1, 2), np.repeat([1, 2], count))


def test_a_constant_embedding_over_a_thousand_products_finds_one_in_a_thousand() -> None:
    gallery = Gallery.of(across(1000), np.arange(2000))
    measures, found = gallery.ask(np.ones((2000, 3)) / 3**0.5, np.ones((2000, 3)) / 3**0.5)
    assert named(measures)["r_at_1"].mean() == pytest.approx(0.001, rel=1e-9)
    assert named(measures)["r_at_10"].mean() == pytest.approx(0.01, rel=1e-9)
    assert found[0].tolist() == [1000, 1001, 1002, 1003, 1004]  # of the other seller alone


def test_ranks_equal_those_of_a_slow_twin_dense_or_sparse_whole_or_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.sparse as sp

    stream = np.random.default_rng(0)
    belonging = Belonging(stream.integers(0, 7, 60), np.arange(60))
    gallery = Gallery.of(belonging, np.arange(10, 60))
    points = stream.normal(size=(60, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    queries, whole = points[gallery.queries], points[gallery.rows]
    measures, found = gallery.ask(queries, whole)
    for nth, query in enumerate(gallery.queries):
        others = [row for row in gallery.rows if row != query]
        ranked = sorted(others, key=lambda row: -points[query] @ points[row])
        right = [belonging.product_N[row] == belonging.product_N[query] for row in ranked]
        assert named(measures)["mrr"][nth] == pytest.approx(1 / (1 + right.index(True)))
        assert named(measures)["r_at_5"][nth] == float(any(right[:5]))
        assert found[nth].tolist() == ranked[: asked.SHOWN]
    monkeypatch.setattr(asked, "_AT_ONCE", 100)
    again = gallery.ask(sp.csr_matrix(queries), sp.csr_matrix(whole))
    assert np.array_equal(again[0], measures) and np.array_equal(again[1], found)


def test_of_many_queries_some_are_asked_and_all_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "QUERIES", 10)
    gallery = Gallery.of(across(30), np.arange(60))
    assert len(gallery.queries) == 10 and len(gallery.rows) == 60 and (np.diff(gallery.queries) > 0).all()


# Batches


@pytest.mark.parametrize(
    "queries, text, image",
    [
        (("text",), 0, 1),
        (("picture",), 1, 0),
        (("both",), 0, 0),
        (("text", "both"), 0, 1 / 2),
        (("text", "picture"), 1 / 2, 1 / 2),
    ],
)
def test_queries_are_read_as_the_recipe_asks(queries, text, image) -> None:
    assert drawn(queries) == ModalityDropout(text=text, image=image)


def test_answers_belong_to_their_queries_and_are_drawn_again_alike() -> None:
    belonging = read_belonging(ITEMS, Retrieve())[0]
    rows = belonging.answerable(ROWS)
    tuning = RetrieveTuning(Retrieve(), belonging, rows, rows.astype(str), {})
    clocks = [np.full(len(rows), epoch) for epoch in range(20)]
    found = [tuning._answers(rows, clock, 3) for clock in clocks]
    for answers in found:
        assert belonging.answers(rows, answers).diagonal().all()
    assert all(np.array_equal(tuning._answers(rows, clock, 3), one) for clock, one in zip(clocks, found, strict=True))
    assert {one[0] for one in found} == {1, 3}  # each answer of the first listing has its turn


def test_crowds_are_alike_and_a_function_of_the_step() -> None:
    near = (np.arange(40)[:, None] // 5 * 5 + np.arange(5)) % 40  # fives that are alike
    near = np.array([[other for other in row if other != place] for place, row in enumerate(near)])
    near[:5, 2:] = -1  # some have few
    half = np.arange(0, 40, 2)
    orders = [Order(len(half), 8, 3, seed=1, frequencies=Crowds.among(half, near)) for _ in range(2)]
    steps = range(orders[0].steps)
    batches = [half[orders[0].at(step)[1]] for step in steps]
    for step, rows in reversed(list(zip(steps, batches, strict=True))):
        assert np.array_equal(half[orders[1].at(step)[1]], rows)  # whatever was asked before
        assert len(set(rows.tolist())) == len(rows) and (orders[1].clock(step) == orders[1].at(step)[0]).all()
        assert set(rows.tolist()) <= set(half.tolist())
    assert [len(rows) for rows in batches] == [8, 8, 4] * 3
    kin = np.mean([(rows[:, None] // 5 == rows // 5).sum(1).mean() for rows in batches if len(rows) == 8])
    assert kin > 2 and CROWD == 4  # a random batch has 1.9 of a kind, itself counted


# The stage

PLAIN = {"plain": False, "trees": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.build(folder)
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Artifact:
    how = {"pretrained": shop.ARM, "scratch": shop.ARM, "negatives": "mined", "across": "seller"}
    return shop.make(folder, folder / "cache", "retrieve", retrieve=how, baselines={"plain": True, "trees": False})[0]


def test_from_the_feed_to_the_results(made: Artifact) -> None:
    results = json.loads(made.path("results.json").read_text())
    assert (
        results["measure"] == "mrr"
        and results["asked_with"] == "both"
        and results["kinds"] == ["text", "picture", "both"]
    )
    assert (
        results["queries"]["test"]
        == results["gallery"]["test"]
        == len(pl.read_parquet(made.path("queries.parquet"))) / 3
    )
    arms = {arm["arm"]: arm for arm in results["arms"]}
    assert list(arms)[:2] == ["pretrained", "scratch"] and "text baseline" in arms
    assert all(set(MEASURES) <= set(arm) for arm in arms.values())
    kinds = [r["reading"] for r in results["readings"] if r["arm"] == "pretrained"]
    assert kinds == ["text", "picture", "both"]
    queries = pl.read_parquet(made.path("queries.parquet")).filter(pl.col("kind") == "both")
    assert arms["pretrained"]["mrr"]["mean"] == pytest.approx(queries["pretrained 1"].mean())
    for shown in results["worst"] + results["best"]:
        assert shown["reciprocal_rank"] == pytest.approx(
            queries.filter(pl.col("row") == shown["query"]["row"])["pretrained 1"][0]
        )
        assert {answer["row"] for answer in shown["found"] if answer["right"]} <= {
            answer["row"] for answer in shown["answers"]
        }
    assert json.loads(made.path("answers.json").read_text())["retrieve"]["across"] == "seller"


def test_the_kept_network_gives_points(made: Artifact) -> None:
    tuned = load_tuned(made.folder)
    pooled = torch.randn(3, 3 * width_of(tuned.network) + WORDS + PIXELS)
    found = table({}, tuned.heads["retrieve"](pooled).detach().numpy())
    assert np.linalg.norm(found["point"].to_numpy(), axis=1) == pytest.approx([1, 1, 1], abs=1e-6)


def test_all_queries_of_a_batch_are_read_in_one_way_and_each_way_has_its_turn(folder: Path, made: Artifact) -> None:
    catalog = shop.opened(folder)
    belonging = read_belonging(catalog.items, Retrieve())[0]
    rows = belonging.answerable(catalog.rows("train"))
    tuning = RetrieveTuning(Retrieve(), belonging, rows, rows.astype(str), {})
    chosen, kinds = np.arange(16), set()
    for epoch in range(12):
        first, again = (tuning.start(catalog.listings, chosen, np.full(16, epoch), 0)() for _ in range(2))
        assert torch.equal(first.queries.tokens_BL, again.queries.tokens_BL)
        (text,), (image,) = (has.unique().tolist() for has in (first.queries.has_text_B, first.queries.has_image_B))
        kinds.add((text, image))
        assert (first.queries.rows_B != first.answers.rows_B).all() and len(first) == 16
    assert kinds == {(True, False), (False, True), (True, True)}


def test_nothing_that_belongs_together_is_told(folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"finetune.retrieve: 0 of the \d+ listings of the train part belong to another"
    ):
        shop.make(folder, folder / "cache", "retrieve", retrieve={"across": "feed"})
