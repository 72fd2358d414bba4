"""What may be said of arms: differences on the same resamples, findings in words, curves."""

import numpy as np

from workbench.evaluate.compare import Measured, arm_of, curves, differences, readings_in_words, verdict

STREAM = np.random.default_rng(0)
NOISE = STREAM.normal(size=500) * 0.01


def measured(arm: str, share: float | None, value: float) -> Measured:
    noise = NOISE + STREAM.normal(size=500) * 0.001  # alike on the same resamples
    return Measured(arm, share, {"pr_auc": [np.concatenate([[value], value + noise])]})


ARMS = [
    measured("pretrained", 1.0, 0.9),
    measured("pretrained", 0.1, 0.6),
    measured("scratch", 1.0, 0.9),
    measured("scratch", 0.1, 0.5),
    measured("text baseline", None, 0.65),
    measured("both baseline", 1.0, 0.8),
    measured("both baseline", 0.1, 0.55),
    measured("picture baseline", 1.0, 0.7),
]


def test_arms_meet_at_the_same_share_and_rivals_without_one_everywhere() -> None:
    met = [(d["share"], d["right"], d["right_share"]) for d in differences(ARMS, "pr_auc")]
    assert met == [
        (1.0, "scratch", 1.0),
        (1.0, "text baseline", None),
        (1.0, "both baseline", 1.0),
        (1.0, "picture baseline", 1.0),
        (0.1, "scratch", 0.1),
        (0.1, "text baseline", None),
        (0.1, "both baseline", 0.1),
    ]


def test_the_verdict_is_plain_at_every_share() -> None:
    found = differences(ARMS, "pr_auc")
    lines = verdict([arm_of(a) for a in ARMS], found, "pr_auc", "PR AUC")
    assert [line.partition(":")[0] for line in lines] == [
        "With all labels, the pre-trained network beats the best baseline, both",
        "With a tenth of the labels, the pre-trained network falls behind the best baseline, text",
        "With all labels, pre-training makes no proven difference",
        "With a tenth of the labels, pre-training pays",
    ]
    assert "PR AUC 0.900 against 0.800, +0.100 [" in lines[0]


def test_what_is_undefined_is_null_with_its_reason_and_nobody_compares_it() -> None:
    nothing = [Measured(arm, 1.0, {"pr_auc": [np.full(4, np.nan)]}) for arm in ("pretrained", "scratch")]
    arms = [arm_of(arm, {"pr_auc": "undefined, because so"}) for arm in nothing]
    assert arms[0]["pr_auc"] is None and arms[0]["undefined"] == {"pr_auc": "undefined, because so"}
    found = differences(nothing, "pr_auc")
    assert found[0]["pr_auc"] is None and found[0]["better"] == "undecided"
    assert verdict(arms, found, "pr_auc", "PR AUC") == [] and curves(arms, "pr_auc") == []
    assert verdict([], [], "pr_auc", "PR AUC") == []


def test_one_network_for_all_tasks_is_held_against_one_of_its_own() -> None:
    arms = [measured("pretrained", 1.0, 0.7), measured("together", 1.0, 0.9)]
    (line,) = verdict([arm_of(a) for a in arms], differences(arms, "pr_auc"), "pr_auc", "PR AUC")
    assert line.startswith("With all labels, one network for all tasks is better than one of its own: PR AUC -0.2")


def test_both_modalities_against_either() -> None:
    values = {arm: measured(arm, 1.0, value).values("pr_auc") for arm, value in (("both", 0.9), ("text", 0.8))}
    assert readings_in_words(values | {"picture": values["both"]}, "PR AUC")[1] == (
        "Text and picture cannot be told apart from the picture alone: PR AUC +0.000 [+0.000, +0.000]."
    )
    (line,) = readings_in_words(values, "PR AUC")
    assert line.startswith("Text and picture are better than the text alone: PR AUC +0.100 [")
    assert readings_in_words({"text": values["text"]}, "PR AUC") == []
    assert readings_in_words({"both": np.full(3, np.nan), "text": np.full(3, np.nan)}, "PR AUC") == []


def test_learning_curves_go_from_few_labels_to_all() -> None:
    found = curves([arm_of(a) for a in ARMS], "pr_auc")
    assert [(c["arm"], [p["share"] for p in c["points"]]) for c in found] == [
        ("pretrained", [0.1, 1.0]),
        ("scratch", [0.1, 1.0]),
        ("text baseline", [None]),
        ("both baseline", [0.1, 1.0]),
        ("picture baseline", [1.0]),
    ]
