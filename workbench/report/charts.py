"""Small SVG charts, drawn by hand: lines with axes, and dots with intervals. Colours are classes of page.css."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

Point = tuple[float, float]


class Line(NamedTuple):
    """A series of a chart: `style` is its CSS class, `dots` marks each point, `spans` are intervals."""

    name: str
    style: str
    points: Sequence[Point]
    dots: bool = False
    spans: Sequence[tuple[float, float, float]] = ()  # x, and the interval of y


class Chart(NamedTuple):
    """A drawn chart: `lines` are for its legend."""

    title: str
    lines: Sequence[Line]
    svg: Markup


class Scale(NamedTuple):
    """The range of an axis, and where its ticks are."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Where `value` lies between low (0) and high (1)."""
        return (value - self.low) / (self.high - self.low)

    def label(self, value: float) -> str:
        """A tick with as many decimals as its step needs: 1,200 / 0.25 / −0.004."""
        step = self.ticks[1] - self.ticks[0]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        if decimals and round(step, decimals) != round(step, 9):
            decimals += 1  # a step of 2.5 x 10^n
        return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def scale(values: Iterable[float], most: int = 5) -> Scale:
    """A range with round ends that covers `values`, in at most `most` steps of 1, 2, 2.5 or 5 x 10^n."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    unit: float = 10 ** math.floor(math.log10((high - low) / most))
    for step in (unit * k for k in (1, 2, 2.5, 5, 10, 20)):
        first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
        if last - first <= most:
            break
    ticks = tuple(round(n * step, 12) for n in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def thin(points: Sequence[Point], most: int = 160) -> list[Point]:
    """At most `most` points: each the mean of a run of neighbours."""
    run = math.ceil(len(points) / most) or 1
    parts = [points[i : i + run] for i in range(0, len(points), run)]
    return [(sum(x for x, _ in p) / len(p), sum(y for _, y in p) / len(p)) for p in parts]


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 220, 46, 12, 10, 36


def chart(
    title: str,
    series: Sequence[Line],
    x_label: str,
    unit: bool = False,
    x_ticks: Sequence[tuple[float, str]] = (),
) -> Chart:
    """A line chart, the first series on top; `unit` fixes both axes to 0 … 1, `x_ticks` the places named below."""
    shown = [s for s in series if s.points]
    x_axis, y_axis = (
        scale([0.0, 1.0] if unit else [point[axis] for line in shown for point in _extent(line)]) for axis in (0, 1)
    )
    if x_ticks:
        x_axis = Scale(x_ticks[0][0], x_ticks[-1][0], tuple(place for place, _ in x_ticks))
    below = x_ticks or [(place, x_axis.label(place)) for place in x_axis.ticks]
    right, base = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(value: float) -> float:
        return round(LEFT + x_axis.share(value) * (right - LEFT), 1)

    def y(value: float) -> float:
        return round(base - y_axis.share(value) * (base - TOP), 1)

    parts = [f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(t)}" y2="{y(t)}"/>' for t in y_axis.ticks]
    parts += [f'<text x="{LEFT - 6}" y="{y(t) + 4}" class="end">{y_axis.label(t)}</text>' for t in y_axis.ticks]
    parts += [f'<text x="{x(t)}" y="{base + 16}" class="mid">{escape(name)}</text>' for t, name in below]
    parts += [f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 3}" class="mid name">{escape(x_label)}</text>']
    for line in reversed(shown):
        path = " ".join(f"{x(a)},{y(b)}" for a, b in line.points)
        parts.append(f'<polyline class="{escape(line.style)}" points="{path}"/>')
        style = f"{escape(line.style)} span"
        parts += [f'<line class="{style}" x1="{x(a)}" x2="{x(a)}" y1="{y(b)}" y2="{y(c)}"/>' for a, b, c in line.spans]
        if line.dots:
            parts += [f'<circle class="{escape(line.style)}" cx="{x(a)}" cy="{y(b)}" r="3"/>' for a, b in line.points]
    return Chart(title, series, _svg(title, f'class="chart" viewBox="0 0 {WIDTH} {HEIGHT}"', parts))


def _extent(line: Line) -> list[Point]:
    return [*line.points, *((x, y) for x, low, high in line.spans for y in (low, high))]


def dot(interval: Mapping[str, float], axis: Scale, style: str) -> Markup:
    """A dot with its interval on a row as wide as its cell; a hairline at zero where the axis holds it."""
    low, mean, high = (f"{100 * axis.share(interval[k]):.2f}%" for k in ("low", "mean", "high"))
    zero = f"{100 * axis.share(0):.2f}%"
    parts = [f'<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="100%"/>'] if axis.low <= 0 <= axis.high else []
    parts += [f'<line class="{escape(style)}" x1="{low}" x2="{high}" y1="50%" y2="50%"/>']
    parts += [f'<circle class="{escape(style)}" cx="{mean}" cy="50%" r="4.5"/>']
    return _svg("", 'class="dot" aria-hidden="true"', parts)


def ruler(axis: Scale) -> Markup:
    """The axis over a column of dots: its two ends, and zero in place of an end it is close to."""
    zero = axis.share(0) if axis.low < 0 < axis.high else None
    marks = [] if zero is not None and zero < 0.35 else [(axis.low, "", axis.label(axis.low))]
    marks += [] if zero is not None and zero > 0.65 else [(axis.high, "end", axis.label(axis.high))]
    marks += [] if zero is None else [(0.0, "mid", "0")]
    parts = [f'<text class="{css}" x="{100 * axis.share(v):.2f}%" y="11">{text}</text>' for v, css, text in marks]
    return _svg("", 'class="ruler" aria-hidden="true"', parts)


def _svg(title: str, attributes: str, parts: Sequence[str]) -> Markup:
    name = Markup(' role="img" aria-label="{}"').format(title) if title else ""
    return Markup(f"<svg {attributes}{name}>{''.join(parts)}</svg>")  # parts hold numbers and escaped text only
