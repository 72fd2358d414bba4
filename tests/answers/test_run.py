"""Feeds through a model: every row answered or told why not, whatever the order, the format, or a kill on the way."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tests.answers.conftest import task_of
from workbench.answers import run as runs
from workbench.answers.answers import Answers
from workbench.answers.compose import compose
from workbench.answers.embed import embedding
from workbench.answers.feeds import Opened, open_feed
from workbench.answers.index import Index
from workbench.answers.listing import Listing
from workbench.answers.out import Counts
from workbench.answers.predict import predicting
from workbench.answers.run import run
from workbench.cli import app
from workbench.errors import ArtifactError, DataError
from workbench.recipe.schema import Feed


def opened(answers: Answers, path: Path, pictures: Path | None = None, **given: str) -> Opened:
    told = answers.preparation.told["feeds"]
    return open_feed(Feed(path=path, pictures=pictures), told, answers.preparation.fields, given)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def feed(sold: Any, tmp_path: Path) -> Path:
    """Rows of the training's feed, further ones without an id, and one that says nothing."""
    rows = read(sold.folder / "feed.csv")[:12]
    nothing = dict.fromkeys(rows[0], "")
    return write(tmp_path / "feed.csv", [*rows, nothing | {"name": "nobody's"}, nothing | {"sku": "mute"}])


def test_every_row_is_answered_or_dropped_with_its_reason(sold: Any, answers: Answers, feed: Path, tmp_path: Path):
    found = opened(answers, feed, sold.folder / "pictures")
    assert found.like == 0 and found.said[:2] == ("id <- 'sku' (as in training)", "title <- 'name' (as in training)")
    out = tmp_path / "out.parquet"
    counts = run(answers, [found], out, predicting(answers, "classify", top=2))
    assert counts == Counts(answered=13, joined=0, dropped=1, pictures=9) and counts.rows == 14
    table = pl.read_parquet(out)
    assert table["id"].to_list() == [*(f"a{i}" for i in range(12)), "mute"]
    by_id = {row["id"]: row for row in table.iter_rows(named=True)}
    assert by_id["a0"]["picture"] == "present" and by_id["a6"]["picture"] == "absent: no such file"
    assert by_id["a5"]["picture"].startswith("broken: truncated JPEG")
    assert by_id["mute"] == dict.fromkeys(table.columns) | {"id": "mute", "picture": "absent"}
    assert by_id["a5"]["kind"] is None  # its text is a tag alone
    for row in table.filter(pl.col("kind").is_not_null()).iter_rows(named=True):
        assert row["top.1"] == row["kind"] and row["top.1.probability"] == pytest.approx(row["kind.probability"])
        assert row["top.2.probability"] <= row["top.1.probability"]
    drops = read(tmp_path / "out.parquet.drops.csv")
    assert drops == [{"file": "", "line": "23", "id": "", "title": "nobody's", "reason": "no id"}]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["feed.csv", "out.parquet", "out.parquet.drops.csv"]


def test_a_reversed_feed_another_format_and_batch_size_give_the_same(sold: Any, answers: Answers, tmp_path: Path):
    rows = read(sold.folder / "feed.csv")[:20]
    backwards = tmp_path / "other.jsonl"
    backwards.write_text("".join(json.dumps(row) + "\n" for row in rows[::-1]))
    pictures = sold.folder / "pictures"
    tables = []
    for path, batch, suffix in ((write(tmp_path / "feed.csv", rows), 64, "parquet"), (backwards, 7, "csv")):
        out = tmp_path / f"{path.stem}.out.{suffix}"
        run(answers, [opened(answers, path, pictures)], out, predicting(answers, batch=batch))
        tables.append(pl.read_parquet(out) if suffix == "parquet" else pl.read_csv(out))
    one, two = (table.sort("id") for table in tables)
    assert one["id"].equals(two["id"]) and one["kind"].equals(two["kind"])
    np.testing.assert_allclose(one["kind.probability"], two["kind.probability"], atol=1e-6)


def test_other_words_are_guessed_or_given(sold: Any, answers: Answers, tmp_path: Path):
    rows = [
        {"article": "7", "product_name": "red lamp", "Farbe": "red"},
        {"article": "8", "product_name": "mug", "Farbe": ""},
    ]
    path = write(tmp_path / "feed.csv", rows)
    found = opened(answers, path, colour="Farbe")
    assert found.like is None and found.reading.columns.text == {"colour": "Farbe"}
    assert "title <- 'product_name' (guessed)" in found.said and "picture <- no column" in found.said
    assert "title <- no column" in opened(answers, path, title="", colour="Farbe").said
    with pytest.raises(DataError, match=r"colour=Forbe: .* has no such column; did you mean 'Farbe'"):
        opened(answers, path, colour="Forbe")
    with pytest.raises(DataError, match="size=Farbe: no such role; this model has id, title, about, colour, picture"):
        opened(answers, path, size="Farbe")
    run(answers, [found], tmp_path / "out.parquet", embedding(answers))
    points = pl.read_parquet(tmp_path / "out.parquet")["point"].to_numpy()
    expected = [Listing("7", {"title": "red lamp", "colour": "red"}), Listing("8", {"title": "mug"})]
    np.testing.assert_allclose(points, answers.points(answers.preparation.prepare(expected).batch), atol=1e-6)


