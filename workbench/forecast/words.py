"""Times and sizes as a person says them: no more digits than are known."""

from __future__ import annotations

import math

_UNITS = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def span(low: float, high: float) -> str:
    """`about 6 to 9 min`; `under 1 s`."""
    if high < 1:
        return "under 1 s"
    size, unit = next((u for u in _UNITS if high >= 1.5 * u[0]), _UNITS[-1])
    least, most = _rounded(low / size), _rounded(high / size)
    return f"about {most} {unit}" if least == most else f"{least} to {most} {unit}"


def exact(seconds: float) -> str:
    """`9 min 22 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size(count: float) -> str:
    """Bytes, two digits of them: `1.3 GB`."""
    units = ["TB", "GB", "MB", "kB", "B"]
    while count >= 995 and len(units) > 1:
        count /= 1000
        units.pop()
    return f"{float(f'{count:.2g}'):,g} {units[-1]}"


def money(low: float, high: float) -> str:
    """Without a currency."""
    least, most = (f"{x:,.2f}" if x < 10 else f"{x:,.0f}" for x in (low, high))
    return f"about {most}" if least == most else f"{least} to {most}"


def _rounded(value: float) -> str:
    """Two digits, one below ten from the half on: 0.4, 3, 7.5 -> 8, 12, 130."""
    if value < 0.95:
        return f"{value:.1g}"
    digits = 0 if value < 9.5 else 1 - math.floor(math.log10(value))
    return f"{round(value, digits):.0f}"
