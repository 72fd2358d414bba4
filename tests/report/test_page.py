"""The page: complete, self-contained, safe with hostile catalogs, honest in words, and documented to the last field."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workbench.evaluate.compare import labels_in_words
from workbench.report import charts, verdict
from workbench.report.page import render, render_catalog

AGREEMENT = ("precision", "recall", "f1", "b_cubed_precision", "b_cubed_recall")
PARTS = ("train", "valid", "test")
THRESHOLD = ("score", "precision", "recall")
HOSTILE = "<script>alert('x')</script>\" onload=\"alert(1)"


def interval(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def listing(name: str, picture: str | None = "mug") -> dict[str, Any]:
    return {"id": f"id-{name}", "title": f"{name} {HOSTILE}", "picture": picture}


def row(name: str | None) -> dict[str, Any]:
    return {"id": name, "title": name and HOSTILE, "place": f"feed {HOSTILE}.csv, line 7"}


def arms(metrics: tuple[str, ...], *lines: tuple[str, float | None, float]) -> list[dict[str, Any]]:
    return [
        {"arm": name, "share": share, "seeds": 3, **{metric: interval(value, 0.02) for metric in metrics}}
        for name, share, value in lines
    ]


def difference(right: str, share: float, judge: str, mean: float, right_share: float | None = None) -> dict[str, Any]:
    better = "undecided" if abs(mean) < 0.02 else "left" if mean > 0 else "right"
    return {
        **{"left": "pretrained", "right": right, "share": share, "right_share": right_share},
        **{judge: interval(mean, 0.02), "better": better},
    }


def task(judge: str, arms: list[dict[str, Any]], differences: list[dict[str, Any]], example: Any) -> dict[str, Any]:
    """What all tasks' sections have."""
    told = {"arm": "pretrained", "share": 1.0, "items": 280}
    few = {"by": "language", "value": HOSTILE, "items": 3, "few": True}
    return {
        "measure": judge,
        "arms": arms,
        "differences": differences,
        "readings": [
            *(told | {"reading": r, judge: interval(v, 0.03)} for r, v in (("text", 0.6), ("both", 0.7))),
            told | {"reading": "picture", judge: None, "undefined": {judge: f"undefined, because {HOSTILE}"}},
        ],
        "slices": [
            {"by": f"category {HOSTILE}", "value": HOSTILE, "items": 120, judge: interval(0.7, 0.05)},
            {**few, judge: None, "undefined": f"undefined, because {HOSTILE}"},
        ],
        "calibration": [
            {
                **{"arm": "pretrained", "share": 1.0},
                "bins": [
                    {"items": 20, "probability": 0.1, "share": 0.15},
                    {"items": 20, "probability": 0.9, "share": 1},
                ],
            }
        ],
        "verdict": [f"It works {HOSTILE}."],
        "best": [example],
        "worst": [example],
        "suspects": [] if "query" in example else [{k: v for k, v in example.items() if k != "said"}],
    }


