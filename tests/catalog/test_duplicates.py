"""Near-duplicates of texts and pictures, placeholders, clusters: small catalogs in which all is known."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from rich.console import Console

from workbench.artifacts.executor import Threads
from workbench.artifacts.key import canonical, key_of
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact, Store
from workbench.catalog.codes import valid_codes
from workbench.catalog.duplicates import looks
from workbench.catalog.duplicates.brute import _alike_in_words, brute, confirmed
from workbench.catalog.duplicates.clusters import cluster, components
from workbench.catalog.duplicates.find import described
from workbench.catalog.duplicates.looks import near_pictures
from workbench.catalog.duplicates.pictures import usual
from workbench.catalog.duplicates.stage import stage
from workbench.catalog.duplicates.texts import Texts, _words
from workbench.images.phash import Look, look
from workbench.recipe.schema import Duplicates, Runtime


def photo(seed: int, side: int = 120) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def seen(picture: Image.Image) -> Look:
    return look(picture.convert("RGB"))


def cut(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = picture.size
    return picture.crop(
        (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    )


Line = Mapping[str, Any]


def run(
    root: Path, lines: list[Line], section: Duplicates | None = None, name: str = "out", earlier: Any = None
) -> tuple[Any, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The artifact, pairs by id, clusters and picture states of a catalog: id, title, group, code, picture."""
    store = Store(root)
    rows = range(len(lines))
    items = pl.DataFrame(
        {
            "row": rows,
            "id": [line["id"] for line in lines],
            "group": [line.get("group", line["id"]) for line in lines],
            "code": [line.get("code") for line in lines],
            "title": [line.get("title") for line in lines],
            "label.brand": [line.get("brand") for line in lines],
        },
        {"row": pl.UInt32, "id": pl.String, "group": pl.String, "code": pl.String, "title": pl.String}
        | {"label.brand": pl.String},
    )
    pictures = [line.get("picture") for line in lines]
    index = pl.DataFrame(
        {
            "row": rows,
            "order": [0] * len(lines),
            "state": ["present" if p else "absent" for p in pictures],
            "reason": [None if p else "no picture is named" for p in pictures],
            "sha256": [sha256(p.tobytes()).hexdigest() if p else None for p in pictures],
            "thumb": [seen(p).thumb if p else None for p in pictures],
            "colours": [seen(p).colours if p else None for p in pictures],
        },
        {"row": pl.UInt32, "order": pl.UInt32, "state": pl.String, "reason": pl.String, "sha256": pl.String}
        | {"thumb": pl.Binary, "colours": pl.Binary},
    )
    inputs = {}
    for made, file, table in (("ingest", "items.parquet", items), ("images", "index.parquet", index)):
        with store.making(made, name) as folder:
            table.write_parquet(folder / file)
        (root / f"{made}-{name}.partial").rename(root / f"{made}-{name}")
        size = (root / f"{made}-{name}" / file).stat().st_size
        inputs[made] = Artifact(root / f"{made}-{name}", made, name, {}, {}, {file: {"bytes": size}})
    made_stage = stage(section or Duplicates())
    canonical(made_stage.section)
    ingredients = {"stage": "duplicates", "of": name}
    with store.making("duplicates", key_of(ingredients)) as folder:
        summary = made_stage.run(Work(folder, inputs, Runtime(), Console(quiet=True), root / "log", earlier))
        artifact = store.commit("duplicates", ingredients, summary)
    ids = items["id"]
    pairs = pl.read_parquet(artifact.path("pairs.parquet"))
    pairs = pairs.with_columns(ids.gather(pairs["left"]).alias("left"), ids.gather(pairs["right"]).alias("right"))
    tables = (pl.read_parquet(artifact.path(f"{n}.parquet")) for n in ("clusters", "pictures"))
    return artifact, pairs, *tables


NOISE = [
    {"id": f"n{i}", "title": f"{a}{b} {b}{c} {c}{a} item"}
    for i, (a, b, c) in enumerate(
        (a, b, c) for a in ("ka", "lo", "mi", "ru") for b in ("te", "so", "va", "pu") for c in ("dan", "fer", "gol")
    )
]


