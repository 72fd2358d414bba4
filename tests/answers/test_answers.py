"""What a model answers depends on the listing alone: not on its batch, its neighbours' length or how a picture came."""

import io
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tests.answers.conftest import task_of
from tests.tiny import scatter
from workbench.answers.answers import Answers
from workbench.answers.compose import compose
from workbench.answers.listing import Listing
from workbench.errors import ArtifactError, DataError
from workbench.images.names import Absent
from workbench.tasks.match.cross import CrossHead, scores
from workbench.tasks.match.net import PairBatch
from workbench.tasks.tuned import Tuned, save_tuned, width_of, write_answers

LONG = "a title of very many words that goes on until no more of them can be read by the model at all"


def points(answers: Answers, *listings: Listing) -> Any:
    return answers.points(answers.preparation.prepare(listings).batch)


def pixels(answers: Answers, picture: Any) -> Any:
    prepared = answers.preparation.prepare([Listing("x", {}, picture)])
    assert prepared.pictures == ["present"]
    return prepared.batch.pixels_BCHW


@pytest.mark.parametrize(
    ("name", "least"), [("3.png", 0), ("clear.png", 0), ("palette.gif", 0), ("turned.jpg", 1), ("large.jpg", 2)]
)
def test_a_picture_is_the_same_however_it_is_given(sold: Any, answers: Answers, name: str, least: int) -> None:
    path = sold.folder / "pictures" / name
    data = path.read_bytes()
    expected = pixels(answers, data)
    with Image.open(path) as unread, Image.open(path) as read:
        read.load()
        upright = ImageOps.exif_transpose(read)
        for picture in (path, str(path), bytearray(data), unread, lambda: data):
            assert torch.equal(pixels(answers, picture), expected), type(picture)
        array = np.asarray(upright.convert("RGBA" if upright.has_transparency_data else "RGB"))
        for picture in (read, array):  # decoded by others: a large JPEG wholly; turned before it is made smaller
            differs = (pixels(answers, picture).int() - expected).abs()
            assert differs.max() <= least, type(picture)
    web = answers.preparation.fetch
    answers.preparation.fetch = {"https://a.test/1.jpg": data}.__getitem__
    try:
        assert torch.equal(pixels(answers, "https://a.test/1.jpg"), expected)
    finally:
        answers.preparation.fetch = web


def test_grey_arrays_and_odd_modes_are_read_too(answers: Answers) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (30, 20)).astype(np.uint8)
    expected = pixels(answers, grey)
    assert torch.equal(pixels(answers, np.stack([grey] * 3, 2)), expected)
    for mode in ("L", "RGB", "LA", "RGBA", "YCbCr"):
        assert (pixels(answers, Image.fromarray(grey).convert(mode)).int() - expected).abs().max() <= 1, mode


@pytest.mark.parametrize(
    ("picture", "state"),
    [
        (None, "absent"),
        (Path("/none/such.png"), "absent: no such file"),
        ("https://a.test/1.jpg", "absent: a web address, and fetching is not allowed"),
        (b"", "broken: "),
        (b"<html>", "broken: "),
        (Path("/"), "broken: "),
        (np.zeros((4, 4)), "broken: an array of float64 (4, 4), expected uint8"),
        (np.zeros((0, 4), np.uint8), "broken: an array of uint8 (0, 4), expected"),
        (12, "broken: a int, expected bytes"),
    ],
)
def test_a_picture_that_is_none_is_said_and_counts_as_none(answers: Answers, picture: Any, state: str) -> None:
    prepared = answers.preparation.prepare([Listing("x", {"title": "red lamp"}, picture)])
    assert prepared.pictures[0].startswith(state)
    assert not prepared.batch.has_image_B.any() and not prepared.batch.pixels_BCHW.any()
    expected = points(answers, Listing("x", {"title": "red lamp"}))
    assert np.array_equal(answers.points(prepared.batch), expected)