@pytest.fixture
def report() -> dict[str, Any]:
    pair = {"left": listing("mug"), "right": listing("cup", None), "match": 1, "score": 0.987}
    guess = {**listing("mug"), "truth": "mugs", "guess": "cups", "probability": 0.66}
    query = {
        **{"query": listing("mug"), "kind": "text", "reciprocal_rank": 0.25, "answers": [listing("cup", None)]},
        "found": [listing("jar") | {"right": False}, listing("cup") | {"right": True}],
    }
    hidden = {"text": "mug", "masked": True, "guess": HOSTILE, "right": False, "field": False, "joined": False}
    marker = {"text": "title", "masked": False, "guess": None, "right": None, "field": True, "joined": False}
    filled = arms(("accuracy", "coverage"), ("pretrained", 1.0, 0.6))
    filled[0] |= {"precision": None, "undefined": {"precision": "undefined, because it was never sure"}}
    match_arms = arms(
        ("pr_auc", "roc_auc"),
        ("pretrained", 1.0, 0.871),
        ("scratch", 1.0, 0.863),
        ("pretrained", 0.2, 0.781),
        ("scratch", 0.2, 0.729),
        ("text baseline", None, 0.760),
        (f"clip {HOSTILE} baseline", 0.2, 0.642),
    )
    match_arms.append(
        {
            **{"arm": "picture baseline", "share": None, "seeds": 1, "pr_auc": None, "roc_auc": None},
            "undefined": dict.fromkeys(("pr_auc", "roc_auc"), f"undefined, because {HOSTILE}"),
        }
    )
    for one in match_arms:
        reached = {"score": 0.7, "precision": 0.91, "recall": 0.42} if one["pr_auc"] else dict.fromkeys(THRESHOLD)
        one |= {"threshold": {"wanted_precision": 0.9, **reached}, "by_seed": [0.5, 0.6]}
    return {
        "about": {
            "title": f"Shop {HOSTILE}",
            "recipe_name": "quickstart",
            "mlim_version": "0.1.0",
            "versions": {"torch": "2.14.1"},
            "stages": [{"name": "ingest", "key": "ab" * 32, "seconds": None}],
        },
        "data": {
            "rows": 1209,
            "listings": 1202,
            "joined": 6,
            "dropped": 1,
            "joined_by_role": {"variant": 6},
            "feeds": [
                {
                    **{"name": f"feed {HOSTILE}.csv", "dialect": "shopify", "read_as": "comma-separated, UTF-8"},
                    **{"rows": 1209, "listings": 1202, "joined": 6, "dropped": 1},
                }
            ],
            "drops": [
                {"reason": f"no title {HOSTILE}", "count": 1, "examples": [{**row("9"), "detail": HOSTILE}]},
                {"reason": "no id", "count": 1, "examples": [{**row(None), "detail": "the id is empty"}]},
            ],
            "mended": [{"reason": "comma", "count": 1, "examples": [{"detail": HOSTILE, "place": "feed.csv, line 8"}]}],
            "parts": {"train": 800, "valid": 100, "test": 300, "left out": 2},
            "split": {
                **{"components": 900, "largest": 7, "could_cross": 455, "cross": 0},
                "kin": {"product group": {"pairs": 455, "cross": 0}},
            },
            "attributes": [
                {"name": f"brand {HOSTILE}", "kind": "text", "missing": 3},
                {"name": "aisle", "kind": "label", "missing": 0},
                {"name": "price", "kind": "fact", "missing": 1202},
            ],
            "labels": [
                {
                    **{"name": f"aisle {HOSTILE}", "classes": 14, "few": 5, "tail_classes": 1, "tail_listings": 2},
                    "largest": [{"name": HOSTILE, "listings": 900}],
                    "smallest": [{"name": HOSTILE, "listings": 2}],
                }
            ],
            "lengths": [{"name": "title", "tenth": 2, "half": 4, "nine_tenths": 9, "longest": 61}],
            "languages": [{"language": HOSTILE, "listings": 1202}],
            "languages_of": 1150,
            "pictures": {
                **{"present": 1161, "absent": 0, "broken": 1, "placeholder": 40},
                "reasons": [
                    {
                        **{"state": "broken", "reason": f"cut short {HOSTILE}", "count": 1},
                        "examples": [{"id": "5", "title": HOSTILE, "picture": "5.jpg"}],
                    },
                    {
                        **{"state": "absent", "reason": None, "count": 1},
                        "examples": [{"id": "6", "title": None, "picture": None}],
                    },
                ],
            },
            "placeholders": [{**listing("blank"), "listings": 40}],
            "kinship": {"same listing": 3},
            "left_out": 2,
            "duplicates": [
                {"listings": 9, "shown": [listing("mug") | {"kept": True}, listing("cup", None) | {"kept": False}]}
            ],
            "cleaning": [
                {
                    **{"rule": "html", "cells": 12},
                    "examples": [
                        {"position": 3, "column": "title", "id": "3", "before": HOSTILE, "after": "mug"},
                        {"position": 4, "column": "title", "id": "4", "before": "<b></b>", "after": None},
                    ],
                }
            ],
            "fixes": [
                {
                    **{"rank": 1, "problem": f"no aisle {HOSTILE}", "listings": 17, "advice": f"fill in {HOSTILE}"},
                    "examples": [{**row("9"), "found": HOSTILE}, {**row(None), "found": None}],
                }
            ],
            "text": {"vocabulary": 2000, "tokens": 34567, "longest": 31, "cut": 2},
        },
        "pretrain": {
            "listings": 400,
            "pictures": 399,
            "left_out": [{"reason": "empty", "count": 1}],
            "parameters": 1_234_567,
            "epochs": 5,
            "steps": 65,
            "seconds": None,
            "samples_per_second": None,
            "data_wait": None,
            "skipped": 2,
            "curve": [
                {"step": s, "epoch": s / 13, "mlm": 5 / s if s > 1 else None, "recon": 0.2, "lr": 1e-3, "grad_norm": 2}
                for s in (1, 2, 3)
            ],
            "valid": [{"step": 65, "epoch": 5.0, "mlm": 2.5, "recon": 0.07}],
            "objectives": {"mlm": 1.0, "recon": 0.5},
            "masking": {"policy": "mam", "modes": [0.5, 0.25, 0.25], "light": 0.15},
        },
        "samples": [
            {
                **listing("mug"),
                "mode": "heavy text",
                "masked_picture": "mug",
                "redrawn": "lost",
                "tokens": [marker, hidden],
            }
        ],
        "probes": {
            "part": "test",
            "listings": 400,
            "draws": 4,
            "bootstrap": 2000,
            "blank": "#ffffff",
            "checkpoint": f"folder {HOSTILE}",
            "left_out": {"recon": f"not trained {HOSTILE}"},
            "mlm": {
                "true": 2.134,
                "random": 2.389,
                "blank": 2.758,
                "random_minus_true": {"mean": 0.255, "low": 0.208, "high": 0.304},
                "blank_minus_true": {"mean": 0.624, "low": 0.552, "high": 0.701},
            },
            "recon": {
                "true": 0.0712,
                "random": 0.0797,
                "none": 0.0718,
                "random_minus_true": {"mean": 0.0085, "low": 0.0064, "high": 0.0107},
                "none_minus_true": {"mean": 0.0006, "low": -0.0011, "high": 0.0023},
            },
        },
        "match": {
            **task(
                "pr_auc",
                match_arms,
                [
                    difference("scratch", 1.0, "pr_auc", 0.008, 1.0),
                    difference("scratch", 0.2, "pr_auc", 0.052, 0.2),
                    difference("text baseline", 1.0, "pr_auc", 0.111),
                    {**difference("picture baseline", 1.0, "pr_auc", 0.0), "pr_auc": None},
                ],
                pair,
            ),
            "pairs": {
                **{p: {"pairs": 300, "positives": 100} for p in PARTS},
                "dropped": [{"reason": "across parts", "count": 17}],
                "mined": {"by": "group", "left_out": 8, **{p: {"products": 90, "wanted": 200} for p in PARTS}},
            },
            "curve": [{"arm": "pretrained", "share": 1.0, "points": [[0.0, 1.0], [0.5, 0.9], [1.0, 0.33]]}],
            "clusters": [
                {
                    **{"arm": "pretrained", "share": 1.0, "listings": 300, "products": 100, "candidates": 900},
                    **{"candidate_recall": 0.9, "threshold": 0.8, "contradicted": 7, "split": 3},
                    **{kind: dict.fromkeys(AGREEMENT, 0.8) for kind in ("connected", "clusters")},
                }
            ],
        },
        "classify": {
            **task(
                "macro_f1",
                arms(
                    ("macro_f1", "accuracy", "department.accuracy"),
                    ("pretrained", 1.0, 0.70),
                    ("scratch", 1.0, 0.75),
                    ("both baseline", 1.0, 0.80),
                ),
                [
                    difference("scratch", 1.0, "macro_f1", -0.05, 1.0),
                    difference("both baseline", 1.0, "macro_f1", -0.10, 1.0),
                ],
                guess,
            ),
            "label": "aisle",
            "classes": 2,
            "levels": ["department", "aisle"],
            "several": False,
            "listings": dict.fromkeys(PARTS, 400),
            "unlabelled": dict.fromkeys(PARTS, 4),
            "rare": {
                **{"fewer_than": 3, "then": "group", "classes": 4, "names": [HOSTILE]},
                "listings": dict.fromkeys(PARTS, 3),
            },
            "file": {"name": f"{HOSTILE}.csv", "dropped": [{"reason": "unknown id", "count": 2}]},
            "unseen": 2,
            "per_class": [{"class": HOSTILE, "support": 5, "f1": 0.5, "precision": 0.4, "recall": 0.6667}],
        },
        "retrieve": {
            **task("mrr", arms(("mrr", "r_at_1"), ("pretrained", 1.0, 0.5)), [], query),
            **{"by": "group", "across": None, "asked_with": "text", "kinds": ["text"], "listings": {"train": 400}},
            **{name: dict.fromkeys(PARTS, 300) for name in ("queries", "gallery")},
            "undefined": {"mrr": f"undefined, because {HOSTILE}"},
        },
        "fill": {
            **task("accuracy", filled, [], {**guess, "attribute": HOSTILE, "said": False}),
            **{"answer": "classes", "fewer_than": 3, "wanted_precision": 0.9, "questions": dict.fromkeys(PARTS, 300)},
            "attributes": [
                {
                    **{"attribute": HOSTILE, "values": 7, "threshold": None},
                    **{name: dict.fromkeys(PARTS, 30) for name in ("listings", "other", "missing")},
                }
            ],
            "by_attribute": [{"attribute": HOSTILE, "items": 300} | filled[0]],
        },
        "recipe": f"name: {HOSTILE}\n",
    }


