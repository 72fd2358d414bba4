"""Two states of a catalog: what came, went, changed and moved."""

from pathlib import Path
from typing import Any

import polars as pl

from workbench.artifacts.key import key_of
from workbench.artifacts.store import Artifact, Store
from workbench.catalog.diff import State, diff

MUG = {"row": 0, "id": "m1", "feed": 0, "title": "Oak mug", "text.brand": "Fernhill", "price": 9.5, "picture": "a.jpg"}
POT = {"row": 1, "id": "p1", "feed": 0, "title": "Blue pot", "text.brand": None, "price": 3.0, "picture": None}


def put(store: Store, stage: str, inputs: dict[str, str], tables: dict[str, pl.DataFrame]) -> Artifact:
    """An artifact of these tables; it is named by their content."""
    sources = {name: str(table.to_dicts()) for name, table in tables.items()}
    ingredients = {"stage": stage, "version": 1, "section": {}, "inputs": inputs, "sources": sources}
    with store.making(stage, key_of(ingredients)) as folder:
        for name, table in tables.items():
            table.write_parquet(folder / name)
        return store.commit(stage, ingredients, {})


def state(store: Store, items: list[dict[str, Any]], parts: list[str], digest: str | None = "d1") -> State:
    pictures = [(i["row"], 0, "main", i["picture"]) for i in items if i["picture"]]
    schema = {"row": pl.Int64, "order": pl.Int64, "role": pl.String, "name": pl.String}
    tables = {"items.parquet": pl.DataFrame(items), "pictures.parquet": pl.DataFrame(pictures, schema, orient="row")}
    ingest = put(store, "ingest", {}, tables)
    inputs = {"ingest": ingest.key}
    rows = [i["row"] for i in items]
    put(store, "split", inputs, {"split.parquet": pl.DataFrame({"row": rows, "part": parts})})
    if digest:
        index = pl.DataFrame({"row": [0], "order": [0], "sha256": [digest]})
        put(store, "images", inputs, {"index.parquet": index})
    return State.of(ingest, store)


def test_each_difference_is_told_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    before = state(store, [MUG, POT], ["train", "valid"])
    jar = {**POT, "row": 0, "id": "j1", "title": None}
    mug = {**MUG, "row": 1, "price": 10.0, "text.brand": None, "text.material": "oak", "picture": "a.jpg"}
    after = state(store, [jar, mug], ["train", "test"], "d2")
    assert diff(before, after).rows() == [
        ("came", "j1", "title", None, ""),
        ("went", "p1", "title", "Blue pot", None),
        ("changed", "m1", "bytes of pictures", "d1", None),  # the index of `after` has its picture at row 0, the jar
        ("changed", "m1", "price", "9.5", "10.0"),
        ("changed", "m1", "text.brand", "Fernhill", None),
        ("changed", "m1", "text.material", None, "oak"),
        ("moved", "m1", "part", "train", "test"),
    ]


def test_a_state_equals_itself_whatever_its_rows_are_numbered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    before = state(store, [MUG, POT], ["train", "valid"], None)
    after = state(store, [{**POT, "row": 0}, {**MUG, "row": 1}], ["valid", "train"], "d1")
    assert diff(before, after).is_empty()  # and the bytes of pictures, known of one side only, aren't compared