def test_a_placeholder_counts_as_none_and_its_pixels_change_nothing(sold: Any, answers: Answers) -> None:
    path = sold.folder / "pictures" / "soon.png"
    prepared = answers.preparation.prepare([Listing("x", {"title": "red lamp"}, path)])
    assert prepared.pictures == ["placeholder"]
    assert np.array_equal(answers.points(prepared.batch), points(answers, Listing("x", {"title": "red lamp"})))
    anew = Image.open(path).resize((70, 70), Image.Resampling.BICUBIC)
    anew.convert("RGB").save(file := io.BytesIO(), "JPEG", quality=90)
    assert answers.preparation.prepare([Listing("x", {}, file.getvalue())]).pictures == ["placeholder"]


def test_answers_are_of_length_1_finite_and_the_same_in_any_batch(sold: Any, answers: Answers) -> None:
    some = [
        Listing("a", {"title": "red lamp", "colour": "red"}, sold.folder / "pictures" / "1.png"),
        Listing("b", {"title": None, "about": "   "}),
        Listing("c", {}, sold.folder / "pictures" / "2.png"),
        Listing("d", {"title": "mug \ud800 \x00"}),
    ]
    alone = np.concatenate([points(answers, listing) for listing in some])
    for batch in (some, [*some, Listing("e", {"title": LONG})], some[::-1]):
        found = points(answers, *batch)
        order = [batch.index(listing) for listing in some]
        assert np.isfinite(found).all()
        read = [listing.id != "b" for listing in batch]  # of what says nothing there may be no direction
        np.testing.assert_allclose(np.linalg.norm(found[read], axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(found[order], alone, atol=2e-6)


def test_texts_are_cleaned_as_in_training(answers: Answers) -> None:
    dirty = Listing("x", {"title": " <b>Red</b>&nbsp;lamp\u200b", "about": "N/A", "colour": None})
    assert answers.preparation.texts([dirty]).row(0) == ("Red lamp", None, None)
    told = "A thing is described at some length here. Returns are accepted within thirty days, no questions asked."
    listing = Listing("x", {"about": told})
    feeds = [replace(listing, feed=feed) for feed in (None, 0, 1)]
    cleaned = answers.preparation.texts(feeds)["text.about"].to_list()
    assert cleaned == [told.partition(" Returns")[0], told, told.partition(" Returns")[0]]
    with pytest.raises(DataError, match="no field 'size'; it reads title, about, colour"):
        answers.preparation.prepare([Listing("x", {"size": "9"})])


def test_classes_are_told_by_name_in_a_new_process_and_another_folder(sold: Any, answers: Answers, tmp_path) -> None:
    listing = Listing("a", {"title": "red lamp"}, sold.folder / "pictures" / "1.png")
    table = answers.table("classify", answers.preparation.prepare([listing]).batch)
    assert table.columns == ["kind", "kind.probability"] and table["kind"][0] in ("hat", "lamp", "mug")
    moved = shutil.copytree(sold.model, tmp_path / "moved")
    code = (
        "import sys; from pathlib import Path; from workbench.answers.answers import Answers; "
        "from workbench.answers.listing import Listing; a = Answers.open(Path(sys.argv[1]), 'cpu', 1); "
        "listing = Listing('a', {'title': 'red lamp'}, Path(sys.argv[2])); "
        "print(a.key, *a.table('classify', a.preparation.prepare([listing]).batch).row(0))"
    )
    arguments = [sys.executable, "-c", code, str(moved), str(listing.picture)]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()
    assert said[:2] == [answers.key, table["kind"][0]]
    assert float(said[2]) == pytest.approx(table["kind.probability"][0], abs=1e-7)


def test_matches_are_calibrated_and_the_same_both_ways(answers: Answers) -> None:
    some = [Listing(str(i), {"title": title}) for i, title in enumerate(("red lamp", "red lamp", "mug"))]
    found = answers.outputs("match", answers.preparation.prepare(some).batch)
    both = answers.match(found[[0, 0]], found[[1, 2]])
    assert np.array_equal(both, answers.match(found[[1, 2]], found[[0, 0]])) and both[0] > both[1]
    head: Any = answers.tuned.heads["match"]
    point_1D = torch.from_numpy(found[:1])
    log_odds = (head.scale.exp() + head.bias + head.corrected(point_1D, point_1D)).item()  # of a cosine of 1
    assert both[0] == pytest.approx(1 / (1 + np.exp(0.5 - 1.5 * log_odds)), abs=1e-5)
    with pytest.raises(DataError, match="match says nothing of a listing by itself"):
        answers.table("match", answers.preparation.prepare(some).batch)
    with pytest.raises(DataError, match="answers classify, match; it was asked for fill"):
        answers.outputs("fill", answers.preparation.prepare(some).batch)


def test_a_model_that_learnt_to_reads_pairs_together(sold: Any, answers: Answers, tmp_path: Path) -> None:
    some = [Listing(str(i), {"title": title}) for i, title in enumerate(("red lamp", "blue lamp", "mug"))]
    batch = answers.preparation.prepare(some).batch
    sides = np.array([0, 1]), np.array([1, 2])
    points = answers.outputs("match", batch)
    assert np.array_equal(answers.match_read(batch, *sides), answers.match(points[sides[0]], points[sides[1]]))
    network, width = answers.tuned.network, width_of(answers.tuned.network)
    crossed = Tuned(network, {"match": answers.tuned.heads["match"], "cross": CrossHead(width)}).eval()
    scatter(crossed.heads["cross"])
    folder = Path(shutil.copytree(sold.made["classify"].folder, tmp_path / "tuned"))
    (folder / "cross").mkdir()
    save_tuned(folder / "cross", crossed)
    told = {"calibration": {"scale": 2.0, "shift": 1.0}, "precision": 0.9, "threshold": 0.6, "clusters": None}
    write_answers(folder / "cross", {"match": {}, "cross": told | {"candidates": 20}})
    here = [p for p in folder.rglob("*") if p.is_file()]
    files = {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": ""} for p in here}
    made = replace(sold.made["classify"], folder=folder, files=files)
    both = Answers.open(compose({**sold.made, "classify": made}, "classify", tmp_path / "model"), "cpu", 1)
    pairs = PairBatch(batch, *map(torch.from_numpy, sides), torch.zeros(2), batch.rows_B)
    expected = 1 / (1 + np.exp(-(2 * scores(crossed, pairs).detach().double().numpy() + 1)))
    np.testing.assert_allclose(both.match_read(batch, *sides), expected, rtol=1e-6)
    np.testing.assert_allclose(both.match_read(batch, *sides[::-1]), expected, rtol=1e-5)
    assert both.of_pairs["threshold"] == 0.6 and both.key != answers.key


def test_a_folder_is_whole_and_written_once(sold: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is there already"):
        compose(sold.made, "classify", sold.model)
    weights = sold.model / "model.safetensors"
    assert weights.stat().st_ino == (sold.folder / "tuned" / "model.safetensors").stat().st_ino
    with pytest.raises(KeyError):
        compose({**sold.made, "duplicates": None} | {"ingest": sold.made["tokens"]}, "classify", tmp_path / "torn")
    assert not (tmp_path / "torn").exists()
    with pytest.raises(ArtifactError, match="not a model's folder"):
        Answers.open(tmp_path)
    other = task_of(tmp_path / "other", sold.made["tokens"], sold.tree, seed=1)
    again = compose({**sold.made, "classify": other}, "classify", tmp_path / "again")
    assert Answers.open(again, "cpu").key != Answers.open(sold.model, "cpu").key


def test_nothing_asked_is_nothing_answered(answers: Answers) -> None:
    prepared = answers.preparation.prepare([])
    assert len(prepared.batch) == 0 and prepared.pictures == []


def test_a_fetcher_may_say_no(answers: Answers) -> None:
    def no(url: str) -> bytes:
        raise Absent("404 Not Found")

    answers.preparation.fetch, before = no, answers.preparation.fetch
    try:
        assert answers.preparation.prepare([Listing("x", {}, "http://a.test/")]).pictures == ["absent: 404 Not Found"]
    finally:
        answers.preparation.fetch = before
