"""What the page shows of a task: its results.json, arranged for the eye."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from workbench.evaluate.compare import curves, labels_in_words
from workbench.report import charts
from workbench.report.verdict import TASKS, arm_name, interval_of, main_arm, metric_name

Json = Mapping[str, Any]
STYLES = {
    "pretrained": "s-pre",
    "scratch": "s-scratch",
    "cross": "s-cross",
    "together": "s-together",
    "text baseline": "s-text",
    "picture baseline": "s-picture",
    "both baseline": "s-both",
    "trees baseline": "s-trees",
}
FURTHER = ("s-e1", "s-e2", "s-e3")  # styles of rivals that only the recipe can name
READINGS = ("text", "picture", "both")


class Shown(NamedTuple):
    """A task's section of the page; arms and differences are of the most labels, `fewer…` of the others."""

    name: str
    results: Json
    judge: str
    main: Mapping[str, float] | None  # the pre-trained network, judged
    arms: list[Json]
    fewer_arms: list[Json]
    differences: list[Json]
    fewer_differences: list[Json]
    further: list[str]  # the measures beside the judge
    reasons: list[str]  # why measures are undefined
    readings: list[Json]  # one an arm, with an interval or None by reading
    slices: list[tuple[str, list[Json]]]
    charts: list[charts.Chart]


def tasks_of(report: Json) -> list[Shown]:
    """The tasks of a report, in the order in which they are shown."""
    return [_shown(name, report[name], styles_of(report)) for name in TASKS if name in report]


def styles_of(report: Json) -> dict[str, str]:
    """The style of each arm of any task, the same in all of them."""
    named = dict.fromkeys(a["arm"] for name in TASKS if name in report for a in report[name]["arms"])
    unknown = [arm for arm in named if arm not in STYLES]
    return STYLES | {arm: FURTHER[place % len(FURTHER)] for place, arm in enumerate(unknown)}


def _shown(name: str, results: Json, styles: Mapping[str, str]) -> Shown:
    judge, main = results["measure"], main_arm(results)
    most = main["share"] if main else 1.0

    def parted(lines: Sequence[Json]) -> tuple[list[Json], list[Json]]:
        here = [line for line in lines if line["share"] in (most, None)]
        return here, [line for line in lines if line["share"] not in (most, None)]

    arms = sorted(results["arms"], key=lambda a: -a[judge]["mean"] if a[judge] else math.inf)
    differences = [d for d in results["differences"] if d[judge]]
    return Shown(
        name,
        results,
        judge,
        main[judge] if main else None,
        *parted(arms),
        *parted(differences),
        list(dict.fromkeys(m for arm in arms for m in measures(arm) if m != judge)),
        list(dict.fromkeys(f"{metric_name(m)}: {why}" for arm in arms for m, why in arm.get("undefined", {}).items())),
        _readings(results, judge, most),
        [(by, list(lines)) for by, lines in groupby(results.get("slices", []), key=lambda line: line["by"])],
        [*_learning(arms, judge, styles), *_precision_recall(results, styles), *_reliability(results, styles)],
    )


def measures(arm: Json) -> Iterable[str]:
    """The names of an arm's measures, defined or not."""
    return [*(name for name, value in arm.items() if interval_of(value)), *arm.get("undefined", {})]


def _readings(results: Json, judge: str, most: float | None) -> list[Json]:
    """One line an arm at the most labels, the most telling first."""
    lines: dict[str, dict[str, Any]] = {}
    for told in results.get("readings", []):
        if told["share"] in (most, None):
            nothing = {"arm": told["arm"], "items": told["items"], **dict.fromkeys(READINGS)}
            lines.setdefault(told["arm"], nothing)[told["reading"]] = told[judge]
    return list(lines.values())


def _learning(arms: Sequence[Json], judge: str, styles: Mapping[str, str]) -> list[charts.Chart]:
    """The judge by labels, if there are at least two shares; arms that need no labels go straight across."""
    shares = sorted({a["share"] for a in arms if a["share"] is not None and a[judge]})
    if len(shares) < 2:
        return []
    at = {share: math.log10(share) for share in shares}
    lines = []
    for curve in curves(arms, judge):
        points = [(at[p["share"]], p) for p in curve["points"] if p["share"] is not None]
        points = points or [(x, curve["points"][0]) for x in (at[shares[0]], at[shares[-1]])]
        spans = [(x, p["low"], p["high"]) for x, p in points]
        drawn = [(x, p["mean"]) for x, p in points]
        lines.append(charts.Line(arm_name(curve["arm"]), styles[curve["arm"]], drawn, dots=True, spans=spans))
    ticks = [(at[share], f"{share:.0%}" if share >= 0.01 else f"{share:.1%}") for share in shares]
    return [charts.chart(f"{metric_name(judge)} by labels", lines, "share of the labels", x_ticks=ticks)]


def _precision_recall(results: Json, styles: Mapping[str, str]) -> list[charts.Chart]:
    """Precision by recall, one chart for each share of the labels, the baselines that need none in all of them."""
    found = results.get("curve", [])
    shares = sorted({c["share"] for c in found if c["share"] is not None}, reverse=True) or [None]
    return [
        charts.chart(
            f"Precision by recall, {labels_in_words(share)}",
            [
                charts.Line(arm_name(c["arm"]), styles[c["arm"]], charts.thin(c["points"]))
                for c in found
                if c["share"] in (share, None)
            ],
            "recall",
            unit=True,
        )
        for share in shares
        if found
    ]


def _reliability(results: Json, styles: Mapping[str, str]) -> list[charts.Chart]:
    """How often an answer of so much probability is right; on the diagonal it is what it says."""
    lines = [
        charts.Line(arm_name(told["arm"]), styles[told["arm"]], points, dots=True)
        for told in results.get("calibration", [])
        if (points := [(b["probability"], b["share"]) for b in told["bins"]])
    ]
    exact = charts.Line("as it says", "s-exact", [(0.0, 0.0), (1.0, 1.0)])
    return [charts.chart("How often it is right", [*lines, exact], "probability", unit=True)] if lines else []
