"""A file of ours that stands alone: what it imports from workbench is written into it, and what that needs in turn.

So heads and what they read are defined once, and an exported folder has them as they are.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

BESIDE = "workbench.export.code."  # modules that lie beside the file


def inlined(path: Path) -> str:
    """The source of a Python file whose imports from workbench, one line each, are replaced by what they name:
    functions, classes, and constants that are written as they print. Annotations are left as they are, unread."""
    text = path.read_text("utf-8").replace(f"from {BESIDE}", "from .")
    tree, lines = ast.parse(text), text.splitlines()
    ours = [n for n in tree.body if isinstance(n, ast.ImportFrom) and str(n.module).startswith("workbench")]
    written = dict.fromkeys(_imports(tree), "")  # by name; "" where it stands there already
    for node in ours:
        for alias in node.names:
            del written[alias.name]
            _add(written, importlib.import_module(str(node.module)), alias.name)
    for node in reversed(ours):
        del lines[node.lineno - 1 : node.end_lineno]
    at = ours[0].lineno - 1 if ours else len(lines)
    sources = sorted(filter(None, written.values()), key=lambda source: source.startswith("\n"))  # imports first
    return "\n".join([*lines[:at], *sources, *lines[at:], ""])


def _add(written: dict[str, str], module: ModuleType, name: str) -> None:
    """What a name of a module stands for, after all that it uses."""
    if name in written:
        return
    value = getattr(module, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        written[name] = f"\n{name} = {value!r}"
        return
    home, source = importlib.import_module(value.__module__), inspect.getsource(value)
    imports = _imports(ast.parse(inspect.getsource(home)))
    for used in _Names.of(source):
        if used != name and _is_ours(vars(home).get(used)):
            _add(written, home, used)
        elif used in imports:
            written.setdefault(used, imports[used])
    written[name] = f"\n\n{source.rstrip()}"


def _is_ours(value: Any) -> bool:
    return isinstance(value, int | float | str | tuple) or getattr(value, "__module__", "").startswith("workbench")


def _imports(module: ast.Module) -> dict[str, str]:
    """The statement that gives each imported name."""
    found: dict[str, str] = {}
    for node in module.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            begin = f"from {node.module} import" if isinstance(node, ast.ImportFrom) else "import"
            for alias in node.names:
                known_as = f" as {alias.asname}" if alias.asname else ""
                found[alias.asname or alias.name.partition(".")[0]] = f"{begin} {alias.name}{known_as}"
    return found


class _Names(ast.NodeVisitor):
    """The names that are read when code runs."""

    def __init__(self) -> None:
        self.found: dict[str, None] = {}

    @classmethod
    def of(cls, source: str) -> list[str]:
        visitor = cls()
        visitor.visit(ast.parse(source))
        return list(visitor.found)

    def visit_Name(self, node: ast.Name) -> None:
        self.found[node.id] = None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.decorator_list, *node.args.defaults, *node.body):
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)
