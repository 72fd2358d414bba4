"""Findings for people, a line each and what to do below it; and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from workbench.doctor.finding import Finding

WIDTH = 22  # of a check's name


def lines(finding: Finding) -> list[tuple[str, str]]:
    """Each line, and its colour."""
    first = f"{finding.state:8}{finding.name:{WIDTH}}  {finding.found}"
    if finding.state == "ok":
        return [(first, "dim")]
    colour = "red" if finding.stops else "yellow"
    return [(first, colour), (f"{'':{WIDTH + 10}}-> {finding.mend}", colour)]


def summary(findings: Sequence[Finding]) -> str:
    """What it comes to."""
    stops = [f.name for f in findings if f.stops]
    absent = [f.name for f in findings if f.state == "missing" and not f.stops]
    others = [f.name for f in findings if f.state in ("warning", "broken") and not f.stops]
    said = [f"what is needed does not work: {', '.join(stops)}" if stops else "everything that is needed works"]
    said += [f"worth a look: {', '.join(others)}"] if others else []
    return "; ".join(said + ([f"not here, and not needed: {', '.join(absent)}"] if absent else []))


def fields(findings: Sequence[Finding], seconds: float) -> dict[str, Any]:
    """All of it."""
    works = not any(finding.stops for finding in findings)
    found = [asdict(finding) | {"stops": finding.stops} for finding in findings]
    return {"works": works, "seconds": round(seconds, 1), "findings": found}
