"""A whole small run to its report: what is in it, damaged pictures, sections that are absent, results filled in."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from rich.console import Console

from tests.report.shop import make, recipe_of, write_shop
from tests.report.test_page import _documented, _leaves
from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact
from workbench.recipe.schema import Recipe
from workbench.report import build
from workbench.report.assemble import assemble
from workbench.report.page import render

DROPPED = (",G90,nothing,mug,1.png", "A01,G1,again,mug,3.png", "X1,G91,,mug,0.png", "A02,G1,again,mug,none.png")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, dict[str, Artifact]]:
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder, 40, DROPPED)
    recipe = recipe_of(folder)
    return recipe, make(recipe)


def read(made: dict[str, Artifact]) -> dict[str, Any]:
    def never(constant: str) -> None:
        raise AssertionError(f"{constant} in report.json")

    report = json.loads(made["report"].path("report.json").read_text("utf-8"), parse_constant=never)
    documented = list(_documented())
    assert [p for p in _leaves(report) if not any(re.fullmatch(d, p) for d in documented)] == []
    return dict(report)


def test_the_report_of_a_small_shop(shop: tuple[Recipe, dict[str, Artifact]]) -> None:
    _, made = shop
    report = read(made)
    data, pretrain = report["data"], report["pretrain"]
    assert report.keys() == {"about", "data", "pretrain", "samples", "probes", "recipe"}
    assert (data["rows"], data["listings"], data["joined"], data["dropped"]) == (44, 40, 0, 4)
    assert data["text"]["vocabulary"] == 300  # the rest of it: test_counts.py
    assert pretrain["listings"] == data["parts"]["train"] and pretrain["left_out"] == []
    assert [p["step"] for p in pretrain["curve"]] == list(range(1, pretrain["steps"] + 1))
    assert pretrain["curve"][-1]["epoch"] == 1 and pretrain["masking"]["policy"] == "mam"
    assert pretrain["seconds"] > 0 and 0 <= pretrain["data_wait"] <= 1
    # The time holds the validation and the checkpoint, the speed does not.
    assert pretrain["samples_per_second"] > pretrain["listings"] / pretrain["seconds"]
    assert pretrain["skipped"] == 0 and all(point["grad_norm"] > 0 for point in pretrain["curve"])
    assert report["probes"] == json.loads(made["probes"].path("probes.json").read_text())
    stages = report["about"]["stages"]
    assert [s["key"] for s in stages] == [made[s["name"]].key for s in stages]
    assert [s["name"] for s in stages] == ["ingest", "images", "duplicates", "split", "tokens", "pretrain", "probes"]
    assert all(s["seconds"] > 0 for s in stages)


def test_pictures_are_in_the_page_and_no_path_is(shop: tuple[Recipe, dict[str, Artifact]]) -> None:
    recipe, made = shop
    html = made["report"].path("report.html").read_text("utf-8")
    assert html.count("data:image/png;base64,") == 4 * 3  # samples
    assert html.count("no picture</span>") == 0
    root = str(recipe.catalog.feeds[0].path.parent)
    for file in made["report"].folder.iterdir():
        assert root not in file.read_text("utf-8")


def test_the_recipe_is_shown_whole_but_for_where_things_lie(shop: tuple[Recipe, dict[str, Artifact]]) -> None:
    recipe, made = shop
    shown = yaml.safe_load(read(made)["recipe"])
    assert shown["catalog"]["feeds"][0]["path"] == "shop.csv"
    assert shown["pretrain"]["optim"]["clip"] == 1.0 and "runtime" not in shown
    assert build.stage(recipe.report, recipe, {}).section == shown


def test_five_damaged_pictures_of_sixty_four(tmp_path: Path) -> None:
    write_shop(tmp_path, 64)
    whole = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(whole[: len(whole) * 6 // 10])
    (tmp_path / "11.png").write_bytes(b"")
    (tmp_path / "20.png").write_text("a note in place of a picture\n")
    (tmp_path / "33.png").unlink()
    (tmp_path / "47.png").write_text("<!doctype html><html><body>not found</body></html>")
    made = make(recipe_of(tmp_path, split=(1, 0, 0)))
    report = read(made)
    shown = {e["id"]: (r["state"], r["reason"]) for r in report["data"]["pictures"]["reasons"] for e in r["examples"]}
    assert shown == {
        "A03": ("broken", "truncated PNG: its end is missing"),
        "A11": ("broken", "zero bytes"),
        "A20": ("broken", "a text file, not a picture"),
        "A33": ("absent", "no such file"),
        "A47": ("broken", "a web page, not a picture"),
    }
    assert report["pretrain"]["listings"] == report["pretrain"]["pictures"] == 59
    assert {r["reason"]: r["count"] for r in report["pretrain"]["left_out"]} == {
        "picture absent": 1,
        "picture broken": 4,
    }
    # nothing is held out: no probes and no samples, and the page says nothing of them
    assert "reason" in json.loads(made["probes"].path("probes.json").read_text())
    assert report.keys() == {"about", "data", "pretrain", "recipe"} and made["report"].summary == {}
    html = made["report"].path("report.html").read_text("utf-8")
    assert all(reason in html for reason in ("truncated PNG", "zero bytes", "a web page, not a picture"))


def test_rows_of_results_become_listings(shop: tuple[Recipe, dict[str, Artifact]], tmp_path: Path) -> None:
    recipe, made = shop
    pair = {"left": {"row": 2}, "right": {"row": 5}, "match": 0, "score": 0.9}
    nothing: dict[str, Any] = {"measure": "pr_auc", "arms": [], "differences": [], "readings": [], "verdict": []}
    arm = {"arm": "together", "share": 1.0, "seeds": 1, "pr_auc": {"mean": 0.5, "low": 0.4, "high": 0.6}}
    query = {
        "query": {"row": 1},
        "kind": "text",
        "reciprocal_rank": 1.0,
        "answers": [],
        "found": [{"row": 3, "right": True}],
    }
    pairs = {part: {"pairs": 1, "positives": 1} for part in ("train", "valid", "test")} | {"dropped": []}
    results = {
        "match": {**nothing, "pairs": pairs, "best": [], "worst": [pair]},
        "retrieve": {**nothing, "best": [query], "worst": []},
        "together": {
            "match": {
                **nothing,
                "arms": [arm | {"arm": "pretrained"}, arm],
                "verdict": ["It works.", "With all labels, one network for all tasks is better: PR AUC +0.1."],
            }
        },
        "classify": {
            **nothing,
            "label": "kind",
            "classes": 3,
            "listings": {"train": 1, "valid": 0, "test": 1},
            "per_class": [],
            "best": [{"row": 7, "truth": "mug", "guess": "mug", "probability": 0.8}],
            "worst": [],
        },
    }
    inputs = dict(made)
    for name, result in results.items():
        (tmp_path / name).mkdir()
        text = json.dumps(result)
        (tmp_path / name / "results.json").write_text(text)
        files = {"results.json": {"bytes": len(text), "sha256": ""}}
        inputs[name] = replace(made["probes"], folder=tmp_path / name, stage=name, files=files)
    work = Work(
        tmp_path, inputs, recipe.runtime, Console(file=io.StringIO()), tmp_path / "no such log" / "report.jsonl"
    )
    content, pictures = assemble(work, recipe.report, recipe)
    assert content["match"]["worst"][0] == {
        "left": {"id": "A02", "title": "blue chair number 2", "picture": "listing-2"},
        "right": {"id": "A05", "title": "red chair number 5", "picture": "listing-5"},
        "match": 0,
        "score": 0.9,
    }
    assert content["classify"]["best"][0] == {
        "id": "A07",
        "title": "blue lamp number 7",
        "picture": "listing-7",
        "truth": "mug",
        "guess": "mug",
        "probability": 0.8,
    }
    assert content["retrieve"]["best"][0]["found"] == [
        {"id": "A03", "title": "yellow mug number 3", "picture": "listing-3", "right": True}
    ]
    assert content["match"]["arms"] == [arm] and len(content["match"]["verdict"]) == 1
    assert "together" not in content
    assert Image.open(io.BytesIO(pictures["listing-7"])).size == (16, 16)
    assert content["pretrain"]["seconds"] is None and content["about"]["stages"][0]["seconds"] is None
    assert "blue chair number 2" in render(content, pictures)


def test_a_log_of_a_killed_run_is_read(shop: tuple[Recipe, dict[str, Artifact]], tmp_path: Path) -> None:
    recipe, made = shop
    times = ((1, 9), (2, 9), (1, 1), (2, 3))
    lines = [{"step": step, "samples": 8, "seconds": seconds, "waited": 0.5} for step, seconds in times]
    log = "\n".join([*map(json.dumps, lines[:2]), '{"step": 3, "sam', *map(json.dumps, lines[2:])])
    (tmp_path / f"pretrain-{made['pretrain'].key[:16]}.jsonl").write_text(log)
    work = Work(tmp_path, made, recipe.runtime, Console(file=io.StringIO()), tmp_path / "report.jsonl")
    pretrain = assemble(work, recipe.report, recipe)[0]["pretrain"]
    assert (pretrain["seconds"], pretrain["samples_per_second"], pretrain["data_wait"]) == (4, 4, 0.25)


def test_a_feed_without_pictures_and_untitled_listings(tmp_path: Path) -> None:
    write_shop(tmp_path, 40)
    (tmp_path / "bare.csv").write_text("no,words,stuff\nB1,,oak\nB2,plain table,\n")
    columns = {"id": "no", "title": "words", "text": {"stuff": "stuff"}}
    recipe = recipe_of(tmp_path)
    feeds = [*recipe.model_dump(mode="json")["catalog"]["feeds"], {"path": "bare.csv", "columns": columns}]
    recipe = recipe_of(tmp_path, catalog={"feeds": feeds})
    report = read(make(recipe))
    (reason,) = report["data"]["pictures"]["reasons"]
    assert (reason["state"], reason["reason"], reason["count"]) == ("absent", "no picture is named", 2)
    assert reason["examples"] == [
        {"id": "B1", "title": None, "picture": None},
        {"id": "B2", "title": "plain table", "picture": None},
    ]
    assert [f["name"] for f in report["data"]["feeds"]] == ["shop.csv", "bare.csv"]


def test_without_masks_there_is_no_loss_of_words(tmp_path: Path) -> None:
    write_shop(tmp_path, 40)
    masked = {"epochs": 1, "optim": {"batch_size": 8}, "log_every": 1, "masking": {"policy": "none"}}
    report = read(make(recipe_of(tmp_path, split=(0.4, 0.6, 0), pretrain=masked)))
    assert {p["mlm"] for p in (*report["pretrain"]["curve"], *report["pretrain"]["valid"])} == {None}
    assert report["pretrain"]["valid"][0]["recon"] > 0
    assert report["probes"]["part"] == "valid" and report["probes"]["mlm"]["true"] > 0  # by the paper's masks


@pytest.mark.parametrize("epochs", [0, 1])
def test_what_was_not_trained_is_left_out(tmp_path: Path, epochs: int) -> None:
    write_shop(tmp_path, 40)
    objectives = {"mlm": {"weight": 0}, "recon": {"weight": 0}, "itm": {"weight": 1}, "itc": {"weight": 0.5}}
    pretrain = {"epochs": epochs, "optim": {"batch_size": 8}, "objectives": objectives}
    made = make(recipe_of(tmp_path, pretrain=pretrain))
    report, html = read(made), made["report"].path("report.html").read_text("utf-8")
    assert report["pretrain"]["objectives"] == {"itm": 1, "itc": 0.5}
    assert len(report["pretrain"]["curve"]) == epochs
    assert "redrawn" not in report["samples"][0] and "probes" not in report
    assert ("ITM loss" in html) == bool(epochs) and "RECON loss" not in html