def kinds(pairs: pl.DataFrame) -> dict[tuple[str, str], str]:
    return {(left, right): kind for left, right, kind in pairs.select("left", "right", "kind").iter_rows()}


def test_alike_in_text_and_picture_keeps_the_fuller_one(tmp_path: Path) -> None:
    mug = photo(1)
    lines = [
        {"id": "a", "title": "Acme Fjord oak stoneware mug blue 300 ml", "picture": mug},
        {
            "id": "b",
            "title": "mug Fjord Acme blue stoneware oak new 300 ml",
            "picture": cut(mug, 0.05, 0.05, 0.05, 0.05),
        },
        {"id": "c", "title": "Acme Fjord oak stoneware mug blue 500 ml", "picture": photo(2)},
        {"id": "d", "title": "Zebra hall lamp", "picture": mug.resize((60, 60))},
        *NOISE,
    ]
    _, pairs, clusters, _ = run(tmp_path, lines)
    found = kinds(pairs)
    assert found[("a", "b")] == "near listing"
    assert found[("a", "d")] == found[("b", "d")] == "near picture"
    assert ("a", "c") not in found and ("b", "c") not in found  # another size is another product
    assert clusters.filter(~pl.col("keep")).select("row", "cluster").rows() == [(0, 0)]  # b has the longer text


def test_variants_of_one_group_and_other_codes_are_never_dropped(tmp_path: Path) -> None:
    mug = photo(1)
    lines = [
        {"id": "a", "title": "Acme Fjord oak mug", "group": "g", "picture": mug},
        {"id": "b", "title": "Acme Fjord oak mug", "group": "g", "picture": mug},
        {"id": "c", "title": "Acme Fjord oak mug", "picture": mug, "code": "4006381333931"},
        {"id": "d", "title": "Acme Fjord oak mug", "picture": mug, "code": "036000291452"},
        *NOISE,
    ]
    _, pairs, clusters, _ = run(tmp_path, lines)
    found = kinds(pairs)
    assert clusters["keep"].to_list()[:4] == [True, True, False, False]  # c and d: each a copy of a
    assert ("a", "b") not in found and found[("a", "c")] == "same listing"
    assert found[("c", "d")] in ("same text", "same picture")


def test_what_is_done_is_the_recipe_s_choice(tmp_path: Path) -> None:
    lines = [{"id": "a", "title": "red pump"}, {"id": "b", "title": "red pump"}, *NOISE]
    assert run(tmp_path, lines)[2].filter(~pl.col("keep")).height == 1
    joined = run(tmp_path, lines, Duplicates(same_listing="join"), "other")[2]
    assert joined["keep"].all()


def test_a_family_of_texts_that_differ_in_one_place_is_no_set_of_duplicates(tmp_path: Path) -> None:
    lines = [
        {"id": c, "title": f"Galaxy Ultra silicone case matte {c}"} for c in ("red", "blue", "green", "black", "pink")
    ]
    _, pairs, clusters, _ = run(tmp_path, [*lines, *NOISE])
    assert pairs.is_empty() and clusters["keep"].all()


def test_a_placeholder_is_told_from_a_range_photo(tmp_path: Path) -> None:
    nothing, range_photo = Image.new("RGB", (80, 80), "#dddddd"), photo(9)
    nothing.paste("#888888", (20, 35, 60, 45))
    unrelated = ["Oslo chair", "Brass tap", "Linen shirt", "Garden hose", "Paper fan", "Dog bowl"]
    ranged = [f"Bergen Nordlys {thing} walnut" for thing in ("table", "bench", "shelf", "desk", "stool")]
    lines = [
        *({"id": t, "title": t, "picture": nothing} for t in unrelated),
        *({"id": t, "title": t, "picture": range_photo} for t in ranged),
        *NOISE,
    ]
    _, pairs, _, states = run(tmp_path, lines)
    assert states["state"][:6].to_list() == ["placeholder"] * 6
    assert states["reason"][0] == "the same picture on 6 listings of 6 unrelated product groups"
    assert states["state"][6:11].to_list() == ["present"] * 5 and states["state"][11] == "absent"
    assert not set(pairs["left"]) & set(unrelated)


