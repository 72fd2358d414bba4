"""Pairs mined from a catalog: matches within products, hard negatives never within a product or a component."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from workbench.errors import DataError, RecipeError
from workbench.recipe.schema import Mine
from workbench.tasks.match.mine import Facts, mine

TITLES = [  # group, title, part
    ("mug", "red mug of clay", "train"),
    ("mug", "clay mug red", "train"),
    ("mug", "a red mug", "train"),
    ("jug", "red jug of clay", "train"),
    ("jug", "a jug", "train"),
    ("sock", "wool sock", "train"),
    ("hat", "wool hat", "valid"),
    ("hat", "hat of wool", "valid"),
    ("cap", "wool cap", "valid"),
    ("tie", "silk tie", "test"),
    ("bow", "silk bow", "test"),
    ("tie", "tie of silk", None),
]


def facts(**more: object) -> Facts:
    groups, titles, parts = zip(*TITLES, strict=True)
    items = pl.DataFrame({"row": range(12), "id": range(12), "group": groups, "title": titles, "part": parts})
    items = items.with_columns(**{"code": pl.lit(None, pl.String)} | {k: pl.Series(v) for k, v in more.items()})
    component = items["group"].rank("dense").to_numpy().astype(np.int64)
    return Facts(items, component, np.zeros((12, 192), np.uint8))


def told(found: object) -> dict[str, list[tuple[int, int, bool]]]:
    rows = [(*pair, bool(m)) for pair, m in zip(found.rows.tolist(), found.match, strict=True)]
    return {
        part: [r for r, p in zip(rows, found.part, strict=True) if p == part] for part in ("train", "valid", "test")
    }


def test_matches_are_of_one_product_and_part_others_the_nearest() -> None:
    pairs, counts = mine(facts(), Mine(negatives=0.5))
    found = told(pairs)
    assert found["train"] == [(3, 4, True), (0, 1, True), (1, 2, True), (0, 2, True), (0, 3, False), (1, 3, False)]
    assert found["valid"][0] == (6, 7, True) and len(found["valid"]) == 1  # round(0.5) is 0
    assert found["test"] == []  # the tie's other listing is left out of the split
    assert counts["train"] == {"products": 2, "wanted": 2} and counts["left_out"] == 0 and counts["by"] == "group"


def test_a_product_gives_at_most_so_many_matches_each_listing_in_one_first() -> None:
    groups = ["mug"] * 11 + ["tie"]
    items = facts().items.with_columns(pl.Series("group", groups), part=pl.lit("train"))
    pairs, counts = mine(Facts(items, np.arange(12), facts().colours), Mine(most=10, negatives=0))
    assert len(pairs) == 10 and pairs.match.all() and counts["left_out"] == 45
    assert sorted(set(pairs.rows.ravel())) == list(range(11))
    again = mine(Facts(items, np.arange(12), facts().colours), Mine(most=10, negatives=0))[0]
    assert np.array_equal(pairs.rows, again.rows)


def test_kin_are_never_told_to_be_two_products() -> None:
    plain = facts()
    component = np.where(plain.items["group"] == "jug", plain.component[0], plain.component)  # kin of the mug
    found = told(mine(Facts(plain.items, component, plain.colours), Mine(negatives=3))[0])
    others = [pair for pair in found["train"] if not pair[2]]
    assert others == []  # the sock has no word in common with a mug or jug
    found = told(mine(plain, Mine(negatives=3))[0])["train"]
    groups = plain.items["group"]
    assert sum(not match for *_, match in found) > 2
    assert all((groups[a] == groups[b]) == match and a < b for a, b, match in found)


def test_pictures_find_what_words_do_not() -> None:
    plain, stream = facts(), np.random.default_rng(0)
    colours = np.zeros((12, 192), np.uint8)
    colours[5] = stream.integers(0, 256, 192)  # the sock looks like the second mug
    colours[1] = np.clip(colours[5].astype(int) + 3, 0, 255)
    colours[0] = 77  # flat: like nothing
    found = told(mine(Facts(plain.items, plain.component, colours), Mine(negatives=2))[0])["train"]
    assert (1, 5, False) in found and not any(pair[:2] == (0, 5) for pair in found)


def test_by_a_label_or_by_codes() -> None:
    labels = ["x", "x", None, None, "y", "y", *[None] * 6]
    found = told(mine(facts(**{"label.kind": labels}), Mine(by="kind", negatives=1))[0])
    assert [pair[:2] for pair in found["train"] if pair[2]] == [(0, 1), (4, 5)]
    assert {row for a, b, match in found["train"] for row in (a, b) if not match} <= {0, 1, 4, 5}
    codes = ["4006381333931", "4006381333931", *["1234567890123"] * 10]  # the second has a wrong check digit
    found = told(mine(facts(code=codes), Mine(by="code", negatives=0))[0])
    assert found == {"train": [(0, 1, True)], "valid": [], "test": []}


def test_what_can_not_be_mined_is_told() -> None:
    with pytest.raises(RecipeError, match=r"finetune.match.mine.by: found 'brand'; expected one of group, code"):
        mine(facts(), Mine(by="brand"))
    alone = facts().items.with_columns(group=pl.col("id").cast(pl.String))
    with pytest.raises(DataError, match=r"no two listings of the train part have the same group.*mine.by.*pairs"):
        mine(Facts(alone, np.arange(12), facts().colours), Mine())
    silent = facts().items.with_columns(title=pl.lit(None, pl.String))
    pairs, _ = mine(Facts(silent, facts().component, facts().colours), Mine())
    assert pairs.match.all()


class Folder:
    """As much of an artifact as is read."""

    def __init__(self, folder: Path, name: str, table: pl.DataFrame) -> None:
        self.folder = folder
        table.write_parquet(folder / name)

    def path(self, name: str) -> Path:
        return self.folder / name


def test_a_placeholder_looks_like_nothing_and_the_next_picture_counts(tmp_path: Path) -> None:
    looks = [bytes([n]) * 192 for n in range(1, 5)]
    index = pl.DataFrame(
        {"row": [0, 1, 1, 2, 3], "order": [0, 0, 1, 0, 0], "colours": [looks[0], looks[1], looks[2], looks[3], None]}
    )
    states = ["present", "placeholder", "present", "placeholder", "broken"]
    inputs = {
        "split": Folder(tmp_path, "split.parquet", pl.DataFrame({"component": [0, 1, 0, 3]})),
        "images": Folder(tmp_path, "index.parquet", index),
        "duplicates": Folder(
            tmp_path, "pictures.parquet", index.select("row", "order").with_columns(state=pl.Series(states))
        ),
    }
    found = Facts.of(pl.DataFrame({"row": range(4)}), inputs)
    assert found.colours[:, 0].tolist() == [1, 3, 0, 0] and found.component.tolist() == [0, 1, 0, 3]
