"""docs/recipe.md from the schema: `python -m workbench.recipe.doc > docs/recipe.md`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.recipe.schema import Recipe

INTRO = """# Every key of a recipe

Made from `workbench/recipe/schema.py` by `python -m workbench.recipe.doc > docs/recipe.md`; don't edit it by hand.

A recipe is a YAML file (1.2). `extends: other.yaml` lays it over another recipe: sections merge key by key, lists are
replaced whole. `--set a.b=value` lays one key over both (`--set catalog.feeds.0.path=...` for an entry of a list).
Relative paths are relative to the file that has them, those of `--set` to the working directory. `${NAME}` is the
environment variable NAME. An unknown key is an error.
"""

Schema = Mapping[str, Any]  # JSON schema of a section or of a value


def page() -> str:
    """The whole page, in Markdown: a table for each section, in the order in which a recipe names them."""
    root = Recipe.model_json_schema()
    places: dict[str, list[str]] = {}
    _find(root, root["$defs"], "", places)
    tables = [_table("Recipe", root, root["$defs"], [])]
    tables += [_table(name, root["$defs"][name], root["$defs"], where) for name, where in places.items()]
    return INTRO + "".join(tables)


def _find(section: Schema, defs: Schema, path: str, places: dict[str, list[str]]) -> None:
    """Where in a recipe each section stands."""
    for key, value in section["properties"].items():
        for name in _refs(value):
            where = f"{path}.{key}".lstrip(".")
            places.setdefault(name, []).append(where)
            _find(defs[name], defs, where, places)


def _table(name: str, section: Schema, defs: Schema, places: list[str]) -> str:
    where = f" ({', '.join(f'`{p}`' for p in places)})" if places else ""
    lines = [
        f"\n## {name}\n",
        section["description"].replace("\n", " ") + where,
        "",
        "| key | value | default | meaning |",
    ]
    lines.append("| --- | --- | --- | --- |")
    for key, value in section["properties"].items():
        default = _default(value, defs) if key not in section.get("required", ()) else "needed"
        lines.append(f"| `{key}` | {_values(value)} | {default} | {value.get('description', '')} |")
    return "\n".join(lines) + "\n"


def _refs(value: Schema) -> Iterator[str]:
    """Names of the sections that a value may be."""
    if "$ref" in value:
        yield value["$ref"].rpartition("/")[2]
    for inner in (*value.get("anyOf", ()), *value.get("oneOf", ()), value.get("items")):
        if inner:
            yield from _refs(inner)


def _values(value: Schema) -> str:
    """What may stand there."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if options := value.get("anyOf") or value.get("oneOf"):
        return " or ".join(_values(option) for option in options)
    if "const" in value or "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value.get("enum", [value.get("const")]))
    if value["type"] == "array":
        each = value.get("items") or value["prefixItems"][0]
        return f"list of {value['maxItems'] if 'prefixItems' in value else ''} {_values(each)}".replace("  ", " ")
    if value["type"] == "object":
        return f"name: {_values(value['additionalProperties'])}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    kind = (
        "path" if value.get("format") == "path" else {"string": "text", "boolean": "true or false"}.get(value["type"])
    )
    return " ".join(
        [kind or value["type"], ", ".join(f"{sign} {value[b]:.10g}" for b, sign in bounds.items() if b in value)]
    ).strip()


def _default(value: Schema, defs: Schema) -> str:
    """The default; of a section only what differs from its own defaults."""
    default = value.get("default")
    own = [defs[name]["properties"] for name in _refs(value)]
    if isinstance(default, dict) and own:
        default = {k: v for k, v in default.items() if v != own[0].get(k, {}).get("default", v)}
    return f"`{json.dumps(default, ensure_ascii=False)}`" if default != {} else ""


if __name__ == "__main__":
    print(page(), end="")