@pytest.mark.parametrize(
    "changed",
    [
        lambda p: p.resize((50, 60)),
        lambda p: p.point(lambda v: min(255, int(v * 1.08))),
        lambda p: cut(p, 0.05, 0.05, 0.05, 0.05),
        lambda p: cut(p, 0.05, 0, 0, 0.05),
        lambda p: cut(p, 0.01, 0.04, 0.03, 0.0),
    ],
)
def test_a_changed_picture_is_found_among_others_and_no_other(changed: Any) -> None:
    shown = [photo(i) for i in range(60)]
    looks = [seen(p) for p in [*shown, changed(shown[7])]]
    thumbs = np.stack([np.frombuffer(found.thumb, np.uint8).reshape(32, 32) for found in looks])
    colours = np.stack([np.frombuffer(found.colours, np.uint8).reshape(8, 8, 3) for found in looks])
    found = near_pictures(thumbs, colours, np.arange(61, dtype=np.uint64), usual(thumbs), None).pairs
    assert found.filter(pl.col("score") > 0).select("left", "right").rows() == [(7, 60)]


def drawn(colour: str, box: tuple[int, int, int, int] = (40, 30, 110, 120)) -> Image.Image:
    picture = Image.new("RGB", (150, 150), "white")
    picture.paste(colour, box)
    picture.paste("#333333", (60, 60, 70, 110))
    return picture


def test_two_colours_and_two_sizes_of_a_drawing_are_two_pictures(tmp_path: Path) -> None:
    mugs = {"red": drawn("#c03030"), "blue": drawn("#3455e8"), "wide": drawn("#c03030", (33, 30, 117, 120))}
    grey = {name: seen(mugs[name]).thumb for name in ("red", "blue")}
    assert max(abs(a - b) for a, b in zip(*grey.values(), strict=True)) < 8
    copies = {"red, small": mugs["red"].resize((70, 70)), "blue, cut": cut(mugs["blue"], 0.05, 0.05, 0.0, 0.03)}
    lines = [{"id": name, "picture": picture} for name, picture in {**mugs, **copies}.items()]
    others = [line | {"picture": photo(i)} for i, line in enumerate(NOISE)]
    _, pairs, _, _ = run(tmp_path, [*lines, *others])
    assert kinds(pairs) == {("red", "red, small"): "near picture", ("blue", "blue, cut"): "near picture"}


def test_a_picture_that_fits_many_tells_nothing_unless_clearly() -> None:
    count = 60
    near = pl.DataFrame({"left": [0] * (count - 1), "right": range(1, count), "score": [0.9] * (count - 2) + [0.94]})
    assert looks._without_crowds(near, np.arange(count))["score"].to_list() == [0.82] * (count - 2) + [0.94]
    one_look = np.zeros(count, np.int64)
    assert looks._without_crowds(near, one_look).equals(near) and looks._without_crowds(near[:9], one_look).height == 9


@pytest.mark.parametrize("nothing", [drawn("#dddddd"), Image.new("RGB", (90, 90), "#f4f4f4")])
def test_a_placeholder_saved_anew_and_a_range_known_by_its_label_only(tmp_path: Path, nothing: Image.Image) -> None:
    range_photo = photo(9)
    anew = [nothing.resize((100 + 7 * i, 90 + 5 * i)) for i in range(8)]
    titles = ["Oslo chair", "Brass tap", "Linen shirt", "Garden hose", "Paper fan", "Dog bowl", "Tin lamp", "Felt hat"]
    lines: list[Line] = [{"id": t, "title": t, "picture": p} for t, p in zip(titles, anew, strict=True)]
    lines += [{"id": t[::-1], "title": t[::-1], "picture": range_photo, "brand": "Acme"} for t in titles]
    lines += [line | {"picture": photo(100 + i), "brand": f"b{i % 5}"} for i, line in enumerate(NOISE)]
    lines += [{"id": f"m{i}", "title": f"zu{i}", "brand": f"b{i % 5}"} for i in range(200)]
    states = run(tmp_path, lines)[3]["state"].to_list()
    assert states[:16] == ["placeholder"] * 8 + ["present"] * 8


