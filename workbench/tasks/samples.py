"""Masked samples for other trainers: what pre-training reads, as a data set of `datasets` or as WebDataset's tars.

The train part as epochs 1 to N read it, in their order, and the held-out parts once, with their fixed masks. Pictures
are those of the CPU's decoder, as PNG. The same recipe gives the same bytes. docs/samples.md has the format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from imagecodecs import png_encode
from numpy.typing import NDArray
from torch import Tensor

from workbench.artifacts.key import key_of
from workbench.artifacts.store import Artifact
from workbench.batches.loader import ahead
from workbench.batches.masking import MODES
from workbench.batches.order import Order, Rows
from workbench.draws import Epoch
from workbench.images.export import AHEAD, READ_FROM, Line, Member, cut, new_folder, to_json, write_dataset, write_tars
from workbench.recipe.schema import Model, Pretrain, Runtime
from workbench.tasks.catalog import Catalog, open_catalog, training_order
from workbench.text.for_transformers import write_tokenizer

if TYPE_CHECKING:
    from datasets import Features

VERSION = 1
READ = 64  # listings at once
NO_LABEL = -100  # what the cross-entropy of torch leaves out
Place = tuple[int, int]  # step, and the first of its listings that is read
README = """\
# Masked samples of a catalog

{counts}. Written by `mlim samples`, whose docs/samples.md has the format and a training loop. `samples.json` has the
vocabulary, the ids of special tokens, the grid of patches, what was left out and why; `tokenizer/` is for
`transformers.AutoTokenizer`.

```python
{code}
```

`image` holds the whole picture, `bool_masked_pos` the patches of it that are hidden, row by row from the top left.
`labels` holds the hidden words; it is {no_label} where `input_ids` has what the text says.
"""
READ_BY = {
    "datasets": 'from datasets import load_from_disk\n\nload_from_disk(FOLDER).with_format("torch")',
    "webdataset": "import webdataset\n\n"
    'webdataset.WebDataset(sorted(glob.glob(FOLDER + "/train-*.tar")), shardshuffle=False).decode("torchrgb8")',
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
        readme = README.format(counts="; ".join(counts), code=READ_BY[form], no_label=NO_LABEL)
        (folder / "README.md").write_text(readme, "utf-8")
        (folder / "samples.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), "utf-8")
        write_tokenizer(artifacts["tokens"].folder, folder / "tokenizer")
    return "\n".join((*counts, f"written: {out}"))


@dataclass(frozen=True)
class Samples:
    """What pre-training reads of a catalog, part by part."""

    catalog: Catalog
    pretrain: Pretrain
    order: Order  # of the train part
    pool: Executor

    @cached_property
    def rows(self) -> Mapping[str, Rows]:
        """Those of each part that has any."""
        rows = {part: self.catalog.pictured(part) for part in ("train", "valid", "test")}
        return {part: rows_n for part, rows_n in rows.items() if len(rows_n)}

    def batches(self, part: str) -> Iterator[tuple[int, Rows]]:
        """Epoch and rows of every batch, in order."""
        return (self._at(part, place)[:2] for place in self._places(part))

    def lines(self, part: str) -> Iterator[Line]:
        """A part's samples in their order, as docs/samples.md has them."""
        places = self._places(part)
        depth = self.catalog.listings.steps_ahead(READ)
        for lines in ahead(lambda nth: self._begin(part, places[nth]), range(len(places)), depth):
            yield from lines

    def _places(self, part: str) -> list[Place]:
        if part != "train":
            return [(0, first) for first in range(0, len(self.rows[part]), READ)]
        sizes = ((step, len(self.order.at(step)[1])) for step in range(self.order.steps))
        return [(step, first) for step, size in sizes for first in range(0, size, READ)]

    def _at(self, part: str, place: Place) -> tuple[int, Rows, Epoch]:
        """Epoch, rows, and what their masks and crops are drawn by."""
        step, some = place[0], slice(place[1], place[1] + READ)
        if part != "train":
            return 0, self.rows[part][some], 0  # the epoch of fixed masks
        epoch, drawn = self.order.at(step)
        return epoch, self.rows[part][drawn[some]], self.order.clock(step)[some]

    def _begin(self, part: str, place: Place) -> Callable[[], list[Line]]:
        epoch, rows_B, clock = self._at(part, place)
        how: dict[str, Any] = {"epoch": clock, "seed": self.pretrain.seed, "masking": self.pretrain.masking}
        changed: dict[str, Any] = {"augment": self.pretrain.augment, "any_picture": True} if part == "train" else {}
        listings, both_B = self.catalog.listings, np.ones(len(rows_B), np.bool_)
        modes_B = listings.hide(rows_B, both_B, both_B, **how).masks.mode_B
        begun = listings.start(rows_B, **how, **changed)
        ids = self.catalog.items["id"][rows_B]
        soon = self._soon(part, place)

        def finish() -> list[Line]:
            self.catalog.shards.want(soon)
            batch, words = begun(), listings.tokens.tokenizer
            columns = {
                "row": rows_B.tolist(),
                "id": ids,
                "part": [part] * len(rows_B),
                "epoch": [epoch] * len(rows_B),
                "mode": [MODES[mode] for mode in modes_B],
                "input_ids": _padded(batch.shown_BL, words.max_length, words.pad),
                "attention_mask": _padded(batch.text_real_BL.byte(), words.max_length, 0),
                "labels": _padded(batch.tokens_BL.where(batch.text_masked_BL, NO_LABEL), words.max_length, NO_LABEL),
                "bool_masked_pos": batch.image_masked_BP.tolist(),
                "image": self.pool.map(_png, batch.pixels_BCHW.numpy()),
            }
            return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

        return finish

    def _soon(self, part: str, place: Place) -> Rows:
        """Listings whose shards are fetched meanwhile, where these are in an object store."""
        rows_n = self.rows[part]
        return rows_n[self.order.soon(place[0])] if part == "train" else rows_n[place[1] : place[1] + AHEAD]


