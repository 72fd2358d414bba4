"""The baselines of filling in: they learn from the same labels, and don't read the attribute either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.evaluate.intervals import Floats
from workbench.recipe.schema import Baselines, Runtime
from workbench.tasks.catalog import Catalog
from workbench.tasks.fill.exam import Arms, Guesses, Read, thresholds_of
from workbench.tasks.fill.tuning import FillTuning
from workbench.tasks.fill.values import Attribute
from workbench.tasks.tune import choose_labels

if TYPE_CHECKING:
    from workbench.tasks.baselines.rivals import Rival

Rivals = Mapping[str, "Sequence[Rival]"]  # of each attribute
MAJORITY = "majority baseline"  # the most frequent value


def rivals_of(attributes: Sequence[Attribute], catalog: Catalog, baselines: Baselines, runtime: Runtime) -> Rivals:
    """Each attribute's, in a catalog without it."""
    from workbench.tasks.baselines.rivals import rivals  # scikit-learn

    hidden = {a.name: (a.column,) if a.marker is not None else () for a in attributes}  # labels are read by none
    seen = {columns: replace(catalog, items=catalog.items.drop(columns)) for columns in hidden.values()}
    made = {columns: rivals(without, baselines, runtime) for columns, without in seen.items()}
    return {name: made[columns] for name, columns in hidden.items()}


def plain_arms(tuning: FillTuning, attributes: Sequence[Attribute], rivals: Rivals) -> Arms:
    """What they say of the test questions, at each share of the labels."""
    arms: Arms = {}
    for share in sorted(set(tuning.section.label_shares), reverse=True):
        chosen = choose_labels(tuning.groups, share, tuning.section.seeds[0])
        learnt = tuning.questions["train"].among(chosen)
        said: dict[str, list[Mapping[str, Floats]]] = {}  # of valid and test questions, attribute by attribute
        for place, attribute in enumerate(attributes):
            known, values = learnt.of(place), len(attribute.values)
            asked = np.concatenate([tuning.questions[part].of(place).rows for part in ("valid", "test")])
            for rival in rivals[attribute.name] if len(known) else ():
                found = rival.classify(known.rows, known.value, values, asked)
                said.setdefault(f"{rival.name} baseline", []).append(found)
            usual = np.bincount(known.value, minlength=values) / max(1, len(known))
            said.setdefault(MAJORITY, []).append({"both": np.tile(usual, (len(asked), 1))})
        complete = {name: found for name, found in said.items() if len(found) == len(attributes)}
        arms |= {(name, share): [_read(tuning, found)] for name, found in complete.items()}
    return arms


def _read(tuning: FillTuning, found: Sequence[Mapping[str, Floats]]) -> Read:
    valid = tuning.questions["valid"]
    ends = [len(valid.of(place)) for place in range(len(found))]
    main = "both" if "both" in found[0] else next(iter(found[0]))
    chosen_on = [by_reading[main][:end] for by_reading, end in zip(found, ends, strict=True)]
    thresholds = thresholds_of(valid, chosen_on, tuning.section.precision)
    return {
        reading: Guesses.of(
            [by_reading[reading][end:] for by_reading, end in zip(found, ends, strict=True)], thresholds
        )
        for reading in found[0]
    }
