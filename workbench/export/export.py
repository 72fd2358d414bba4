"""A portable folder -> one for others: transformers, BERT, ONNX and a model card, each held against the model.

Also still a portable folder: `mlim predict OUT` and the rest read it as they read the one it came from.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.answers.answers import KEY, Answers
from workbench.answers.compose import ABOUT
from workbench.answers.preparation import Preparation
from workbench.batch import Batch
from workbench.export.card import write_card
from workbench.export.check import check_transformers
from workbench.export.for_transformers import write_bert, write_code
from workbench.export.onnx import OPSET, write_onnx
from workbench.export.probe import first_of, probes
from workbench.images.export import new_folder
from workbench.recipe.schema import Feed


def export(
    model: Path,
    out: Path,
    *,
    name: str | None = None,
    onnx: bool = False,
    licence: str | None = None,
    feeds: Sequence[Feed] = (),
) -> Iterator[str]:
    """Write `out`, which is not there yet, and say what was done; it is there wholly or not at all.

    `name`: of its repository on the hub. `feeds`: it is tried with the first listings of each, beside made-up ones.
    Raises DataError where `out` exists or a library is missing, MlimError where what was written doesn't say the same
    as the model.
    """
    with new_folder(out) as folder:
        for file in (*KEY, ABOUT):
            if (model / file).is_file():
                (folder / file).parent.mkdir(exist_ok=True)
                shutil.copyfile(model / file, folder / file)
        write_code(folder)
        write_bert(folder)
        answers = Answers.open(folder, "cpu")
        batches = _batches(answers.preparation, feeds)
        off = check_transformers(folder, answers, batches)
        yield f"transformers says the same: {off:.1g} at most on {sum(map(len, batches.values()))} listings"
        told = None
        if onnx:
            off = write_onnx(folder, answers, batches)
            told = {"opset": OPSET, "off": f"{off:.1g}"}
            yield f"ONNX (opset {OPSET}) says the same: {off:.1g} at most"
        write_card(folder, name or out.name, licence, told)


def _batches(preparation: Preparation, feeds: Sequence[Feed]) -> dict[str, Batch]:
    """By what they are."""
    made = probes(preparation)
    kinds = {
        "listings of every kind": made,
        "one listing": made[:1],
        "listings without text": [each for each in made if not each.texts],
        "listings without picture": [each for each in made if each.picture is None],
        "the catalog's listings": first_of(feeds, preparation),
    }
    return {name: preparation.prepare(some).batch for name, some in kinds.items() if some}
