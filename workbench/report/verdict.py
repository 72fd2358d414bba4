"""The report's answers in plain words, read off the intervals: an interval that holds zero decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from workbench.evaluate.compare import labels_in_words

Answer = Literal["yes", "no", "undecided"]
Interval = Mapping[str, float]

METRICS = {"match": "pr_auc", "classify": "macro_f1"}  # the measure by which a task is judged
ARM_NAMES = {
    "pretrained": "Pre-trained",
    "scratch": "From scratch",
    "text baseline": "Text baseline",
    "picture baseline": "Picture baseline",
    "both baseline": "Text + picture baseline",
}
METRIC_NAMES = {"pr_auc": "PR AUC", "macro_f1": "macro-F1", "accuracy": "accuracy"}
TASK_NAMES = {"match": "matching", "classify": "classification"}


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
    for name in ("match", "classify"):
        if name in report:
            found += [*_against_baseline(name, report[name]), *_pretraining_pays(name, report[name])]
    return found


def above_zero(interval: Interval) -> Answer:
    """yes: wholly above zero; no: wholly below; undecided: zero lies within."""
    return "yes" if interval["low"] > 0 else "no" if interval["high"] < 0 else "undecided"


def in_text(arm: str) -> str:
    """An arm's name within a sentence."""
    name = ARM_NAMES.get(arm, arm)
    return name[:1].lower() + name[1:]


def best_baseline(task: Mapping[str, Any], metric: str, share: float | None) -> Mapping[str, Any] | None:
    """The baseline of the highest mean, among those that saw no more labels than `share`."""
    arms = [a for a in task["arms"] if a["arm"].endswith(" baseline") and a["share"] in (None, share)]
    return max(arms, key=lambda a: a[metric]["mean"], default=None)


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
    metric, task_name, arm = METRICS[name], TASK_NAMES[name], main_arm(task)
    baseline = best_baseline(task, metric, arm["share"]) if arm else None
    if arm is None or baseline is None:
        return
    gain = _difference(task, metric, "pretrained", baseline["arm"], arm["share"])
    verdict = above_zero(gain) if gain else "undecided"
    answer, tone, words = _JUDGED[verdict]
    yield Finding(
        f"Does {task_name} beat the best baseline?",
        f"{answer}: {arm[metric]['mean']:.3f} against {baseline[metric]['mean']:.3f}",
        tone,
        f"Its {task_name} {words} the best baseline.",
        [Evidence(f"{METRIC_NAMES[metric]} gained over the {in_text(baseline['arm'])}", gain, 3)] if gain else [],
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
    metric = METRICS[name]
    shares = sorted({a["share"] for a in task["arms"] if a["arm"] == "pretrained"}, key=lambda s: -(s or 0))
    gains = {s: gain for s in shares if (gain := _difference(task, metric, "pretrained", "scratch", s))}
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
        f"Does pre-training pay for {TASK_NAMES[name]}?",
        answer,
        tones[next(iter(by_answer))] if len(by_answer) == 1 else "part",
        f"For {TASK_NAMES[name]}, pre-training {clauses}.",
        [Evidence(f"{METRIC_NAMES[metric]} gained with {labels_in_words(s)}", gain, 3) for s, gain in gains.items()],
    )


def _difference(task: Mapping[str, Any], metric: str, left: str, right: str, share: float | None) -> Interval | None:
    """left − right at a share of the labels, whichever way round it was reported; None where it was not."""
    for d in task["differences"]:
        if d["share"] == share and {d["left"], d["right"]} == {left, right}:
            found: Interval = d[metric]
            if d["left"] == left:
                return found
            return {"mean": -found["mean"], "low": -found["high"], "high": -found["low"]}
    return None
