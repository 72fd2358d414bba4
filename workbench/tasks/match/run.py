"""What the Match stage does: tune on the pairs, measure every arm on the test pairs, write the results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import logit

from workbench.artifacts.stage import Work
from workbench.catalog.duplicates.clusters import components
from workbench.errors import DataError
from workbench.recipe.schema import Arm, Baselines, Match
from workbench.tasks.catalog import Catalog, choose_device, open_catalog
from workbench.tasks.match import results
from workbench.tasks.match.cross import CrossTuning, score_rows
from workbench.tasks.match.exam import ArmScores, Test, name, write_scores
from workbench.tasks.match.mine import KEY, PARTS, Facts, mine
from workbench.tasks.match.pairs import NONE_DROPPED, Pairs, read_pairs
from workbench.tasks.match.rarity import rarity
from workbench.tasks.match.tuning import NEAR, PairTuning
from workbench.tasks.network import model_section
from workbench.tasks.products import products_of
from workbench.tasks.runs import Run
from workbench.tasks.tune import Scores, choose_labels, tune
from workbench.tasks.tuned import load_tuned, write_answers

if TYPE_CHECKING:
    from workbench.tasks.baselines.rivals import Rival

LISTINGS = 2000  # of a part, whose candidates are made into clusters
CANDIDATES = 20  # of a listing, where no cross-encoder says how many it reads
CROSS = "cross"
TINY = 1e-15  # a probability of less counts as that much


@dataclass(frozen=True)
class Prepared:
    """The pairs, and what a network is tuned on."""

    catalog: Catalog
    pairs: Pairs
    dropped: pl.DataFrame  # line, left, right, reason
    told: Mapping[str, Any]  # of the pairs
    tuning: PairTuning


def prepare(work: Work, match: Match) -> Prepared:
    """Read the pairs, or mine them. Raises DataError where there are none to learn from."""
    catalog = open_catalog(work.inputs, model_section(work.inputs["pretrain"]), work.runtime)
    items = catalog.items
    if match.pairs:
        pairs, dropped = read_pairs(match.pairs, items)
        told: Mapping[str, Any] = {}
    else:
        pairs, mined = mine(Facts.of(items, work.inputs), match.mine)
        dropped, told = NONE_DROPPED, {"mined": mined}
    train = pairs.of("train")
    if train.match.all() or not train.match.any():
        if train.match.any() and not match.pairs:
            raise DataError(
                f"finetune.match.mine: all {len(train)} pairs of the train part match: it has no two listings that are "
                "alike in words or picture and surely different products (of different components of the split). Look "
                "at what joins them (mlim verify RECIPE), give more listings, or give finetune.match.pairs"
            )
        reasons = ", ".join(f"{d['count']} {d['reason']}" for d in _reasons(dropped)) or "none"
        raise DataError(
            f"{match.pairs or 'finetune.match.mine'}: {int(train.match.sum())} of the {len(train)} pairs of the train "
            "part match; expected both matching pairs and others, of listings that are both in the train part (pairs "
            f"left out: {reasons})"
        )
    group = items["group"].to_numpy().astype(np.str_)
    products = _products(products_of(items, match.mine.by, KEY), pairs)
    held_out = {part: pairs.of(part) for part in ("valid", "test")}
    few = {part: _few(np.unique(p.rows), products) for part, p in held_out.items()}
    candidates = match.cross.candidates if match.cross else CANDIDATES
    rare = rarity(catalog.listings.tokens, catalog.rows("train"))
    tuning = PairTuning(match, train, group[train.rows[:, 0]], products, held_out, few, candidates, rare)
    return Prepared(catalog, pairs, dropped, told, tuning)


def _products(told: pl.Series, pairs: Pairs) -> NDArray[np.int64]:
    """(N,) the first row of each listing's product: by what is told of it, and by the pairs that match."""
    known = pl.col("told").is_not_null()
    table = pl.DataFrame({"told": told, "row": np.arange(len(told))})
    first = pl.when(known).then(pl.col("row").first().over("told")).otherwise("row")
    edges = table.select("row", first.alias("first")).to_numpy()
    return components(len(told), *np.concatenate([edges, pairs.rows[pairs.match]]).T)


def _few(rows: NDArray[np.int64], products: NDArray[np.int64]) -> NDArray[np.int64]:
    """Some of these listings, ascending: whole products."""
    return np.sort(rows[np.argsort(products[rows], kind="stable")][:LISTINGS])


