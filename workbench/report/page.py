"""report.json and its pictures -> one HTML file that needs nothing else: no server, no script, no address outside."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workbench.evaluate.compare import labels_in_words
from workbench.report import charts, verdict
from workbench.report.tasks import styles_of, tasks_of

OBJECTIVES = {
    "mlm": "Words: MLM loss, nats a hidden token",
    "recon": "Pictures: RECON loss, squared error a pixel",
    "itm": "Do text and picture belong together? ITM loss, nats a listing",
    "itc": "Which text and picture belong together? ITC loss, nats a listing",
}


def render(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page of a report (fields: docs/report.md); `pictures` are PNG bytes by the names the report uses.

    A picture the report names and `pictures` lacks is shown as an empty frame.
    """
    return (
        environment(pictures)
        .get_template("page.html")
        .render(
            report,
            findings=verdict.findings(report),
            loss_charts=_loss_charts(report["pretrain"]) if "pretrain" in report else [],
            tasks=tasks_of(report),
            styles=styles_of(report),
        )
    )


def render_catalog(name: str, data: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page of a catalog alone, before any training; `data` is that section of a report."""
    return environment(pictures).get_template("catalog.html").render(name=name, data=data)


def render_ablation(content: Mapping[str, Any]) -> str:
    """The page of `mlim ablate`; `content` is its table (workbench/ablate/table.py)."""
    return environment({}).get_template("ablation.html").render(content)


def environment(pictures: Mapping[str, bytes]) -> Environment:
    """The templates of this folder, with what they share; `pictures` are PNG bytes by the names that they use."""
    here = Path(__file__).parent
    env = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.filters |= {
        "count": _count,
        "number": _number,
        "signed": _signed,
        "interval": _interval,
        "share": _share,
        "duration": _duration,
        "labels": labels_in_words,
        "arm": verdict.arm_name,
        "metric": verdict.metric_name,
        "in_text": verdict.in_text,
        "answer": verdict.above_zero,
    }
    env.globals |= {
        "data_uri": {name: "data:image/png;base64," + base64.b64encode(png).decode() for name, png in pictures.items()},
        "css": Markup((here / "page.css").read_text()),  # ours, not the user's
        "dot": charts.dot,
        "ruler": charts.ruler,
        "scale_of": _scale_of,
        "task_names": verdict.TASKS,
    }
    return env


def _loss_charts(pretrain: Mapping[str, Any]) -> list[charts.Chart]:
    """Each objective, the learning rate and the gradient's norm by epoch; none without a training."""
    if not pretrain["curve"]:
        return []

    def points(rows: list[Mapping[str, Any]], field: str) -> list[charts.Point]:
        return charts.thin([(r["epoch"], r[field]) for r in rows if r[field] is not None])

    def losses(field: str) -> charts.Chart:
        valid = charts.Line("held out", "s-pre", points(pretrain["valid"], field), dots=True)
        train = charts.Line("training", "s-train", points(pretrain["curve"], field))
        return charts.chart(OBJECTIVES[field], [valid, train], "epoch")

    def one(title: str, field: str) -> charts.Chart:
        return charts.chart(title, [charts.Line(title.lower(), "s-train", points(pretrain["curve"], field))], "epoch")

    return [
        *map(losses, pretrain["objectives"]),
        one("Learning rate", "lr"),
        one("Norm of the gradient", "grad_norm"),
    ]


def _scale_of(intervals: list[Mapping[str, float] | None], zero: bool = False) -> charts.Scale:
    values = [i[k] for i in intervals if i for k in ("low", "mean", "high")]
    if zero:
        values.append(0.0)
    elif len(set(values)) == 1:
        values += [0.0, 1.0]  # a share, which alone has no scale of its own
    return charts.scale(values, most=6)


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _signed(value: float, digits: int = 3) -> str:
    return f"{value:+,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _interval(value: Mapping[str, float], digits: int = 3) -> str:
    return f"[{_number(value['low'], digits)}, {_number(value['high'], digits)}]"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
