"""The baselines on a catalog made on the spot: what is equal, what is apart, what is left unseen."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from PIL import Image

from tests.tiny import Pictures
from workbench.recipe.schema import Baselines
from workbench.tasks.baselines import pairs
from workbench.tasks.baselines.features import BLOCKS, Features, describe
from workbench.tasks.baselines.linear import best, folds, judge_pairs, learn_classes
from workbench.tasks.baselines.rivals import Rival, rivals
from workbench.tasks.catalog import Catalog

THUMB, COLOURS, EDGES = BLOCKS
READINGS = {
    "text": {"both", "text"},
    "picture": {"both", "picture"},
    "both": {"both", "text", "picture"},
    "trees": {"both"},
}


def catalog(
    titles: Sequence[str | None],
    pixels: np.ndarray,
    parts: Sequence[str] | None = None,
    usable: Sequence[bool] | None = None,
    colours: Sequence[str | None] | None = None,
) -> Catalog:
    usable_N = np.array(usable or [True] * len(titles))
    items = pl.DataFrame(
        {
            "row": range(len(titles)),
            "group": [f"g{row // 2}" for row in range(len(titles))],
            "part": parts or ["train"] * len(titles),
            "title": titles,
            "text.colour": colours or [None if i % 2 else "deep blue" for i in range(len(titles))],
            "label.kind": ["leak"] * len(titles),
        },
        schema_overrides={"title": pl.String, "text.colour": pl.String},
    )
    shards = SimpleNamespace(
        usable=usable_N,
        image=lambda row: Image.fromarray(pixels[row].transpose(1, 2, 0)),
        bytes=lambda row: memoryview(pixels[row].tobytes()),
    )
    return Catalog(items, SimpleNamespace(pictures=Pictures(pixels, usable_N)), shards)  # type: ignore[arg-type]


def noise(count: int, side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side)).astype(np.uint8)


TITLES = ["red mug", "green tea pot", "red mug", "wool socks", "xyz"]


def test_equal_texts_have_a_cosine_of_one_and_texts_apart_of_zero() -> None:
    words = Features(catalog(TITLES, noise(5))).text
    assert np.asarray(words.multiply(words).sum(1)).ravel() == pytest.approx(np.ones(5))
    cosines = (words @ words.T).toarray()
    assert cosines[0, 2] == pytest.approx(1)
    assert cosines[3, 1] < cosines[0, 1]  # "wool socks" has no colour, so nothing but pieces of words in common
    assert cosines[0, 4] > 0.1  # both have a colour
    assert cosines[1, 3] < 0.1  # the label, which all share, is not read


def test_words_are_learnt_from_the_train_part_alone() -> None:
    parts = ["train", "train", "train", "train", "test"]
    one = Features(catalog([*TITLES[:4], "red qqq"], noise(5), parts)).text
    other = Features(catalog([*TITLES[:4], "red mug mug zzz"], noise(5), parts)).text
    assert one.shape == other.shape
    assert (one[:4] != other[:4]).nnz == 0
    assert (one[4] != other[4]).nnz > 0


def test_a_picture_is_its_thumbnail_around_its_mean_its_colours_and_its_edges() -> None:
    pixels = np.zeros((2, 3, 16, 16), np.uint8)
    pixels[0, 0, :, 8:] = 255  # right half red, left half black
    features = Features(catalog(["a", "b"], pixels)).pictures_of(np.arange(2))
    thumbnail = np.zeros((3, 8, 8))
    thumbnail[0, :, 4:] = 1
    thumbnail -= 32 / 192
    assert features[0, THUMB] == pytest.approx(thumbnail.ravel() / np.linalg.norm(thumbnail), abs=1e-6)
    histogram = np.zeros((4, 4, 4))
    histogram[0, 0, 0] = histogram[3, 0, 0] = np.sqrt(0.5)
    assert features[0, COLOURS] == pytest.approx(histogram.ravel(), abs=1e-6)
    edges = np.zeros((8, 8, 9))
    edges[:, 3:5, 0] = 1  # the light changes from left to right, in the middle columns alone
    assert features[0, EDGES] == pytest.approx(edges.ravel() / 4, abs=1e-6)
    assert features[1].tolist() == [0.0] * 192 + [1.0] + [0.0] * (63 + 576)  # one colour: no shape


def test_an_edge_between_two_directions_counts_for_both() -> None:
    y, x = np.indices((16, 16))
    slope = np.broadcast_to((8 * y + 3 * x).astype(np.uint8), (3, 16, 16))  # atan2(8, 3) = 69.4 degrees: 3.47 of 9
    edges = describe(slope)[EDGES].reshape(8, 8, 9)[2:6, 2:6].astype(np.float64) ** 2
    assert np.flatnonzero(edges.sum((0, 1))).tolist() == [3, 4]
    assert edges[..., 4].sum() / edges.sum() == pytest.approx(np.arctan2(8, 3) / np.pi * 9 - 3, abs=1e-5)


def test_every_row_has_its_own_picture_and_zeros_where_there_is_none() -> None:
    pixels, usable = noise(600, 8), [row % 7 > 0 for row in range(600)]
    features = Features(catalog(["a"] * 600, pixels, usable=usable)).pictures_of(np.arange(600))
    for row in range(600):
        expected = describe(pixels[row]) if usable[row] else np.zeros(832)
        assert np.array_equal(features[row], expected), row
    assert np.linalg.norm(features[1]) == pytest.approx(np.sqrt(3))


def test_what_two_listings_have_in_common() -> None:
    titles = ["red mug of 3", "red mug of 4", None, "tea"]
    made = Features(catalog(titles, noise(4), usable=[True, True, False, True], colours=["x", None, None, None]))
    rows = np.array([[0, 1], [0, 2], [1, 1], [1, 3]])
    text, picture = pairs.of_text(made, rows), pairs.of_picture(made, rows)
    assert text[:, 4:].tolist() == [  # of texts and of titles: of all words, of the shorter one's; both have a text
        [3 / 6, 3 / 4, 3 / 5, 3 / 4, 1],
        [0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1],
    ]
    assert text[2, :4] == pytest.approx(np.ones(4)) and not text[1, :4].any()
    assert picture[2] == pytest.approx(np.ones(4)) and not picture[1].any()
    assert picture[0, 1] == pytest.approx(np.prod(made.pictures_of(np.arange(2))[:, COLOURS], axis=0).sum())
    assert np.array_equal(pairs.of_text(made, rows[:, ::-1]), text)
    assert (pairs.apart(made.text, rows) != pairs.apart(made.text, rows[:, ::-1])).nnz == 0


def test_classes_that_no_label_has_or_that_all_have() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    one = learn_classes(x, np.full(20, 1), 3, 1.0)(x)
    assert one[:, 1] == pytest.approx(np.ones(20), abs=1e-5) and one.sum(1) == pytest.approx(np.ones(20))
    two = learn_classes(x, np.where(x[:, 0] > 0, 0, 2), 3, 30.0)(x)
    assert (two.argmax(1) == np.where(x[:, 0] > 0, 0, 2)).all() and (two[:, 1] < 1e-5).all()
    several = learn_classes(x, np.stack([x[:, 0] > 0, x[:, 0] < 9, x[:, 0] > 9], 1), 3, 30.0)(x)
    assert ((several[:, 0] > 0.5) == (x[:, 0] > 0)).all()
    assert (several[:, 1] == 1).all() and (several[:, 2] == 0).all()


def test_choices_are_made_on_products_that_were_held_out() -> None:
    groups = np.array([f"g{row // 3}" for row in range(90)])
    for fold in folds(groups):
        assert not set(groups[fold.learnt]) & set(groups[fold.judged])
    assert sorted(np.concatenate([fold.judged for fold in folds(groups)])) == list(range(90))
    many = np.array([f"g{row // 2}" for row in range(40_000)])
    assert sum(len(fold.judged) for fold in folds(many)) == pytest.approx(3000, abs=10)
    assert folds(groups[:6]) == [] and judge_pairs(np.ones(6, bool), groups[:6], lambda _: np.zeros(0)) == 0
    assert best(["first", "second", "third"], {"first": 0.5, "second": 0.7, "third": 0.7}.__getitem__) == "second"


@pytest.fixture(scope="module")
def shop() -> tuple[Catalog, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """60 products with two listings each; pairs of the same product and of neighbours."""
    stream = np.random.default_rng(3)
    titles = [f"product{p} kind{p % 5} {side}" for p in range(60) for side in ("left", "right")]
    pixels = np.repeat(noise(60, 16, 1), 2, 0).astype(np.int64) + stream.integers(-90, 90, (120, 3, 16, 16))
    parts = ["train"] * 80 + ["test"] * 40
    made = catalog(titles, pixels.clip(0, 255).astype(np.uint8), parts, [row % 11 > 0 for row in range(120)])
    same = np.array([[2 * p, 2 * p + 1] for p in range(60)])
    apart = np.array([[2 * p, (2 * p + 3) % 120] for p in range(60)])
    of_part = {"train": np.vstack([same[:39], apart[:39]]), "test": np.vstack([same[40:59], apart[40:59]])}
    return made, of_part, {"train": np.arange(78) < 39, "test": np.arange(38) < 19}


def by_name(made: Catalog) -> dict[str, Rival]:
    return {rival.name: rival for rival in rivals(made, Baselines())}


def test_matches_are_told_by_each_and_the_same_every_time_and_both_ways_round(shop) -> None:
    made, of_part, match = shop
    again = by_name(made)
    held_out = {"test": of_part["test"], "valid": np.zeros((0, 2), np.int64)}
    turned = {"test": of_part["test"][:, ::-1]}
    assert list(again) == list(READINGS)
    for name, rival in by_name(made).items():
        scores = rival.match(of_part["train"], match["train"], held_out)
        assert set(scores) == {f"{p}.{r}".removesuffix(".both") for p in held_out for r in READINGS[name]}
        assert scores["valid"].shape == (0,)
        assert ((scores["test"] >= 0) & (scores["test"] <= 1)).all()
        if name != "trees":  # which learn that products which match have a word in common, and here know none of them
            assert scores["test"][match["test"]].mean() > scores["test"][~match["test"]].mean() + 0.3
        alone = again[name].match(of_part["train"], match["train"], turned)
        assert alone["test"] == pytest.approx(scores["test"], abs=1e-9)


def test_with_a_modality_removed_both_is_what_was_learnt_from_the_other(shop) -> None:
    made, of_part, match = shop
    known = by_name(made)
    scores = {
        name: known[name].match(of_part["train"], match["train"], of_part) for name in ("text", "picture", "both")
    }
    assert np.array_equal(scores["both"]["test.text"], scores["text"]["test.text"])
    assert np.array_equal(scores["both"]["test.picture"], scores["picture"]["test.picture"])
    assert not np.array_equal(scores["both"]["test"], scores["text"]["test"])


def test_classes_are_guessed_from_the_words_or_the_picture_that_tell_them(shop) -> None:
    made, _, _ = shop
    rows = np.arange(120)
    train, test, by_word = rows[:80], rows[80:], rows // 2 % 5
    for name, rival in by_name(made).items():
        found = rival.classify(train, by_word[:80], 6, test)
        assert set(found) == READINGS[name]
        for probabilities in found.values():
            assert probabilities.shape == (40, 6) and (probabilities >= 0).all()
            assert probabilities.sum(1) == pytest.approx(np.ones(40))
        right = (found["both"].argmax(1) == by_word[80:]).mean()
        assert right < 0.5 if name == "picture" else right > (0.95 if name != "trees" else 0.5), name


def test_several_classes_of_a_listing_stand_each_for_itself(shop) -> None:
    made, _, _ = shop
    rows = np.arange(120)
    holds = np.stack([rows // 2 % 5 == 1, rows // 2 % 5 > 0, rows < 0], 1)
    for name, rival in by_name(made).items():
        found = rival.classify(rows[:80], holds[:80], 3, rows[80:])["both"]
        assert ((found >= 0) & (found <= 1)).all() and (found[:, 2] < 1e-3).all()
        if name != "picture":
            assert ((found > 0.5) == holds[80:]).mean() > (0.9 if name != "trees" else 0.75)


def test_points_are_of_length_one_and_what_is_asked_lies_near_its_product(shop) -> None:
    made, _, _ = shop
    rows = np.flatnonzero(made.shards.usable)[:70]  # of the train part, whose words are known
    for name, rival in by_name(made).items():
        for reading in ("both", "text", "picture"):
            points = rival.points(rows, reading)
            if reading not in READINGS[name] or name == "trees":
                assert points is None
                continue
            points = sp.csr_matrix(points)
            lengths = np.asarray(points.multiply(points).sum(1)).ravel()
            assert lengths == pytest.approx(np.ones(len(rows)), abs=1e-5)
            near = (points @ sp.csr_matrix(rival.points(rows, "both")).T).toarray()
            near[rows[:, None] == rows] = -1
            other = (rows ^ 1)[:, None] == rows
            asked = other.any(1)
            assert (near.argmax(1) == other.argmax(1))[asked].mean() > 0.7, (name, reading)


def test_listings_with_neither_text_nor_picture_stay_finite() -> None:
    titles = [None if row % 4 == 3 else "  " if row % 4 == 2 else f"thing {row % 2}" for row in range(24)]
    usable, rows = [row % 3 > 0 for row in range(24)], np.arange(24)
    made = catalog(titles, noise(24, 8), usable=usable, colours=[None] * 24)
    rows_n2, match = np.stack([rows, rows[::-1]], 1), rows % 3 == 0
    for rival in rivals(made, Baselines()):
        for found in rival.classify(rows, rows % 2, 2, rows), rival.match(rows_n2, match, {"test": rows_n2}):
            assert all(np.isfinite(numbers).all() for numbers in found.values())
        if (points := rival.points(rows, "both")) is not None:
            assert np.isfinite(sp.csr_matrix(points).toarray()).all()


@pytest.mark.parametrize("titles", [[None] * 8, ["red mug"] * 8], ids=["no texts", "one text"])
def test_a_catalog_without_words_or_pictures_to_learn_from(titles) -> None:
    made = catalog(titles, noise(8, 8), usable=[False] * 8, colours=[None] * 8)
    rows = np.arange(8)
    for rival in rivals(made, Baselines()):
        found = rival.classify(rows, rows % 2, 2, rows)["both"]
        assert found == pytest.approx(np.full((8, 2), 0.5), abs=1e-3)


def test_only_what_the_recipe_wants_is_there(shop) -> None:
    assert [r.name for r in rivals(shop[0], Baselines(plain=False))] == ["trees"]
    assert [r.name for r in rivals(shop[0], Baselines(trees=False))] == ["text", "picture", "both"]
