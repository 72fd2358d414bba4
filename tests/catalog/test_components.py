"""Split by components of kin: nothing crosses, shares and classes hold, a given split counts, tampering is seen."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from workbench.artifacts.key import key_of
from workbench.artifacts.stage import Stage, Work
from workbench.artifacts.store import Artifact, Store
from workbench.catalog import split as splitting
from workbench.catalog.duplicates import find
from workbench.catalog.duplicates import stage as duplicates
from workbench.catalog.duplicates.kin import PAIRS
from workbench.catalog.split import part_of
from workbench.catalog.verify import prove
from workbench.errors import DataError
from workbench.recipe.schema import Duplicates, Runtime, Split

ITEMS = {"row": pl.UInt32, "id": pl.String, "group": pl.String, "code": pl.String, "title": pl.String}
ITEMS |= {"label.kind": pl.String, "given_split": pl.String}
INDEX = {"row": pl.UInt32, "order": pl.UInt32, "state": pl.String, "reason": pl.String, "sha256": pl.String}
INDEX |= {"thumb": pl.Binary, "colours": pl.Binary}


def write(store: Store, name: str, file: str, table: pl.DataFrame) -> Artifact:
    ingredients = {"stage": name, "table": file}
    with store.making(name, key_of(ingredients)) as folder:
        table.write_parquet(folder / file)
        return store.commit(name, ingredients, {})


def make(root: Path, lines: list[dict[str, Any]], console: Console | None = None, **split: Any) -> dict[str, Artifact]:
    """The artifacts of a catalog without pictures: lines of id, title, group, code, kind, given."""
    store = Store(root)
    named = [{"id": f"i{i}", "title": f"word{i}"} | line for i, line in enumerate(lines)]
    filled = [
        (i, x["id"], x.get("group", x["id"]), x.get("code"), x["title"], x.get("kind"), x.get("given"))
        for i, x in enumerate(named)
    ]
    absent = [(i, 0, "absent", "no picture is named", None, None, None) for i in range(len(lines))]
    made = {
        "ingest": write(store, "ingest", "items.parquet", pl.DataFrame(filled, ITEMS, orient="row")),
        "images": write(store, "images", "index.parquet", pl.DataFrame(absent, INDEX, orient="row")),
    }
    stages: list[Stage] = [duplicates.stage(Duplicates()), splitting.stage(Split(**split), Duplicates())]
    for stage in stages:
        ingredients = {"stage": stage.name, "section": dict(stage.section)}
        with store.making(stage.name, key_of(ingredients)) as folder:
            summary = stage.run(Work(folder, made, Runtime(), console or Console(quiet=True), root / "log"))
            made[stage.name] = store.commit(stage.name, ingredients, summary)
    return made


def table(made: dict[str, Artifact]) -> pl.DataFrame:
    return pl.read_parquet(made["split"].path("split.parquet"))


def certificate(made: dict[str, Artifact]) -> dict[str, Any]:
    return dict(json.loads(made["split"].path("certificate.json").read_text()))


def test_a_component_of_one_group_lies_where_its_name_puts_it(tmp_path: Path) -> None:
    made = make(tmp_path, [{"group": f"group {i // 3}"} for i in range(300)])
    assert table(made)["part"].to_list() == [part_of(f"group {i // 3}", Split()) for i in range(300)]
    found = certificate(made)
    assert (found["components"], found["largest"], found["could_cross"], found["cross"]) == (100, 3, 300, 0)
    assert found["kin"]["product group"] == {"pairs": 300, "cross": 0}
    assert prove(made).holds


def test_codes_join_groups_and_invalid_ones_do_not(tmp_path: Path) -> None:
    codes = ["4006381333931", "036000291452", "N/A", "0"]
    made = make(tmp_path, [{"group": f"g{i % 40}", "code": codes[i % 4]} for i in range(80)])
    whole = table(made)
    for i in (0, 1):
        assert whole.filter(pl.col("row") % 4 == i)["part"].n_unique() == 1
        assert whole.filter(pl.col("row") % 4 == i)["component"].unique().to_list() == [i]
    assert certificate(made)["components"] == 2 + 20


def test_duplicates_are_left_out_for_a_reason(tmp_path: Path) -> None:
    noise = [
        {"id": f"n{i}", "title": f"{a} {b} thing{i}"}
        for i, (a, b) in enumerate(zip("abcdefgh", "stuvwxyz", strict=True))
    ]
    alike = [{"id": "x", "title": "Acme Fjord oak mug"}, {"id": "y", "title": "Acme Fjord oak mug"}]
    made = make(tmp_path, [*alike, *noise])
    assert table(made)["reason"].to_list() == [None, "duplicate of x", *[None] * 8]
    assert table(made)["part"].null_count() == 1 and certificate(made)["left_out"] == {"duplicate": 1}


def test_shares_hold_within_each_class(tmp_path: Path) -> None:
    lines = [{"group": f"g{i // 2}", "kind": "rare" if i < 40 else "common"} for i in range(1000)]
    made = make(tmp_path, lines, stratify="kind", train=0.6, valid=0.2, test=0.2)
    assert certificate(made)["stratify"] == {
        "common": {"train": 576, "valid": 192, "test": 192},
        "rare": {"train": 24, "valid": 8, "test": 8},
    }
    with pytest.raises(DataError, match=r"catalog\.split\.stratify: no feed has a label 'size'; labels: kind"):
        make(tmp_path / "other", lines, stratify="size")


def test_large_components_do_not_bend_the_shares(tmp_path: Path) -> None:
    lines = [{"group": "giant" if i < 600 else "big" if i < 900 else f"g{i}"} for i in range(3000)]
    found = certificate(make(tmp_path, lines))
    for part, wanted in (("train", 0.65), ("valid", 0.1), ("test", 0.25)):
        assert found["shares"][part]["found"] == pytest.approx(wanted, abs=0.02)


GIVEN = [
    {"id": "a", "group": "g", "given": "Training"},
    {"id": "b", "group": "g", "given": "TEST"},
    {"id": "c", "group": "g", "given": None},
    {"id": "d", "given": "dev"},
    {"id": "e", "given": "gallery"},
]


def test_a_given_split_is_honoured_and_its_leaks_leave_train(tmp_path: Path) -> None:
    made = make(tmp_path, GIVEN)
    assert table(made)["part"].to_list()[:4] == [None, "test", "test", "valid"]
    assert table(made)["reason"][0] == "the feed puts it into train, its kin into test"
    assert certificate(made)["given"] == {
        **{"listings": {"test": 1, "train": 1, "valid": 1}, "unknown": {"gallery": 1}},
        **{"leaks": 1, "conflict": "drop"},
    }
    assert prove(made).holds
    ignored = make(tmp_path / "ignored", GIVEN, given="ignore")
    assert table(ignored)["part"].to_list()[:3] == [part_of("g", Split())] * 3


def test_words_of_a_given_split_that_name_no_part_are_told(tmp_path: Path) -> None:
    console = Console(record=True, quiet=False, width=200, file=StringIO())
    make(tmp_path, [{"given": "[/b] gallery"}, {"given": "[/b] gallery"}, {"given": "query"}], console)
    assert "names no part for 3 listings, for example '[/b] gallery'" in console.export_text()


def test_leaks_of_a_given_split_can_fail_or_be_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 components of kin lie in two given parts, for example a, b; correct"):
        make(tmp_path / "fail", GIVEN, conflict="fail")
    made = make(tmp_path / "report", GIVEN, conflict="report")
    assert table(made)["part"].to_list()[:2] == ["train", "test"] and certificate(made)["cross"] > 0
    assert not prove(made).holds


def test_a_split_that_was_tampered_with_does_not_hold(tmp_path: Path) -> None:
    made = make(tmp_path, [{"group": f"group {i // 3}"} for i in range(300)])
    path = made["split"].folder / "split.parquet"
    other = "valid" if table(made)["part"][0] == "test" else "test"
    moved = table(made).with_columns(part=pl.when(pl.col("row") == 0).then(pl.lit(other)).otherwise("part"))
    path.chmod(0o644)
    moved.write_parquet(path)
    verdict = prove(made)
    assert not verdict.holds
    told = "split: split.parquet is not what the split was made of, or was changed since; delete "
    assert any(line.startswith(told) for line in verdict.lines)
    assert "2 of 300 pairs of product group cross the split" in verdict.lines


@pytest.mark.parametrize(
    ("stage", "name"),
    [("ingest", "items.parquet"), ("duplicates", "pictures.parquet"), ("split", "certificate.json")],
)
def test_a_damaged_file_is_named(tmp_path: Path, stage: str, name: str) -> None:
    made = make(tmp_path, [{"group": f"group {i // 3}"} for i in range(30)])
    path = made[stage].folder / name
    path.chmod(0o644)
    path.write_bytes(b"\0" * path.stat().st_size)
    verdict = prove(made)
    assert not verdict.holds
    assert verdict.lines[-1].startswith(f"{stage}: {name} is not what the split was made of, or was changed since")


def test_what_the_search_missed_is_found_by_comparing_with_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [a + b for a in ("ka", "lo", "mi", "ru", "te") for b in ("dan", "fer", "gol", "va", "nix", "pu")]
    titles = [" ".join(words[(i * k * k + k) % 30] + str(k) for k in range(1, 7)) for i in range(40)]
    lines = [{"title": title} for title in titles] + [{"title": " ".join(title.split()[::-1])} for title in titles]
    assert prove(make(tmp_path / "whole", lines)).holds
    monkeypatch.setattr(find, "kin", lambda *_: pl.DataFrame(schema=PAIRS))
    verdict = prove(make(tmp_path / "blind", lines))
    assert not verdict.holds
    assert any("80 listings compared with all (6400 pairs of texts, 0 of pictures)" in line for line in verdict.lines)


def test_a_pair_that_is_none_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    invented = pl.DataFrame([(3, 4, "near text", 0.9)], PAIRS, orient="row")
    monkeypatch.setattr(find, "kin", lambda *_: invented)
    verdict = prove(make(tmp_path, [{}] * 20))
    assert not verdict.holds and "1 of 1 pairs of pairs.parquet are not alike" in verdict.lines