def test_nothing_and_plain_pictures_are_compared_with_nothing() -> None:
    for count in (0, 1, 3):
        thumbs = np.full((count, 32, 32), 200, np.uint8)
        colours = np.full((count, 8, 8, 3), 200, np.uint8)
        assert near_pictures(thumbs, colours, np.arange(count, dtype=np.uint64), usual(thumbs), None).pairs.is_empty()


def test_word_similarity_against_sets() -> None:
    titles = pl.Series(["red oak mug", "oak mug red", "red mug", "lamp", None, "ein Tisch 40 cm", "ein Tisch 50 cm"])
    texts = Texts(titles, titles)
    like = texts.compare(np.array([0, 0, 3, 5]), np.array([1, 2, 4, 6]))
    nats = {word: np.log(7 / n) for word, n in {"red": 3, "mug": 3, "oak": 2}.items()}
    assert like.words[:3].tolist() == pytest.approx([1, (nats["red"] + nats["mug"]) / sum(nats.values()), 0])
    assert like.numbers.tolist() == [True, True, True, False] and like.contained.tolist()[:2] == [True, True]


def test_the_slow_twin_finds_nothing_alike_in_texts_without_words() -> None:
    for cells in ([None, "...", None], ["mug", "mug", "mug"]):  # a word that is in all texts says nothing
        titles = pl.Series(cells, dtype=pl.String)
        assert _alike_in_words(np.arange(3), Texts(titles, titles)).is_empty()


def test_a_word_that_is_there_twice_counts_twice() -> None:
    texts = pl.Series(["salt and pepper and oil", "oak mug", None, "salt and pepper oil"])
    [words] = _words([texts], Threads())
    assert words.chunks[0].sizes.tolist() == [5, 2, 0, 4]
    assert sorted(words.vocabulary) == ["and", "and 1", "mug", "oak", "oil", "pepper", "salt"]
    matrix = words.matrix(words.vocabulary.sort())
    assert (matrix @ matrix.T).toarray().tolist() == [[5, 0, 0, 4], [0, 2, 0, 0], [0, 0, 0, 0], [4, 0, 0, 4]]


def test_no_candidates_are_texts_whose_numbers_differ_and_only_these() -> None:
    draw = np.random.default_rng(0)
    lines = pl.Series([None, *(f"oak mug {' '.join(draw.choice(list('01234567'), i % 4))}" for i in range(80))])
    texts = Texts(pl.Series([""] * 81), lines)
    left, right = np.triu_indices(81, 1)
    marks, like = texts._number_marks(), texts.compare(left, right)
    within = (marks[left] & marks[right] == marks[left]) | (marks[left] & marks[right] == marks[right])
    assert within[like.numbers].all() and within[~like.numbers].mean() < 0.1


def test_signs_of_scripts_without_spaces_are_words() -> None:
    titles = pl.Series(["紅色茶杯", "茶杯紅色", "кружка красная"])
    texts = Texts(titles, titles)
    assert texts.compare(np.array([0]), np.array([1])).words.tolist() == [1] and len(texts.vocabulary) == 6


def test_components_and_clusters_by_hand() -> None:
    assert components(6, np.array([1, 4, 2]), np.array([3, 2, 5])).tolist() == [0, 1, 2, 1, 2, 2]
    pairs = pl.DataFrame({"left": [0, 1], "right": [1, 2], "kind": ["near text", "same listing"], "score": [1.0, 1.0]})
    table = cluster(
        pairs, {"near text": "join", "same listing": "keep one"}, np.array([9, 5, 5]), pl.Series(list("xyz"))
    )
    assert table.rows() == [(0, 0, True), (1, 1, True), (2, 1, False)]


