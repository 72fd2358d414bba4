"""The report's answers in plain words, read off the intervals: an interval that holds zero decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from workbench.evaluate.compare import labels_in_words

Answer = Literal["yes", "no", "undecided"]
Interval = Mapping[str, float]

ARM_NAMES = {
    "pretrained": "Pre-trained",
    "scratch": "From scratch",
    "untuned": "Pre-trained, not tuned",
    "cross": "Both listings read together",
    "together": "One network for all tasks",
    "text baseline": "Text baseline",
    "picture baseline": "Picture baseline",
    "both baseline": "Text + picture baseline",
    "trees baseline": "Trees baseline",
    "majority baseline": "Majority baseline",
}
METRIC_NAMES = {
    "pr_auc": "PR AUC",
    "roc_auc": "ROC AUC",
    "recall_at_precision": "recall at the wanted precision",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "mrr": "MRR",
    "r_at_1": "R@1",
    "r_at_5": "R@5",
    "r_at_10": "R@10",
    "ndcg_at_10": "nDCG@10",
    "coverage": "share answered",
    "precision": "right answers",
}
TASKS = {"match": "matching", "classify": "classification", "retrieve": "retrieval", "fill": "filling in"}


class Evidence(NamedTuple):
    """A difference behind an answer."""

    label: str
    interval: Interval
    digits: int


class Finding(NamedTuple):
    """A question, its answer in a few words, the same as a sentence, and what it rests on."""

    question: str
    answer: str
    tone: Literal["good", "part", "bad", "open"]
    sentence: str
    evidence: list[Evidence]


def findings(report: Mapping[str, Any]) -> list[Finding]:
    """What the report's sections allow to say, in the order a reader asks."""
    probes = report.get("probes", {})
    found = [_talk(probes)] if any(loss in probes for loss in _TALK) else []
    for name in TASKS:
        if name in report:
            found += [*_against_baseline(name, report[name]), *_pretraining_pays(name, report[name])]
    return found


def above_zero(interval: Interval) -> Answer:
    """yes: wholly above zero; no: wholly below; undecided: zero lies within."""
    return "yes" if interval["low"] > 0 else "no" if interval["high"] < 0 else "undecided"


def arm_name(arm: str) -> str:
    """An arm as a line's head; a rival is called as its recipe calls it."""
    return ARM_NAMES.get(arm, arm)


def in_text(arm: str) -> str:
    """An arm's name within a sentence."""
    name = ARM_NAMES.get(arm, arm)
    return name[:1].lower() + name[1:] if arm in ARM_NAMES else name


def metric_name(metric: str) -> str:
    """A measure as a column's head; that of a part of a task, such as a level, says so."""
    part, _, name = metric.rpartition(".")
    return METRIC_NAMES.get(name, name.replace("_", " ")) + (f", {part}" if part else "")


def interval_of(value: Any) -> bool:
    """Whether this field of an arm is an interval: a measure."""
    return isinstance(value, dict) and value.keys() == {"mean", "low", "high"}


def main_arm(task: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The pre-trained network with the most labels."""
    return max((a for a in task["arms"] if a["arm"] == "pretrained"), key=lambda a: a["share"] or 0, default=None)


def _talk(probes: Mapping[str, Any]) -> Finding:
    asked = [loss for loss in _TALK if loss in probes]
    gaps = {loss: probes[loss]["random_minus_true"] for loss in asked}
    shown = [loss for loss in asked if above_zero(gaps[loss]) == "yes"]
    answer = ("Yes, both ways" if len(shown) == 2 else "One way") if shown else "Not shown"
    clauses = [_TALK[loss].does for loss in shown] + [_TALK[loss].not_shown for loss in asked if loss not in shown]
    if len(shown) == 2:
        clauses = ["the model uses pictures to guess hidden words, and words to redraw pictures"]
    elif not shown:
        clauses = ["it is not shown that pictures and words inform each other"]
    return Finding(
        "Do pictures and words inform each other?",
        answer,
        "good" if len(shown) == 2 else "part" if shown else "open",
        f"On products it had never seen, {'; '.join(clauses)}.",
        [Evidence(_TALK[loss].evidence, gaps[loss], _TALK[loss].digits) for loss in asked],
    )


class _Talk(NamedTuple):
    does: str
    not_shown: str
    evidence: str
    digits: int


_TALK = {
    "mlm": _Talk(
        "the model uses pictures to guess hidden words",
        "that pictures help it to guess hidden words is not shown",
        "a wrong picture makes words harder",
        3,
    ),
    "recon": _Talk(
        "the model uses words to redraw pictures",
        "that words help it to redraw pictures is not shown",
        "a wrong text makes pictures harder",
        4,
    ),
}


def _against_baseline(name: str, task: Mapping[str, Any]) -> Iterator[Finding]:
    metric, arm = task["measure"], main_arm(task)
    means = {(a["arm"], a["share"]): a[metric]["mean"] for a in task["arms"] if a[metric]}
    rivals = [d for d in _gains(task) if arm and d["share"] == arm["share"] and d["right"].endswith(" baseline")]
    if arm is None or not rivals:
        return
    best = max(rivals, key=lambda d: means[d["right"], d["right_share"]])
    answer, tone, words = _JUDGED[above_zero(best[metric])]
    yield Finding(
        f"Does {TASKS[name]} beat the best baseline?",
        f"{answer}: {arm[metric]['mean']:.3f} against {means[best['right'], best['right_share']]:.3f}",
        tone,
        f"Its {TASKS[name]} {words} the best baseline.",
        [Evidence(f"{metric_name(metric)} gained over the {in_text(best['right'])}", best[metric], 3)],
    )


_JUDGED: dict[Answer, tuple[str, Literal["good", "bad", "open"], str]] = {
    "yes": ("Yes", "good", "beats"),
    "no": ("No", "bad", "falls behind"),
    "undecided": ("Undecided", "open", "cannot be told apart from"),
}
_PAYS: dict[Answer, tuple[str, str]] = {
    "yes": ("Yes", "pays with"),
    "no": ("No", "does harm with"),
    "undecided": ("Undecided", "makes no proven difference with"),
}


def _pretraining_pays(name: str, task: Mapping[str, Any]) -> Iterator[Finding]:
    metric = task["measure"]
    gains = {d["share"]: d[metric] for d in _gains(task) if d["right"] == "scratch"}
    gains = dict(sorted(gains.items(), reverse=True))
    if not gains:
        return
    by_answer: dict[Answer, list[str]] = {}
    for share, gain in gains.items():
        by_answer.setdefault(above_zero(gain), []).append(labels_in_words(share))
    if len(by_answer) == 1:
        answer = _PAYS[next(iter(by_answer))][0]
    else:
        answer = "; ".join(f"{_PAYS[a][0]} with {' and '.join(shares)}" for a, shares in by_answer.items()).capitalize()
    clauses = "; it ".join(f"{_PAYS[a][1]} {' and with '.join(shares)}" for a, shares in by_answer.items())
    tones: dict[Answer, Literal["good", "bad", "open"]] = {"yes": "good", "no": "bad", "undecided": "open"}
    yield Finding(
        f"Does pre-training pay for {TASKS[name]}?",
        answer,
        tones[next(iter(by_answer))] if len(by_answer) == 1 else "part",
        f"For {TASKS[name]}, pre-training {clauses}.",
        [Evidence(f"{metric_name(metric)} gained with {labels_in_words(s)}", gain, 3) for s, gain in gains.items()],
    )


def _gains(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the pre-trained network gains over others, where it is known."""
    return [d for d in task["differences"] if d["left"] == "pretrained" and d[task["measure"]]]
