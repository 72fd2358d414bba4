"""How well `mlim audit` finds swapped pictures, against a baseline and chance.

python benchmarks/audit.py CATALOG WORK [--seed 0] [--share 0.02] [--set KEY=VALUE …]

CATALOG is a folder of *.jsonl feeds with the columns of SELLER (sku, title, keywords, department, aisle, picture,
group) and their pictures. In copies of the feeds below WORK a share of the pictures is swapped, in each feed between
listings of different aisles, *before* the network is trained. Prints the areas under the ROC with 95% intervals over
product groups, of all listings and of those trained on and held out apart, and writes WORK/figures.json. `--share 0`
leaves the listings alone: the first that are found are then real.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, KFold

from workbench.evaluate.intervals import resamples

COLUMNS = {"id": "sku", "title": "title", "picture": "picture", "group": "group"}
OTHERS = {"text": {"keywords": "keywords"}, "labels": {"department": "department", "aisle": "aisle"}}
SIDE, BINS, FOLDS, FIRST = 8, 4, 5, 300
ALPHAS = (0.3, 1.0, 10.0)
RESAMPLES = 300
Floats = NDArray[np.float64]


def swap(catalog: Path, work: Path, seed: int, share: float) -> tuple[pl.DataFrame, set[str]]:
    """Write the copies of the feeds; their listings, and the ids of those that got another's picture."""
    draws, swapped, every = np.random.default_rng(seed), set[str](), []
    for feed in sorted(catalog.glob("*.jsonl")):
        lines = [json.loads(line) for line in feed.read_text("utf-8").splitlines()]
        order = draws.permutation([i for i, line in enumerate(lines) if (catalog / line["picture"]).is_file()]).tolist()
        for _ in range(round(share * len(order) / 2)):
            one = lines[order.pop()]
            other = lines[order.pop(next(k for k, i in enumerate(order) if lines[i]["aisle"] != one["aisle"]))]
            one["picture"], other["picture"] = other["picture"], one["picture"]
            swapped |= {one["sku"], other["sku"]}
        (work / feed.name).write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
        every += lines
    said = [" ".join([line["title"], *(line["keywords"] or [])]) for line in every]
    named = {"id": "sku", "group": "group", "named": "picture"}
    listings = pl.DataFrame({name: [line[column] for line in every] for name, column in named.items()})
    return listings.with_columns(text=pl.Series(said)), swapped