@pytest.fixture
def pictures() -> dict[str, bytes]:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(file, "PNG")
    return {"mug": file.getvalue()}


class _Tags(HTMLParser):
    """Every start tag with its attributes, and the visible text."""

    VOID = ("meta", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_well_formed_and_needs_nothing_outside(report: dict[str, Any], pictures: dict[str, bytes]) -> None:
    html = render(report, pictures)
    page = _Tags(html)
    assert page.open == []
    assert "http://" not in html and "https://" not in html and "url(" not in html and "@import" not in html
    for tag, attributes in page.tags:
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert attributes.get("href", "#").startswith("#")
        assert tag not in ("script", "link", "iframe", "object", "embed", "form", "base")
    anchors = {a["href"] for tag, a in page.tags if tag == "a"}
    assert anchors == {f"#{a['id']}" for tag, a in page.tags if tag == "section" and a["id"] != "verdict"}


def test_what_a_catalog_brings_is_escaped(report: dict[str, Any], pictures: dict[str, bytes]) -> None:
    html = render(report, pictures)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 15
    assert not any(name.startswith("on") for _, attributes in _Tags(html).tags for name in attributes)


def test_every_number_of_the_probes_is_shown(report: dict[str, Any], pictures: dict[str, bytes]) -> None:
    text = _Tags(render(report, pictures)).text
    for number in ("2.134", "2.389", "2.758", "+0.255", "+0.624", "0.0712", "0.0797", "0.0718", "+0.0085", "+0.0006"):
        assert number in text
    assert "400 held-out listings" in text and "2,000 times" in text
    for span in ("[0.208, 0.304]", "[0.552, 0.701]", "[0.0064, 0.0107]", "[−0.0011, 0.0023]"):
        assert span in text


def test_every_leaf_of_the_report_is_documented(report: dict[str, Any]) -> None:
    documented = list(_documented())
    assert [p for p in _leaves(report) if not any(re.fullmatch(d, p) for d in documented)] == []


def test_every_documented_field_is_in_the_report(report: dict[str, Any]) -> None:
    leaves = set(_leaves(report))
    assert [d for d in _documented(nulls=False) if not any(re.fullmatch(d, p) for p in leaves)] == []


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and not re.match(r"pretrain\.masking\.", path):  # a recipe's own values
        for inner in value:
            yield from _leaves(inner, path + "[]")
    else:
        yield path


def _documented(nulls: bool = True) -> Iterator[str]:
    """Patterns of the paths in docs/report.md, its shapes written out; with `nulls` those that may be null instead."""
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    shapes, fields = text.split("## Shapes")[1].split("\n## ", 1)
    shape = {b.split("\n")[0]: re.findall(r"`([^`]+)`[,:]", b) for b in shapes.split("### ")[1:]}
    for path, kind, null in re.findall(r"^- `([^`]+)`(?: \((\w+)( or null)?\))?: \S", fields, re.MULTILINE):
        written = [f"{path}.{inner}" for inner in shape[kind]] if kind else [path]
        for leaf in [*written, *([path] if null and nulls else [])]:
            yield re.sub(r"<\w+>", r"[^.]+", re.escape(leaf))


def test_tasks_show_curves_readings_slices_and_what_is_undefined(
    report: dict[str, Any], pictures: dict[str, bytes]
) -> None:
    html = render(report, pictures)
    text = _Tags(html).text
    for name in ("match", "classify", "retrieve", "fill"):
        assert len(re.findall(f'<section id="{name}">', html)) == 1
    assert html.count('aria-label="PR AUC by labels"') == 1 and "macro-F1 by labels" not in html  # of two shares, one
    assert html.count('aria-label="How often it is right"') == 4
    assert "With text, with pictures, with both" in text and "on the same 280 pairs" in text
    assert text.count(f"undefined, because {HOSTILE}") >= 6  # an arm, the reason below all measures, slices
    assert text.count("few") >= 4
    assert f"clip {HOSTILE} baseline" in text and "accuracy, department" in text
    assert "asked by its text; the first right one is in place 4: cup" in text
    assert text.count("Labels that are probably wrong") == 3  # of queries there are none


def test_a_task_of_which_nothing_could_be_measured(report: dict[str, Any]) -> None:
    report["match"] |= {"arms": [], "differences": [], "readings": [], "slices": [], "curve": [], "calibration": []}
    report["match"]["verdict"] = ["Nothing could be measured."]
    text = _Tags(render(report, {})).text
    assert "Nothing could be measured." in text and "PR AUC in matching" not in text


def test_each_objective_that_was_trained_has_a_chart(report: dict[str, Any], pictures: dict[str, bytes]) -> None:
    report["pretrain"]["objectives"] = {"mlm": 1.0, "itm": 2.0}
    for point in (*report["pretrain"]["curve"], *report["pretrain"]["valid"]):
        point["itm"] = point.pop("recon")
    del report["samples"][0]["redrawn"]
    text = _Tags(render(report, pictures)).text
    assert "MLM loss" in text and "ITM loss" in text and "RECON loss" not in text
    assert "ITM × 2.00" in text and "what it redrew" not in text


def test_without_a_training_there_are_no_curves(report: dict[str, Any], pictures: dict[str, bytes]) -> None:
    report["pretrain"] |= {"curve": [], "valid": [], "epochs": 0, "steps": 0}
    text = _Tags(render(report, pictures)).text
    assert "the network is as it starts" in text and "MLM loss" not in text and "Held-out losses" not in text


@pytest.mark.parametrize("absent", ["pretrain", "samples", "probes", "match", "classify", "retrieve", "fill", "recipe"])
def test_an_absent_section_is_left_out(report: dict[str, Any], pictures: dict[str, bytes], absent: str) -> None:
    del report[absent]
    page = _Tags(render(report, pictures))
    ids = [a.get("id") for tag, a in page.tags if tag == "section"]
    assert (absent in ids) == (absent == "recipe")  # versions and keys stay
    assert "The data" in page.text


def test_data_alone_makes_a_page(report: dict[str, Any]) -> None:
    text = _Tags(render({k: report[k] for k in ("about", "data")}, {})).text
    assert "A catalog of 1,202 listings with 1,161 usable pictures." in text


def test_the_page_of_a_catalog_alone(report: dict[str, Any], pictures: dict[str, bytes]) -> None:
    del report["data"]["text"]  # there are no tokens yet
    html = render_catalog(f"shop {HOSTILE}", report["data"], pictures)
    page = _Tags(html)
    assert page.open == [] and "<script" not in html and "http://" not in html and "https://" not in html
    for said in (
        "1,209 rows were read: 1,202 listings, 6 further rows of the same products, 1 dropped, each with its reason",
        "1,161 usable, 0 absent, 1 broken, 40 placeholders",
        "Of 455 pairs of kin that could lie on two sides, 0 do: nothing tested was seen in training",
        "guessed from the words of 1,150 listings",
        "on 40 listings",
        "and 7 more",
    ):
        assert said in page.text
    assert html.count("data:image/png;base64,") == 2 and html.count("no picture</span>") == 1
    report["data"]["split"]["cross"] = 3
    assert "nothing tested was seen" not in render_catalog("shop", report["data"], pictures)


def test_empty_galleries_and_lists_are_fine(report: dict[str, Any]) -> None:
    text = _Tags(render(_emptied(copy.deepcopy(report)), {})).text
    assert "None to show." in text


def _emptied(value: Any) -> Any:
    return (
        {k: _emptied(v) for k, v in value.items()}
        if isinstance(value, dict)
        else []
        if isinstance(value, list)
        else value
    )


def test_the_verdict_says_which_of_the_two_it_is(report: dict[str, Any]) -> None:
    answers = {f.question: f.answer for f in verdict.findings(report)}
    assert answers == {
        "Do pictures and words inform each other?": "Yes, both ways",
        "Does matching beat the best baseline?": "Yes: 0.871 against 0.760",
        "Does pre-training pay for matching?": "Undecided with all labels; yes with a fifth of the labels",
        "Does classification beat the best baseline?": "No: 0.700 against 0.800",
        "Does pre-training pay for classification?": "No",
    }


def test_an_interval_that_touches_zero_decides_nothing() -> None:
    assert verdict.above_zero({"mean": 0.1, "low": 0.0, "high": 0.2}) == "undecided"
    assert verdict.above_zero({"mean": 0.1, "low": 0.001, "high": 0.2}) == "yes"
    assert verdict.above_zero({"mean": -0.1, "low": -0.2, "high": -0.001}) == "no"


def test_one_way_and_no_way_are_said(report: dict[str, Any]) -> None:
    report["probes"]["recon"]["random_minus_true"]["low"] = -0.001
    assert verdict.findings(report)[0].answer == "One way"
    report["probes"]["mlm"]["random_minus_true"]["low"] = -0.001
    assert verdict.findings(report)[0].answer == "Not shown"


def test_labels_in_words() -> None:
    words = [labels_in_words(s) for s in (1.0, 0.2, 0.03, None)]
    assert words == ["all labels", "a fifth of the labels", "3% of the labels", "no labels"]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 1.0], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([-0.0011, 0.0107], (-0.0025, 0.0, 0.0025, 0.005, 0.0075, 0.01, 0.0125)),
        ([3.0, 3.0], (2.4, 2.6, 2.8, 3.0, 3.2, 3.4, 3.6)),
        ([], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    ],
)
def test_axes_have_round_ends_that_cover_the_values(values: list[float], ticks: tuple[float, ...]) -> None:
    assert charts.scale(values, most=6).ticks == pytest.approx(ticks)


def test_tick_labels_show_the_whole_step() -> None:
    assert [charts.scale([0, 0.01], 4).label(t) for t in (0.0, 0.0025)] == ["0.0000", "0.0025"]
    assert charts.scale([0, 4000], 4).label(2000) == "2,000"


def test_thinning_keeps_means() -> None:
    assert charts.thin([(float(i), 2.0 * i) for i in range(6)], most=2) == [(1.0, 2.0), (4.0, 8.0)]
    assert charts.thin([]) == []


def test_a_line_goes_where_its_numbers_say() -> None:
    svg = charts.chart("t", [charts.Line("a", "s-pre", [(0.0, 0.0), (1.0, 1.0)])], "x", unit=True).svg
    low = f"{charts.LEFT},{charts.HEIGHT - charts.BOTTOM}"
    high = f"{charts.WIDTH - charts.RIGHT},{charts.TOP}"
    x0, y0, x1, y1 = map(float, re.split("[ ,]", re.findall(r'points="([^"]+)"', svg)[0]))
    assert (x0, y0, x1, y1) == tuple(float(n) for n in f"{low},{high}".split(","))
