"""The stage and its reader: by row, field by field, cut where it must be, the same bytes wherever it runs."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from workbench.artifacts.stage import Work
from workbench.artifacts.store import Artifact
from workbench.recipe.schema import Runtime, Tokens
from workbench.text import encode, tokens
from workbench.text.tokens import TokenTable

ITEMS: dict[str, list[str | None]] = {
    "title": ["Red apple", "chair", "a b c d e f g h i j", None, "Green\u00a0apple  pie"],
    "text.color": [None, "blue", "red", None, ""],
    "text.brand": ["Acme", None, "Acme", None, "Zeta"],
    "part": ["train", "train", "test", "valid", "train"],
}
SMALL = Tokens(vocabulary=300, max_length=12)


def run(
    root: Path, folder: str, recipe: Tokens = SMALL, items: Mapping[str, Any] = ITEMS
) -> tuple[Path, Mapping[str, Any]]:
    out, ingest = root / folder, root / "ingest"
    out.mkdir(exist_ok=True, parents=True)
    ingest.mkdir(exist_ok=True)
    table = pl.DataFrame(items, dict.fromkeys(items, pl.String)).with_row_index("row")
    inputs = {}
    for stage, name, content in (
        ("ingest", "items.parquet", table.drop("part")),
        ("split", "split.parquet", table.select("row", "part")),
    ):
        content.write_parquet(ingest / name)
        size = (ingest / name).stat().st_size
        inputs[stage] = Artifact(ingest, stage, "key", {}, {}, {name: {"bytes": size}})
    work = Work(out, inputs, Runtime(), Console(quiet=True), root / "log")
    return out, tokens.stage(recipe, {}).run(work)


def test_fields_in_order_with_their_markers(tmp_path: Path) -> None:
    out, summary = run(tmp_path, "out")
    table = TokenTable(out)
    words = table.tokenizer
    assert words.fields == ("title", "brand", "color") and len(table) == 5

    def ids(*parts: str) -> list[int]:
        return [
            i for p in parts for i in ([words.marker(p[1:])] if p[0] == "@" else words.encode_words([p])[0].tolist())
        ]

    assert table.ids(0).tolist() == ids("@title", "red", "apple", "@brand", "acme")[:10]
    assert table.ids(1).tolist() == ids("@title", "chair", "@color", "blue")[:10]
    assert table.ids(3).tolist() == [] and table.lengths[3] == 0
    assert ids("@title", "green", "apple", "pie")[:10] == table.ids(4).tolist()[:10]
    assert table.ids(0).dtype == np.dtype("<u2")
    assert summary["tokens"] == table.lengths.sum() and summary["unknown"] == 0


def test_long_listings_are_cut_and_counted(tmp_path: Path) -> None:
    out, summary = run(tmp_path, "out")
    whole, all_of_it = run(tmp_path, "whole", SMALL.model_copy(update={"max_length": 512}))
    short, long = TokenTable(out), TokenTable(whole)
    assert short.lengths.max() == 10 and summary["cut"] == (long.lengths > 10).sum() > 0 == all_of_it["cut"]
    assert summary["longest"] == all_of_it["longest"] == long.lengths.max() + 2
    for row in range(5):
        assert short.ids(row).tolist() == long.ids(row).tolist()[:10]


def test_held_out_texts_do_not_shape_the_vocabulary(tmp_path: Path) -> None:
    first, _ = run(tmp_path, "one")
    other = ITEMS | {"title": [*ITEMS["title"][:2], "zzzz zzzz zzzz", "zzzz", ITEMS["title"][4]]}
    second, _ = run(tmp_path, "two", items=other)
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()


def test_chunks_and_forgetting_do_not_change_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digests(folder: Path) -> dict[str, str]:
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}

    first = digests(run(tmp_path, "one")[0])
    assert set(first) == {"ids.bin", "offsets.npy", "tokenizer.json", "vocabulary.json"}
    monkeypatch.setattr(encode, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(encode, "WORDS_KEPT", 3)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "ids.bin").write_bytes(b"left by a killed run")
    assert digests(run(tmp_path, "two")[0]) == first


def test_nothing_to_read(tmp_path: Path) -> None:
    empty = {name: [None] for name in ITEMS} | {"part": ["test"]}
    out, summary = run(tmp_path, "out", items=empty)
    assert summary["tokens"] == 0 and TokenTable(out).ids(0).tolist() == []
    out, summary = run(tmp_path, "none", items={name: [] for name in ITEMS})
    assert len(TokenTable(out)) == 0 and summary["longest"] == 0


def test_large_vocabularies_take_four_bytes() -> None:
    assert tokens.id_type(2**16) == "<u2" and tokens.id_type(2**16 + 1) == "<u4"


def test_key_holds_the_digest_of_a_loaded_tokenizer_and_no_path(tmp_path: Path) -> None:
    stage = tokens.stage(Tokens(tokenizer=tmp_path), {"tokens.tokenizer": "T"})
    assert stage.sources == {"tokens.tokenizer": "T"} and str(tmp_path) not in str(stage.section)


def test_planning_stays_light() -> None:
    code = "import sys, workbench.text.tokens; print({'tokenizers', 'polars', 'numpy', 'torch'} & {*sys.modules})"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "set()\n"


GOLDEN = {
    1: "8048989ad0ce239b"
}  # version of the stage -> digest of vocabulary and ids: other bytes need another version


def test_golden_ids(tmp_path: Path) -> None:
    out, _ = run(tmp_path, "out")
    spec = json.loads((out / "tokenizer.json").read_text("utf-8"))
    table = TokenTable(out)
    decoded = json.dumps([spec["model"]["vocab"], [table.ids(row).tolist() for row in range(len(table))]])
    assert hashlib.sha256(decoded.encode()).hexdigest()[:16] == GOLDEN[tokens.VERSION]
