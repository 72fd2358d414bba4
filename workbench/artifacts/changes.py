"""What differs between two things that artifacts are made of, told by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.artifacts.store import Store

Ingredients = Mapping[str, Any]  # stage, version, section, inputs, sources: what a key is made of


def changes(old: Ingredients, new: Ingredients, known: Mapping[str, Ingredients], store: Store) -> list[str]:
    """Each field that differs, as `images.side: 64 -> 48`; a changed input is traced to what changed in it.

    `known` are the ingredients of the new inputs by stage; the old ones are looked up in the store.
    """
    found = []
    if old["version"] != new["version"]:
        found.append(f"stage {new['stage']}: version {old['version']} -> {new['version']}")
    before, after = dict(_leaves(old["section"])), dict(_leaves(new["section"]))
    for field in _differing(before, after):
        found.append(f"{field}: {before.get(field, 'absent')} -> {after.get(field, 'absent')}")
    found += [f"{source}: content changed" for source in _differing(old["sources"], new["sources"])]
    for name in _differing(old["inputs"], new["inputs"]):
        was = next((a for a in store.all_of(name) if a.key == old["inputs"].get(name)), None)
        if was and name in new["inputs"] and name in known:
            found += changes(was.ingredients, known[name], known, store)
        else:
            found.append(f"input {name} changed")
    return list(dict.fromkeys(found))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and JSON of every leaf."""
    pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, (list, tuple)) else ()
    if not pairs:
        yield path, json.dumps(tree, ensure_ascii=False)
    for name, value in pairs:
        yield from _leaves(value, f"{path}.{name}" if path else str(name))
