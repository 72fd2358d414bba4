"""The floors of the house (docs/design.md): a module imports only lower floors or its own package."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "workbench"
FLOORS = {
    **dict.fromkeys(("batch", "draws", "errors", "linux", "progress"), 0),
    "recipe": 1,
    "artifacts": 2,
    **dict.fromkeys(("catalog", "images", "text", "model"), 3),
    **dict.fromkeys(("batches", "evaluate", "train"), 4),
    "tasks": 5,
    **dict.fromkeys(("answers", "bench", "forecast", "report", "sources"), 6),
    "addresses": 7,
    "plan": 7,
    **dict.fromkeys(("export", "serve"), 7),
    "together": 8,
    **dict.fromkeys(("ablate", "chaos", "doctor", "notebook", "wizard"), 8),
    "terminal": 8,
    **dict.fromkeys(("cache", "command", "completion"), 9),
    "asking": 10,
    "cli": 11,
    "__main__": 12,
}
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
JUNK = {"utils", "util", "common", "misc", "helpers"}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports at run time, at the top or inside a function."""
    tree = ast.parse(path.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_sees_only_lower_floors(path):
    assert path.stem not in JUNK
    own = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "workbench" and len(parts) > 1 and parts[1] in FLOORS and parts[1] != own:
            assert FLOORS[parts[1]] < FLOORS[own], f"{own} (floor {FLOORS[own]}) imports {name}"
        if parts[0] == "torch":
            assert FLOORS[own] > 3 or own == "model", f"{own} imports {name}"
        if parts[0] == "nvidia":
            assert path.stem == "decode_dali"


def test_every_room_has_a_floor():
    assert {room(path) for path in MODULES} == FLOORS.keys()


def test_the_page_on_the_house_tells_the_floor_of_each_room():
    page = (ROOT.parent / "docs/design.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", page, re.M)
    told = {name: int(floor) for floor, names in rows for name in re.findall(r"`(\w+)(?:/|\.py)`", names)}
    assert told == FLOORS


def test_nothing_in_the_house_is_hidden_from_this_test():
    assert len(MODULES) > 20