def audit(catalog: Path, work: Path, sets: list[str]) -> tuple[pl.DataFrame, float]:
    """The lines of audit.csv, by `mlim audit` in a process of its own, and its seconds."""
    feeds = [
        {"path": feed.name, "pictures": str(catalog.absolute()), "columns": COLUMNS | OTHERS}
        for feed in sorted(work.glob("*.jsonl"))
    ]
    base = Path(__file__).absolute().parents[1] / "recipes" / "audit.yaml"
    recipe = {"extends": str(base), "catalog": {"feeds": feeds}, "runtime": {"cache": "cache", "reports": "reports"}}
    (work / "swapped.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    begun = time.perf_counter()
    command = [sys.executable, "-c", "from workbench.cli import app; app()", "audit", str(work / "swapped.yaml")]
    subprocess.run([*command, *(word for value in sets for word in ("--set", value))], check=True)
    lines = pl.read_csv(work / "reports" / "swapped" / "audit.csv", schema_overrides={"id": pl.String})
    return lines.filter(pl.col("rank").is_not_null()), time.perf_counter() - begun


def features(catalog: Path, names: list[str]) -> Floats:
    """(n, 256) standardised: an 8 x 8 thumbnail and the root of a colour histogram of 4 x 4 x 4."""
    found = []
    for name in names:
        picture = Image.open(catalog / name).convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        small = Image.alpha_composite(page, picture).convert("RGB").resize((4 * SIDE,) * 2, Image.Resampling.BOX)
        pixels_HWC = np.asarray(small)
        bins = (pixels_HWC.astype(int) * BINS // 256).reshape(-1, 3) @ [BINS**2, BINS, 1]
        thumbnail = pixels_HWC.reshape(SIDE, 4, SIDE, 4, 3).mean((1, 3)).ravel() / 255
        found.append(np.concatenate([thumbnail, np.sqrt(np.bincount(bins, minlength=BINS**3) / bins.size)]))
    whole = np.stack(found)
    return (whole - whole.mean(0)) / (whole.std(0) + 1e-6)


def baselines(listings: pl.DataFrame, pictures_nF: Floats) -> Iterator[tuple[str, Floats]]:
    """Scores of ridge regressions from TF-IDF to what a picture looks like, each listing by folds without it.

    Folds of listings: the same product at other sellers is there to learn from, as it is for listings that the network
    was trained on. Folds of products: it isn't, as for those held out. Two ways of scoring: the residual's length, and
    the negative cosine of what is foretold and what is, both about their means.
    """
    texts, groups = listings["text"].to_list(), listings["group"].to_list()
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=3).fit_transform(texts)
    ways = {
        "listings": list(KFold(FOLDS, shuffle=True, random_state=0).split(texts)),
        "products": list(GroupKFold(FOLDS).split(texts, groups=groups)),
    }
    for (way, folds), alpha in itertools.product(ways.items(), ALPHAS):
        told_nF = np.zeros_like(pictures_nF)
        for train, test in folds:
            ridge = Ridge(alpha=alpha, solver="sparse_cg", tol=1e-3).fit(words[train], pictures_nF[train])
            told_nF[test] = ridge.predict(words[test])
        name = f"ridge {alpha:g}, folds of {way}"
        yield f"{name}, residual", np.linalg.norm(told_nF - pictures_nF, axis=1)
        lengths_n = np.linalg.norm(told_nF, axis=1) * np.linalg.norm(pictures_nF, axis=1)
        yield f"{name}, cosine", -(told_nF * pictures_nF).sum(1) / np.maximum(lengths_n, 1e-9)


def area(swapped_n: NDArray[np.bool_], score_n: Floats, groups: list[str]) -> dict[str, float]:
    """The area under the ROC and its 95% interval over product groups."""
    areas = [roc_auc_score(swapped_n, score_n, sample_weight=w) for w in resamples(groups, RESAMPLES)]
    low, high = np.quantile(areas[1:], [0.025, 0.975])
    return {"mean": float(areas[0]), "low": float(low), "high": float(high)}


def compare(lines: pl.DataFrame, scores: dict[str, str], swapped: set[str]) -> dict[str, Any]:
    """Areas by score and part; how many of the first are swapped."""
    marked = lines.with_columns(swapped=pl.col("id").is_in(list(swapped)))
    held_out = pl.col("part").is_in(["valid", "test"])
    parts = {"all": pl.lit(True), "train": pl.col("part") == "train", "held out": held_out}
    found: dict[str, Any] = {}
    for name, column in scores.items():
        own = found[name] = {}
        for part, where in parts.items():
            chosen = marked.filter(where)
            own[part] = area(chosen["swapped"].to_numpy(), chosen[column].to_numpy(), chosen["group"].to_list())
            one = own[part]
            print(f"{name:40}{part:10}{one['mean']:.3f} [{one['low']:.3f}, {one['high']:.3f}]")
        first = marked.sort(column, descending=True).head(FIRST)["swapped"]
        own[f"precision of the first {FIRST}"] = float(first.mean())
        print(f"{name:40}swapped among the first {FIRST}: {first.sum()} of {marked['swapped'].sum()}")
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("catalog", type=Path)
    asked.add_argument("work", type=Path)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--share", type=float, default=0.02)
    asked.add_argument("--set", action="append", default=[], dest="sets")
    args = asked.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    listings, swapped = swap(args.catalog, args.work, args.seed, args.share)
    lines, seconds = audit(args.catalog, args.work, args.sets)
    print(f"mlim audit: {seconds:.0f} s with all before it that was not cached; {len(swapped)} pictures swapped")
    if not swapped:
        return
    lines = lines.join(listings, on="id", how="left")
    scores = {"mlim audit": "score"}
    for name, score_n in baselines(lines, features(args.catalog, lines["named"].to_list())):
        lines, scores = lines.with_columns(pl.Series(name, score_n)), scores | {name: name}
    chance = np.random.default_rng(args.seed).random(lines.height)
    found = compare(lines.with_columns(chance=pl.Series(chance)), scores | {"chance": "chance"}, swapped)
    told = {"seed": args.seed, "share": args.share, "swapped": len(swapped), "set": args.sets, "seconds": seconds}
    (args.work / "figures.json").write_text(json.dumps(told | {"scores": found}, indent=1))


if __name__ == "__main__":
    main()