def run_match(work: Work, match: Match, baselines: Baselines) -> dict[str, Any]:
    """Tune, measure, write; the summary for the manifest."""
    prepared = prepare(work, match)
    runs = tune(work, "match", prepared.tuning)
    crossed = _cross(work, match, prepared, next(iter(runs.values()))) if match.cross else {}
    from workbench.tasks.baselines.rivals import rivals  # scikit-learn

    known = rivals(prepared.catalog, baselines, work.runtime)
    section, told = measure(work, prepared, runs, known, crossed)
    write_answers(work.folder, {"match": told})
    (work.folder / "results.json").write_text(json.dumps(section, indent=1, ensure_ascii=False, allow_nan=False))
    judged = {name(a["arm"], a["share"]): a["pr_auc"] and a["pr_auc"]["mean"] for a in section["arms"]}
    return {"pairs": len(prepared.pairs), "dropped": prepared.dropped.height, "pr_auc": judged}


def measure(
    work: Work,
    prepared: Prepared,
    runs: Mapping[Run, Scores],
    known: Sequence[Rival],
    crossed: Mapping[Run, Scores] = MappingProxyType({}),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The section of results.json, and what answers.json tells of this task; the first run's network is kept.

    Writes scores.parquet and pairs_dropped.csv.
    """
    tuning = prepared.tuning
    arms = _by_arm(runs) + _by_arm(crossed, CROSS)
    arms += [arm for rival in known for arm in _by_rival(rival, tuning)]
    test = Test.of(prepared.catalog, tuning)
    section, told = results.section(test, arms, tuning.section.precision)
    told["clusters"] = section["clusters"][0]["threshold"] if section["clusters"] else None
    write_scores(work.folder / "scores.parquet", prepared.catalog.items["id"], test, arms)
    prepared.dropped.write_csv(work.folder / "pairs_dropped.csv")
    if crossed:
        its = results.answers(test, next(arm for arm in arms if arm.arm == CROSS), tuning.section.precision)
        its["clusters"] = next((c["threshold"] for c in section["clusters"] if c["arm"] == CROSS), None)
        write_answers(work.folder / CROSS, {"match": {}, CROSS: its | {"candidates": tuning.candidates}})
    counts = {part: prepared.pairs.of(part) for part in PARTS}
    told_of_pairs = {part: {"pairs": len(p), "positives": int(p.match.sum())} for part, p in counts.items()}
    return {"pairs": told_of_pairs | {"dropped": _reasons(prepared.dropped)} | dict(prepared.told)} | section, told


def _by_arm(runs: Mapping[Run, Scores], called: str = "") -> list[ArmScores]:
    arms: dict[tuple[str, float | None], list[Scores]] = {}
    for run, scores in runs.items():
        arms.setdefault((called or run.arm, run.share), []).append(scores)
    return [ArmScores(arm, share, seeds) for (arm, share), seeds in arms.items()]


def _by_rival(rival: Rival, tuning: PairTuning) -> Iterator[ArmScores]:
    """At each share of the labels that the first seed's networks learn from, if both kinds are among them."""
    parts = {part: pairs.rows for part, pairs in tuning.held_out.items() if len(pairs)}
    nothing = {part: np.zeros(0) for part in tuning.held_out}
    for share in sorted(set(tuning.section.label_shares), reverse=True):
        chosen = choose_labels(tuning.groups, share, tuning.section.seeds[0])
        match = tuning.train.match[chosen]
        if match.any() and not match.all():
            found = rival.match(tuning.train.rows[chosen], match, parts)
            log_odds = {key: logit(np.clip(scores, TINY, 1 - TINY)) for key, scores in found.items()}
            yield ArmScores(f"{rival.name} baseline", share, [nothing | log_odds])


def _cross(work: Work, match: Match, prepared: Prepared, kept: Scores) -> dict[Run, Scores]:
    """The scores of the cross-encoder's runs; those of the kept one also of the candidates that `kept` has."""
    assert match.cross
    arm = Arm(epochs=match.cross.epochs, optim=match.cross.optim, layer_decay=match.pretrained.layer_decay)
    section = match.model_copy(update={"pretrained": arm, "scratch": None, "seeds": match.seeds[:1]})
    pairs = {f.name: getattr(prepared.tuning, f.name) for f in fields(prepared.tuning)}
    tuning = CrossTuning(**pairs | {"section": section})
    folder = work.folder / CROSS
    folder.mkdir(exist_ok=True)
    runs = tune(replace(work, folder=folder), "cross", tuning)
    write_answers(folder, {"match": {}, CROSS: {}})  # its heads, so that it can be loaded
    device = choose_device(work)
    tuned = load_tuned(folder).to(device)
    listings, own = prepared.catalog.listings, next(iter(runs.values()))
    for near in (f"{NEAR}.{part}" for part in prepared.tuning.held_out if f"{NEAR}.{part}" in kept):
        own[f"{near}.rows"] = rows = kept[f"{near}.rows"]
        own[near] = score_rows(tuned, listings, device, arm.optim.batch_size, rows.astype(np.int64)).double().numpy()
    return runs


def _reasons(dropped: pl.DataFrame) -> list[dict[str, Any]]:
    return dropped.group_by("reason").len("count").sort("count", "reason", descending=[True, False]).to_dicts()
