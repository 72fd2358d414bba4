"""Masked samples for other trainers: a data set of `datasets`, or WebDataset's tars. docs/samples.md has the format.

Pictures are those of the CPU's decoder, as PNG. The same recipe gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.artifacts.key import key_of
from workbench.artifacts.store import Artifact
from workbench.images.export import READ_FROM, Line, Member, cut, new_folder, to_json, write_dataset, write_tars
from workbench.recipe.schema import Model, Pretrain, Runtime
from workbench.tasks.catalog import Catalog, open_catalog, training_order
from workbench.tasks.samples import Samples
from workbench.text.for_transformers import write_tokenizer

if TYPE_CHECKING:
    from datasets import Features

VERSION = 1
README = """\
# Masked samples of a catalog

{counts}

Written by `mlim samples`, whose docs/samples.md has the format and a training loop. Read them with

    {code}

`image` is the whole picture, `bool_masked_pos` which of its patches are hidden, row by row from the top left; `labels`
has the hidden words, -100 elsewhere. `samples.json`: the vocabulary, the ids of special tokens, what was left out and
why. `tokenizer/`: for `transformers.AutoTokenizer.from_pretrained`.
"""
READ_BY = {
    "datasets": "datasets.load_from_disk(FOLDER).with_format('torch')",
    "webdataset": "webdataset.WebDataset(sorted(glob.glob(FOLDER + '/train-*.tar')), shardshuffle=False)"
    ".decode('torchrgb8')",
}


def export_samples(
    artifacts: Mapping[str, Artifact],
    model: Model,
    pretrain: Pretrain,
    runtime: Runtime,
    epochs: int,
    out: Path,
    form: str,
) -> str:
    """Write the folder `out`, at the end there wholly or not at all; returns lines on what is in it.

    `artifacts` are those up to split and tokens, `form` is "webdataset" or "datasets"; a file holds
    `images.shard_pictures` samples. Raises DataError where `out` is there already or no listing of the train
    part has both a usable picture and a text, ArtifactError where what is read has changed.
    """
    for stage, file in READ_FROM.items():
        artifacts[stage].verify(file)
    artifacts["tokens"].verify()
    catalog = open_catalog(artifacts, model, runtime.model_copy(update={"decoder": "cpu"}))
    order = training_order(catalog, artifacts["images"], pretrain, epochs)
    size = artifacts["images"].ingredients["section"]["images"]["shard_pictures"]
    with new_folder(out) as folder, ThreadPoolExecutor(runtime.threads or None) as pool:
        samples = Samples(catalog, pretrain, order, pool)
        told = _told(samples, artifacts, model)
        write = _write_tars if form == "webdataset" else _write_dataset
        for part, count in told["samples"].items():
            write(folder, part, cut(samples.lines(part), count, size), told)
        if form == "datasets":
            (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(told["samples"])}))
        counts = _counts(told)
        readme = README.format(counts="  \n".join(counts), code=READ_BY[form])
        (folder / "README.md").write_text(readme, "utf-8")
        (folder / "samples.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), "utf-8")
        write_tokenizer(artifacts["tokens"].folder, folder / "tokenizer")
    return "\n".join((*counts, f"written: {out}"))


def _write_tars(folder: Path, part: str, files: list[Iterator[Line]], told: Mapping[str, Any]) -> None:
    """PART-000000.tar, … with NUMBER.png and NUMBER.json of each sample."""
    numbers = iter(range(told["samples"][part]))
    write_tars(folder, part, (map(_member, lines, numbers) for lines in files))


def _member(line: Line, number: int) -> Member:
    told = {name: value for name, value in line.items() if name != "image"}
    return f"{number:010}", {"png": line["image"]["bytes"], "json": to_json(told)}


def _write_dataset(folder: Path, part: str, files: list[Iterator[Line]], told: Mapping[str, Any]) -> None:
    (folder / part).mkdir()
    write_dataset(folder / part, files, _features(told), key_of({"samples": told["fingerprint"], "part": part}))


def _features(told: Mapping[str, Any]) -> Features:
    from datasets import Features, Image, Sequence, Value

    texts = dict.fromkeys(("input_ids", "attention_mask", "labels"), Sequence(Value("int32"), told["max_length"]))
    words = {"row": Value("uint32"), "id": Value("string"), "part": Value("string")}
    drawn = {"epoch": Value("uint32"), "mode": Value("string")}
    return Features(
        words | drawn | texts | {"bool_masked_pos": Sequence(Value("bool"), told["patches"]), "image": Image()}
    )


def _told(samples: Samples, artifacts: Mapping[str, Artifact], model: Model) -> dict[str, Any]:
    """What samples.json holds."""
    words, pretrain = samples.catalog.listings.tokens.tokenizer, samples.pretrain
    recipe = {
        "masking": pretrain.masking.model_dump(mode="json"),
        "augment": pretrain.augment.model_dump(mode="json"),
        "sampling": pretrain.sampling.model_dump(mode="json", exclude={"sides"}),
        "batch_size": pretrain.optim.batch_size,
        "seed": pretrain.seed,
        "image_side": model.image_side,
        "patch": model.patch,
        "epochs": samples.order.epochs,
    }
    made_of = {"recipe": recipe, "artifacts": {stage: artifacts[stage].key for stage in (*READ_FROM, "tokens")}}
    return {
        "samples": samples.counts,
        "listings": len(samples.drawn_N),
        "written": int(samples.drawn_N.sum()),
        "left_out": left_out(samples.catalog, samples.drawn_N),
        "vocabulary": words.size,
        "max_length": words.max_length,
        "special": words.vocabulary.special,
        "fields": dict(zip(words.fields, words.vocabulary.markers, strict=True)),
        "patches": (model.image_side // model.patch) ** 2,
        **made_of,
        "fingerprint": key_of({"version": VERSION, **made_of}),
    }


def left_out(catalog: Catalog, drawn_N: NDArray[np.bool_]) -> dict[str, int]:
    """Listings that no sample is of, by reason."""
    states, no_text = catalog.shards.states.cast(pl.String), pl.Series(catalog.listings.tokens.lengths == 0)
    reasons = pl.select(
        pl.when(catalog.items["part"].is_null())
        .then(pl.lit("left out of the split"))
        .when(states != "present")
        .then("picture " + states)
        .when(no_text)
        .then(pl.lit("no text"))
        .otherwise(pl.lit("not drawn (pretrain.sampling)"))
        .alias("reason")
    ).filter(~pl.Series(drawn_N))
    return dict(reasons.group_by("reason").len().sort("reason").iter_rows())


def _counts(told: Mapping[str, Any]) -> list[str]:
    samples = ", ".join(f"{count:,} {part}" for part, count in told["samples"].items())
    others = ", ".join(f"{reason} {count:,}" for reason, count in told["left_out"].items()) or "none"
    return [f"{told['written']:,} of {told['listings']:,} listings, left out: {others}", f"samples: {samples}"]
