"""ablation.json -> the one table: for a terminal, and as Markdown to paste."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.ablate.table import interval

Json = Mapping[str, Any]
Cell = list[str]  # its lines
SIGNS = {1: "better", -1: "worse", 0: "undecided"}


def rows(content: Json) -> Iterator[list[Cell]]:
    """The header, then a row a variant."""
    losses, goals = (
        list(dict.fromkeys(n for v in content["variants"] for n in v[kind])) for kind in ("losses", "seconds")
    )
    yield [
        ["variant"],
        *([name] for name in content["measures"]),
        *([f"held-out {name}"] for name in losses),
        *([f"{goal}, s"] for goal in goals),
    ]
    for v in content["variants"]:
        yield [
            [v["name"]],
            *(_measure(v["measures"].get(name)) for name in content["measures"]),
            *(_number(v["losses"].get(name), 4) for name in losses),
            *(_number(v["seconds"].get(goal), 0) for goal in goals),
        ]


def _measure(value: Json | None) -> Cell:
    if value is None:
        return ["–"]
    lines = [interval(value)]
    if gain := value.get("difference"):
        lines.append(f"{interval(gain, True)} {SIGNS[gain['sign']]}")
    return [*lines, f"seeds {' '.join(f'{seed:.3f}' for seed in value['by_seed'])}"]


def _number(value: float | None, digits: int) -> Cell:
    return ["–" if value is None else f"{value:.{digits}f}"]


def markdown(content: Json) -> str:
    """The table, the verdict, and what each variant changes."""
    header, *lines = ("| " + " | ".join("<br>".join(cell) for cell in row) + " |" for row in rows(content))
    rule = "|" + " --- |" * (header.count(" | ") + 1)
    told = [f"- {line.strip()}" if line.startswith(" ") else f"\n{line}" for line in content["verdict"]]
    sets = [f"- {v['name']}: `{' '.join(v['sets']) or 'as it is'}`" for v in content["variants"]]
    return "\n".join([header, rule, *lines, "", note(content), *told, "", "Variants:", *sets, ""])


def note(content: Json) -> str:
    """How to read the table."""
    first, seeds = content["variants"][0]["name"], content["seeds"]
    return (
        f"Means over {len(seeds)} seeds ({', '.join(map(str, seeds))}); in brackets the 95% interval over resampled "
        f"product groups of the test part; below it the difference from {first} on the same resamples, and each "
        "seed's value. Held-out losses are at the end of pre-training, under the variant's own masks. Seconds are "
        "of one training, mean over the seeds."
    )
