"""The baselines on a catalog made on the spot: what is equal, what is apart, what is left unseen."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.tiny import Pictures
from workbench.tasks.baselines import BOTH, PICTURE, TEXT, classify_rows, picture_features, score_pairs, text_features
from workbench.tasks.baselines import features as baselines
from workbench.tasks.catalog import Catalog


def catalog(
    titles: Sequence[str], pixels: np.ndarray, parts: Sequence[str] | None = None, usable: Sequence[bool] | None = None
) -> Catalog:
    usable_N = np.array(usable or [True] * len(titles))
    items = pl.DataFrame(
        {
            "row": range(len(titles)),
            "part": parts or ["train"] * len(titles),
            "title": titles,
            "text.colour": [None if i % 2 else "deep blue" for i in range(len(titles))],
            "label.kind": ["leak"] * len(titles),
        }
    )
    pictures = SimpleNamespace(pictures=Pictures(pixels, usable_N))
    return Catalog(items, pictures, SimpleNamespace(usable=usable_N))  # type: ignore[arg-type]


def noise(count: int, side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side)).astype(np.uint8)


TITLES = ["red mug", "green tea pot", "red mug", "wool socks", "xyz"]


def test_equal_texts_have_a_cosine_of_one_and_texts_apart_of_zero() -> None:
    words = text_features(catalog(TITLES, noise(5)))
    assert np.asarray(words.multiply(words).sum(1)).ravel() == pytest.approx(np.ones(5))
    cosines = (words @ words.T).toarray()
    assert cosines[0, 2] == pytest.approx(1)
    assert cosines[3, 1] < cosines[0, 1]  # "wool socks" has no colour, so nothing but pieces of words in common
    assert cosines[0, 4] > 0.1  # both have a colour
    assert cosines[1, 3] < 0.1  # the label, which all share, is not read


def test_words_are_learnt_from_the_train_part_alone() -> None:
    parts = ["train", "train", "train", "train", "test"]
    one = text_features(catalog([*TITLES[:4], "red qqq"], noise(5), parts))
    other = text_features(catalog([*TITLES[:4], "red mug mug zzz"], noise(5), parts))
    assert one.shape == other.shape
    assert (one[:4] != other[:4]).nnz == 0
    assert (one[4] != other[4]).nnz > 0


def test_a_picture_is_its_thumbnail_around_its_mean_and_its_colours() -> None:
    pixels = np.zeros((2, 3, 16, 16), np.uint8)
    pixels[0, 0, :, 8:] = 255  # right half red, left half black
    features = picture_features(catalog(["a", "b"], pixels))
    thumbnail = np.zeros((3, 8, 8))
    thumbnail[0, :, 4:] = 1
    thumbnail -= 32 / 192
    assert features[0, :192] == pytest.approx(thumbnail.ravel() / np.linalg.norm(thumbnail), abs=1e-6)
    histogram = np.zeros((4, 4, 4))
    histogram[0, 0, 0] = histogram[3, 0, 0] = np.sqrt(0.5)
    assert features[0, 192:] == pytest.approx(histogram.ravel(), abs=1e-6)
    assert features[1].tolist() == [0.0] * 192 + [1.0] + [0.0] * 63  # one colour: no shape


def test_every_row_has_its_own_picture_and_zeros_where_there_is_none() -> None:
    pixels, usable = noise(600, 8), [row % 7 > 0 for row in range(600)]
    features = picture_features(catalog(["a"] * 600, pixels, usable=usable))
    for row in range(600):
        expected = baselines._describe(pixels[row]) if usable[row] else np.zeros(256)
        assert np.array_equal(features[row], expected), row
    assert np.linalg.norm(features[1]) == pytest.approx(np.sqrt(2))


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
    pairs = {"train": np.vstack([same[:39], apart[:39]]), "test": np.vstack([same[40:59], apart[40:59]])}
    return made, pairs, {"train": np.arange(78) < 39, "test": np.arange(38) < 19}


def test_scores_of_pairs_are_cosines_and_a_regression_learnt_on_the_training_pairs(shop) -> None:
    made, pairs, match = shop
    scores = score_pairs(made, pairs, match)
    assert tuple(scores) == tuple(baselines.names()) == (TEXT, PICTURE, BOTH)
    words, pictures = text_features(made).toarray(), picture_features(made)
    cosines = {}
    for part, rows in pairs.items():
        text = [words[left] @ words[right] for left, right in rows]
        picture = [pictures[left] @ pictures[right] / 2 for left, right in rows]
        assert scores[TEXT][part] == pytest.approx(np.array(text))
        assert scores[PICTURE][part] == pytest.approx(np.array(picture), abs=1e-6)
        cosines[part] = np.array([text, picture]).T
    both = make_pipeline(StandardScaler(), LogisticRegression()).fit(cosines["train"], match["train"])
    assert scores[BOTH]["test"] == pytest.approx(both.decision_function(cosines["test"]), abs=1e-4)
    assert scores[BOTH]["test"][match["test"]].mean() > scores[BOTH]["test"][~match["test"]].mean()


def test_the_score_of_a_pair_is_symmetric_and_the_same_every_time(shop) -> None:
    made, pairs, match = shop
    first = score_pairs(made, pairs, match)
    turned = score_pairs(made, {part: rows[:, ::-1] for part, rows in pairs.items()}, match)
    again = score_pairs(made, pairs, match)
    for name in baselines.names():
        assert np.array_equal(first[name]["test"], again[name]["test"])
        assert first[name]["test"] == pytest.approx(turned[name]["test"], abs=1e-9)


def test_the_labels_of_the_test_pairs_are_never_seen(shop) -> None:
    made, pairs, match = shop
    blind = score_pairs(made, pairs, {"train": match["train"]})
    assert np.array_equal(blind[BOTH]["test"], score_pairs(made, pairs, match)[BOTH]["test"])


def test_classes_are_guessed_from_the_words_or_the_picture_that_tell_them(shop) -> None:
    made, _, _ = shop
    rows = np.arange(120)
    train, test, by_word = rows[:80], rows[80:], rows // 2 % 5
    guess = classify_rows(made, train, by_word, test)
    assert tuple(guess) == (TEXT, PICTURE, BOTH)
    assert (guess[TEXT] == by_word[80:]).all()
    assert (guess[PICTURE] == by_word[80:]).mean() < 0.5

    dark = made.listings.pictures.pixels_NCHW.copy()
    dark[rows % 3 == 0] //= 4
    by_light = (rows % 3 == 0).astype(np.int64)
    darkened = catalog(["same"] * 120, dark, ["train"] * 80 + ["test"] * 40)
    guess = classify_rows(darkened, train, by_light, test)
    assert (guess[PICTURE] == by_light[80:]).all() and (guess[BOTH] == by_light[80:]).all()
    assert (guess[TEXT] == by_light[80:]).mean() < 0.8
