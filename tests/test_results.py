"""The table of docs/results.md, from made-up results."""

from benchmarks.results import block, put, row, rows, values


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def line(arm: str, share: float | None, mean: float | None, **more: object) -> dict[str, object]:
    return {"arm": arm, "share": share, "pr_auc": None if mean is None else interval(mean), **more}


MATCH = {
    "title": "shop: matching listings",
    "measure": "pr_auc",
    "arms": [
        line("pretrained", 1.0, 0.9),
        line("pretrained", 0.2, 0.8),
        line("scratch", 1.0, 0.85),
        line("scratch", 0.2, None),
        line("text baseline", 1.0, 0.9004),
        line("text baseline", 0.2, 0.7),
    ],
    "readings": [
        line("pretrained", 1.0, 0.5, reading="both"),
        line("pretrained", 1.0, 0.6, reading="text"),
        line("pretrained", 0.2, 0.1, reading="text"),
        line("text baseline", 1.0, 0.7, reading="text"),
        line("scratch", 1.0, 0.4, reading="picture"),
    ],
    "verdict": ["It cannot be told apart."],
}
ARMS = ["pretrained", "scratch", "text baseline"]


def test_a_line_for_each_way_of_asking_and_each_share() -> None:
    assert list(rows("match", MATCH, ARMS)) == [
        "| shop: matching listings, PR AUC: text and picture | **0.900** [0.890, 0.910] | 0.850 [0.840, 0.860] "
        "| **0.900** [0.890, 0.910] |",
        "| shop: matching listings, PR AUC: text removed | – | **0.400** [0.390, 0.410] | – |",
        "| shop: matching listings, PR AUC: picture removed | 0.600 [0.590, 0.610] | – | **0.700** [0.690, 0.710] |",
        "| shop: matching listings, PR AUC: text and picture, 20% of the labels | **0.800** [0.790, 0.810] | – "
        "| 0.700 [0.690, 0.710] |",
    ]


def test_the_main_query_of_retrieving_is_what_its_arms_are_judged_by() -> None:
    section = MATCH | {"title": "shop: found", "asked_with": "text"}
    first = next(rows("retrieve", section, ARMS))
    assert first.startswith("| shop: found, PR AUC: asked with text | **0.900**")


def test_what_learns_from_no_labels_is_in_every_line() -> None:
    lines = [line("text baseline", None, 0.3), line("pretrained", 0.2, 0.2), line("pretrained", 1.0, 0.1)]
    assert {arm: cell["mean"] for arm, cell in values(lines, "pr_auc", [0.2]).items()} == {
        "text baseline": 0.3,
        "pretrained": 0.2,
    }
    assert row("nothing", [None, None]) == "| nothing | – | – |"


def test_the_block_names_the_arms_as_people_do_and_says_what_was_found() -> None:
    made = block({"shop": {"match": MATCH}}, 12.4).splitlines()
    assert made[0] == "| | mlim | from scratch | text |"
    assert "12 minutes in all" in made[-3]
    assert made[-1] == "- *shop: matching listings*: It cannot be told apart."
    assert len({text.count("|") for text in made[:6]}) == 1


def test_the_block_replaces_what_is_between_the_marks_and_nothing_else() -> None:
    page = put("# Results\n\nwords", "one")
    assert page == "# Results\n\nwords\n\n<!-- results -->\none\n<!-- /results -->\n"
    assert put(page + "more\n", "two") == page.replace("one", "two") + "more\n"