def _padded(values_BL: Tensor, length: int, value: int) -> list[list[int]]:
    """(B, length): all samples are of one length, so that any loader can put them together."""
    whole = values_BL.new_full((len(values_BL), length), value)
    whole[:, : values_BL.shape[1]] = values_BL
    rows: list[list[int]] = whole.tolist()
    return rows


def _png(pixels_CHW: NDArray[np.uint8]) -> dict[str, Any]:
    pixels_HWC = np.ascontiguousarray(pixels_CHW.transpose(1, 2, 0))
    return {"bytes": bytes(png_encode(pixels_HWC, level=1)), "path": None}


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
    words, pretrain, counts = samples.catalog.listings.tokens.tokenizer, samples.pretrain, dict[str, int]()
    drawn_N = np.zeros(samples.catalog.items.height, np.bool_)
    for part in samples.rows:
        counts[part] = 0
        for _, rows_B in samples.batches(part):
            counts[part] += len(rows_B)
            drawn_N[rows_B] = True
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
    made_of = {stage: artifacts[stage].key for stage in (*READ_FROM, "tokens")}
    return {
        "samples": counts,
        "listings": len(drawn_N),
        "written": int(drawn_N.sum()),
        "left_out": left_out(samples.catalog, drawn_N),
        "vocabulary": words.size,
        "max_length": words.max_length,
        "special": words.vocabulary.special,
        "fields": dict(zip(words.fields, words.vocabulary.markers, strict=True)),
        "patches": (model.image_side // model.patch) ** 2,
        "recipe": recipe,
        "artifacts": made_of,
        "fingerprint": key_of({"version": VERSION, "recipe": recipe, "artifacts": made_of}),
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
    left_out = ", ".join(f"{reason} {count:,}" for reason, count in told["left_out"].items()) or "none"
    return [f"{told['written']:,} of {told['listings']:,} listings, left out: {left_out}", f"samples: {samples}"]