def test_next_week_takes_comparisons_over_and_writes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    week = [{"id": f"p{i}", "title": f"thing {i}", "picture": photo(i)} for i in range(20)]
    week += [{"id": f"q{i}", "title": f"other {i}", "picture": cut(photo(i), 0.05, 0, 0, 0)} for i in range(10)]
    first = run(tmp_path, week)[0]
    changed = [*week[1:], {"id": "new", "title": "new", "picture": photo(3).resize((64, 64))}]
    whole = run(tmp_path, changed, name="whole")[0]
    compared: list[int] = []
    real = looks.score_pairs
    monkeypatch.setattr(looks, "score_pairs", lambda t, c, a, b, v: compared.append(len(a)) or real(t, c, a, b, v))
    again = run(tmp_path, changed, name="again", earlier=first)[0]
    assert {n: f["sha256"] for n, f in again.files.items()} == {n: f["sha256"] for n, f in whole.files.items()}
    assert 0 < sum(compared) < whole.summary["compared_pictures"]


def test_codes() -> None:
    cells = ["4006381333931", "4006381333932", "0", "N/A", None, "0-306-40615-2", "036000291452", "0000000000000"]
    assert valid_codes(pl.Series(cells)).to_list() == [
        *("04006381333931", None, None, None, None),
        *("09780306406157", "00036000291452", None),
    ]


def test_the_search_against_comparing_all_with_all(tmp_path: Path) -> None:
    lines = [{"id": f"p{i}", "title": f"{NOISE[i]['title']} brass", "picture": photo(i)} for i in range(20)]
    lines += [{"id": f"q{i}", "title": f"brass {NOISE[i]['title']}", "picture": photo(i, 90)} for i in range(10)]
    lines += [{"id": f"r{i}", "title": f"lamp{i}", "picture": cut(photo(i), 0.04, 0.05, 0, 0.02)} for i in range(5, 15)]
    lines += NOISE[20:]
    pairs = run(tmp_path, lines)[1]
    items = pl.read_parquet(tmp_path / "ingest-out" / "items.parquet")
    digests, thumbs, colours = looks.distinct(tmp_path / "images-out" / "index.parquet")
    numbers = pl.DataFrame({"sha256": digests}).with_row_index("picture")
    index = pl.read_parquet(tmp_path / "images-out" / "index.parquet").join(numbers, on="sha256")
    shown = index.select("row", "order", "picture", look="picture").sort("row")
    facts, texts = described(items)
    found = brute(np.arange(len(items)), facts, texts, shown, thumbs, colours).pairs
    named = {(items["id"][a], items["id"][b]) for a, b in found.select("left", "right").iter_rows()}
    assert len(kinds(pairs)) >= 20 and named == set(kinds(pairs))
    assert confirmed(found, facts, texts, shown, thumbs, colours).equals(found)


def test_a_family_is_told_by_comparing_one_of_its_members_with_all() -> None:
    base = "hand with fingers splayed raised stop"
    titles = [base, base.upper(), *(f"{base} {tone}" for tone in ("light", "dark", "pale", "olive"))]
    lines = [{"id": f"h{i}", "group": f"h{min(i, 2)}", "title": title} for i, title in enumerate(titles)] + NOISE
    items = pl.DataFrame(
        {
            "row": range(len(lines)),
            "group": [line.get("group", line["id"]) for line in lines],
            "code": [None] * len(lines),
            "title": [line["title"] for line in lines],
        },
        {"row": pl.UInt32, "group": pl.String, "code": pl.String, "title": pl.String},
    )
    shown = pl.DataFrame(schema={"row": pl.UInt32, "order": pl.Int64, "picture": pl.UInt32, "look": pl.UInt32})
    blank = np.zeros((0, 32, 32), np.uint8), np.zeros((0, 3), np.uint8)
    every = brute(np.arange(len(items)), *described(items), shown, *blank).pairs
    alone = brute(np.array([2]), *described(items), shown, *blank).pairs
    assert alone.equals(every.filter((pl.col("left") == 2) | (pl.col("right") == 2)))
    assert every.select("left", "right").rows() == [(0, 1)]