def test_sellers_that_use_the_same_words_are_read_alike(sold: Any, answers: Answers):
    ours, theirs = answers.preparation.told["feeds"]
    for known, like in (([theirs, ours], 1), ([ours, ours, theirs], None)):
        found = open_feed(Feed(path=sold.folder / "feed.csv"), known, answers.preparation.fields)
        assert found.like == like and found.reading.columns.text == {"about": "about", "colour": "colour"}
        assert all("as in training" in line for line in found.said[:5])


def test_a_feed_of_pictures_alone_needs_no_title(sold: Any, answers: Answers, tmp_path: Path):
    path = write(tmp_path / "feed.csv", [{"sku": "1", "pic": "1.png"}, {"sku": "2", "pic": "soon.png"}])
    out = tmp_path / "out.parquet"
    counts = run(answers, [opened(answers, path, sold.folder / "pictures")], out, embedding(answers))
    assert (counts.answered, counts.dropped) == (1, 1)
    assert [line["reason"] for line in read(tmp_path / "out.parquet.drops.csv")] == [
        "nothing to read: no text, picture placeholder"
    ]


def test_a_killed_run_goes_on_and_a_changed_feed_starts_anew(
    sold: Any, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("workbench.answers.feeds.PART", 5)
    path = write(tmp_path / "feed.csv", rows := read(sold.folder / "feed.csv")[:14])
    pictures, out = sold.folder / "pictures", tmp_path / "out.csv"
    run(answers, [opened(answers, path, pictures)], tmp_path / "whole.csv", predicting(answers))
    done = []

    def killed(*part: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(part)
        return answered(*part)

    answered = runs.answered
    monkeypatch.setattr(runs, "answered", killed)
    with pytest.raises(KeyboardInterrupt):
        run(answers, [opened(answers, path, pictures)], out, predicting(answers))
    assert not out.exists()
    monkeypatch.setattr(runs, "answered", lambda *part: (done.append(part), answered(*part))[1])
    run(answers, [opened(answers, path, pictures)], out, predicting(answers))
    assert len(done) == 3 and out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    done[2:] = []
    monkeypatch.setattr(runs, "answered", killed)
    with pytest.raises(KeyboardInterrupt):
        run(answers, [opened(answers, path, pictures)], out, predicting(answers, batch=3))
    monkeypatch.setattr(runs, "answered", lambda *part: (done.append(part), answered(*part))[1])
    write(path, rows[1:])
    done.clear()
    run(answers, [opened(answers, path, pictures)], out, predicting(answers))
    assert len(done) == 3 and len(read(out)) == 13


def test_an_index_finds_what_it_holds_and_is_of_one_model(sold: Any, answers: Answers, tmp_path: Path):
    found = [opened(answers, sold.folder / name, sold.folder / "pictures") for name in ("feed.csv", "other.csv")]
    out, folder = tmp_path / "points.csv", tmp_path / "points.csv.index"
    run(answers, found, out, embedding(answers, folder))
    table = pl.read_csv(out)
    points_nD = table.select(r"^point\..*$").to_numpy()
    np.testing.assert_allclose(np.linalg.norm(points_nD, axis=1), 1, rtol=1e-5)
    index = Index.open(folder, answers.key)
    assert len(index) == len(table) == 79
    best = index.search(points_nD[17].astype(np.float32), 5)
    assert best["id"][0] == table["id"][17] and best["score"][0] == pytest.approx(1, abs=1e-5)
    expected = np.sort(points_nD @ points_nD[17])[::-1][:5]
    np.testing.assert_allclose(best["score"], expected, atol=1e-5)
    assert len(index.search(points_nD[0].astype(np.float32), 1000)) == 79
    with pytest.raises(DataError, match="made by another model"):
        Index.open(folder, "0" * 64)
    with pytest.raises(DataError, match="no index"):
        Index.open(tmp_path, answers.key)


def test_pairs_and_clusters(sold: Any, answers: Answers, tmp_path: Path):
    rows = [
        {"id": f"{side}{n}", "title": f"{word} of number {n}"}
        for n, word in enumerate(["lamp", "mug"])
        for side in "LR"
    ]
    found = [opened(answers, write(tmp_path / "feed.csv", rows))]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("left,right\nL0,R0\nL0,R1\nL0,gone\n")
    run(answers, found, tmp_path / "out.csv", predicting(answers, "match", pairs=pairs))
    one, two, lost = pl.read_csv(tmp_path / "out.csv").iter_rows(named=True)
    assert one["probability"] > two["probability"] and one["match"] and lost["probability"] is None
    assert lost["why"] == "no listing to read of the right id"
    run(answers, found, tmp_path / "clusters.parquet", predicting(answers, "match", clusters=True))
    clusters = pl.read_parquet(tmp_path / "clusters.parquet")
    assert clusters["id"].to_list() == ["L0", "R0", "L1", "R1"] and clusters["cluster"][:2].to_list() == ["L0", "L0"]
    pairs.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'left'"):
        predicting(answers, "match", pairs=pairs)
    with pytest.raises(DataError, match="match answers for pairs"):
        predicting(answers, "match")


def test_pairs_are_read_together_by_a_model_that_has_learnt_to(sold: Any, answers: Answers, tmp_path: Path):
    rows = [{"id": i, "title": title} for i, title in (("a", "red lamp"), ("b", "blue lamp"), ("c", "mug"), ("d", ""))]
    found = [opened(answers, write(tmp_path / "feed.csv", rows))]
    pairs = write(tmp_path / "pairs.csv", [{"left": p[0], "right": p[1]} for p in ("ab", "bc", "xa", "cd", "ba")])
    both = Answers(sold.model, answers.tuned, answers.preparation)
    both.cross = answers.tuned  # never asked: below is what it would say
    both.__dict__["of_pairs"] = {"threshold": 0.4}
    both.match_read = lambda batch, left_n, right_n: (left_n + right_n) / 10  # type: ignore[method-assign]
    run(both, found, tmp_path / "out.parquet", predicting(both, "match", pairs=pairs, batch=3))
    table = pl.read_parquet(tmp_path / "out.parquet")
    assert table.select("left", "right").rows() == [tuple(p) for p in ("ab", "bc", "xa", "cd", "ba")]
    assert table["probability"].to_list() == [0.1, 0.5, None, None, 0.1]  # four listings at once
    assert table["match"].to_list() == [False, True, None, None, False]
    assert table["why"][2:4].to_list() == [f"no listing to read of the {side} id" for side in ("left", "right")]


def test_the_commands(sold: Any, tmp_path: Path):
    def mlim(*words: object, code: int = 0) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.output

    feed, out, pictures = sold.folder / "other.csv", tmp_path / "out.csv", ("--pictures", sold.folder / "pictures")
    said = mlim("predict", sold.model, feed, out, *pictures)
    assert "40 rows: 40 listings answered, 0 dropped" in said and len(read(out)) == 40
    mlim("embed", sold.model, feed, tmp_path / "p.parquet", "--index", *pictures)
    found = mlim("search", sold.model, tmp_path / "p.parquet.index", "--text", "other 3 things & more", "-k", 2)
    assert len(found.splitlines()) == 2
    assert "nothing to look for" in mlim("search", sold.model, tmp_path / "p.parquet.index", code=2)
    assert "no such file" in mlim("search", sold.model, tmp_path / "p.parquet.index", "--picture", "x.png", code=2)
    assert "ends in .parquet or .csv" in mlim("predict", sold.model, feed, tmp_path / "out.txt", *pictures, code=2)
    assert "no model" in mlim("predict", tmp_path, feed, out, code=2)
    assert "asked for fill" in mlim("predict", sold.model, feed, out, "--task", "fill", code=2)
    assert "expected ROLE=WORD" in mlim("predict", sold.model, feed, out, "--column", "title", code=2)
    assert "no picture was read" in mlim("predict", sold.model, feed, tmp_path / "text.csv", "--pictures", tmp_path)
    own = tmp_path / "feed.csv"
    shutil.copy(feed, own)
    assert "would be lost" in mlim("predict", sold.model, own, own, code=2) and own.read_bytes() == feed.read_bytes()
    assert "can't be written" in mlim("predict", sold.model, feed, own / "out.csv", code=2)
    other = task_of(tmp_path / "tuned", sold.made["tokens"], sold.tree, seed=1)
    compose({**sold.made, "classify": other}, "classify", tmp_path / "model")
    assert "another model" in mlim("search", tmp_path / "model", tmp_path / "p.parquet.index", "--text", "red", code=2)


@pytest.mark.parametrize("file", ["model.json", "model.safetensors", "head.safetensors", "answers.json", "about.json"])
def test_a_damaged_model_is_told(sold: Any, tmp_path: Path, file: str):
    shutil.copytree(sold.model, tmp_path / "model")
    (tmp_path / "model" / file).write_bytes((sold.model / file).read_bytes()[:50])
    with pytest.raises(ArtifactError, match="damaged"):
        Answers.open(tmp_path / "model", "cpu")
    (tmp_path / "model" / file).unlink()
    with pytest.raises(ArtifactError, match="damaged"):
        Answers.open(tmp_path / "model", "cpu")
