"""The `retrieve` section of the report: each arm's measures, by kind of query and slice, and what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.evaluate.compare import Measured, arm_of, differences, readings_in_words, verdict
from workbench.evaluate.intervals import Floats, estimate, mean, weights_of
from workbench.evaluate.slices import sliced, slices_of
from workbench.recipe.schema import Query, Retrieve
from workbench.tasks.catalog import Catalog
from workbench.tasks.readings import has_both
from workbench.tasks.retrieve.asked import MEASURES, SHOWN, Gallery, Ints, named
from workbench.tasks.retrieve.tuning import main_of

JUDGE, NAME = "mrr", "MRR"
EXAMPLES = 24  # queries shown as best and as worst
IN_WORDS = {"text": "a text", "picture": "a picture", "both": "text and picture"}


@dataclass(frozen=True)
class Asked:
    """What became of an arm's queries, for each seed: kind -> (q, measures)."""

    arm: str
    share: float | None
    seeds: Sequence[Mapping[str, Floats]]

    def measures(self, kind: str, name: str) -> Floats:
        """(q,) mean over the seeds."""
        return np.asarray(np.mean([named(seed[kind])[name] for seed in self.seeds], axis=0))


def measure(
    arms: Sequence[Asked],
    test: Gallery,
    first: Mapping[str, Ints],
    groups: NDArray[Any],
    catalog: Catalog,
    section: Retrieve,
) -> dict[str, Any]:
    """All of the section that rests on ranks; the first arm is what is kept, with the rows that it `first` found.

    An arm is judged by its main kind of query, over the listings that can ask so; kinds are compared over those that
    have a text and a usable picture.
    """
    main, weights_Rq = main_of(section.queries), weights_of(groups)
    can_q, both_q = _can_ask(main, catalog, test.queries), has_both(catalog, test.queries)
    kept_q, can_Rq = arms[0].measures(main, JUDGE)[can_q], weights_Rq[:, can_q]
    why = f"undefined, because none of the {len(test.queries)} test queries has {IN_WORDS[main]}"
    if not len(test.queries):
        why = f"undefined, because none of the {len(test.rows)} test listings belongs to another"
    measured = [
        Measured(
            a.arm,
            a.share,
            {n: [mean(named(s[main])[n][can_q], can_Rq) for s in a.seeds] for n in MEASURES},
        )
        for a in arms
        if main in a.seeds[0]
    ]
    shown, found = [arm_of(m, dict.fromkeys(MEASURES, why)) for m in measured], differences(measured, JUDGE)
    values = slices_of(catalog.items, catalog.shards.states.to_list(), catalog.listings.tokens.lengths)
    by_kind = {kind: mean(arms[0].measures(kind, JUDGE)[both_q], weights_Rq[:, both_q]) for kind in first}
    worst, best = _examples(test, main, named(arms[0].seeds[0][main])[JUDGE], first[main], can_q)
    return {
        "measure": JUDGE,
        "asked_with": main,
        "arms": shown,
        "readings": [reading for arm in arms for reading in _readings(arm, both_q, weights_Rq)],
        "slices": sliced(values[test.queries[can_q]], JUDGE, lambda chosen: mean(kept_q[chosen], can_Rq[:, chosen])),
        "differences": found,
        "verdict": [
            f"A query is {IN_WORDS[main]}, asked of {len(test.rows):,} listings; {int(can_q.sum()):,} queries.",
            *verdict(shown, found, JUDGE, NAME),
            *readings_in_words(by_kind, NAME),
        ],
        "best": best,
        "worst": worst,
        "suspects": [],
    }


def _can_ask(kind: Query, catalog: Catalog, rows: Ints) -> NDArray[np.bool_]:
    """Listings that have what is asked with."""
    text, picture = catalog.listings.tokens.lengths[rows] > 0, np.asarray(catalog.shards.usable[rows])
    return {"text": text, "picture": picture, "both": text | picture}[kind]


def _readings(arm: Asked, both_q: NDArray[np.bool_], weights_Rq: Floats) -> list[dict[str, Any]]:
    """All measures of each kind of query, over the listings that have both modalities."""
    lines = []
    for kind in arm.seeds[0]:
        line: dict[str, Any] = {"arm": arm.arm, "share": arm.share, "reading": kind, "items": int(both_q.sum())}
        for name in MEASURES:
            line[name] = estimate(mean(arm.measures(kind, name)[both_q], weights_Rq[:, both_q])).json()
        none = "undefined, because no query has a text and a usable picture"
        lines.append(line | ({} if line[JUDGE] else {"undefined": dict.fromkeys(MEASURES, none)}))
    return lines


def _examples(
    test: Gallery, kind: str, kept_q: Floats, first: Ints, can_q: NDArray[np.bool_]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The queries that found least, and those that found most."""
    order = np.flatnonzero(can_q)[np.argsort(kept_q[can_q], kind="stable")]
    known = test.belonging

    def shown(q: int) -> dict[str, Any]:
        query = test.queries[q : q + 1]
        found = first[q][first[q] >= 0]
        answers = test.rows[known.answers(query, test.rows)[0]][:SHOWN]
        right = known.answers(query, found)[0]
        return {
            "query": {"row": int(query[0])},
            "kind": kind,
            "reciprocal_rank": float(kept_q[q]),
            "answers": [{"row": int(row)} for row in answers],
            "found": [{"row": int(row), "right": bool(is_right)} for row, is_right in zip(found, right, strict=True)],
        }

    missed = order[kept_q[order] < 1][:EXAMPLES]
    return [shown(q) for q in missed], [shown(q) for q in order[::-1][:EXAMPLES]]


def table(test: Gallery, arms: Sequence[Asked], items: pl.DataFrame) -> pl.DataFrame:
    """A line a query and kind, a column an arm: 1 / rank of the first answer that is right, the mean over the seeds."""
    kinds = list(dict.fromkeys(kind for arm in arms for kind in arm.seeds[0]))
    tables = []
    for kind in kinds:
        ranks = {
            name_of(a.arm, a.share): a.measures(kind, JUDGE) if kind in a.seeds[0] else [None] * len(test.queries)
            for a in arms
        }
        own = {"kind": [kind] * len(test.queries), "row": test.queries, "id": items["id"][test.queries]}
        tables.append(pl.DataFrame(own | {name: pl.Series(values, dtype=pl.Float64) for name, values in ranks.items()}))
    return pl.concat(tables)


def name_of(arm: str, share: float | None) -> str:
    """Of an arm in a table."""
    return arm if share is None else f"{arm} {share:g}"
