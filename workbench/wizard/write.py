"""A sight and what was decided -> the text of a recipe, with a comment wherever a reader may wonder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.forecast.words import span
from workbench.recipe.load import to_yaml
from workbench.wizard.cells import Column
from workbench.wizard.sight import Sight
from workbench.wizard.sizes import Sized
from workbench.wizard.tasks import Wish

WIDTH = 36  # of a line before its comment


def text(name: str, sight: Sight, recipe: Mapping[str, Any], wished: Sequence[Wish], sized: Sized) -> str:
    """`recipe` are the sections catalog and fetch, as plain values."""
    low, high = sized.range
    machine = sized.machine.gpu or f"{sized.machine.cores} CPU cores"
    head = [
        f"{_plain(sight.feed.path.name if sight.feed.path else '')}: {sight.total:,} products. Written by `mlim init`; "
        "change what you like (docs/recipe.md has every key).",
        "",
        f"  mlim plan {name}     what would run, and how long it takes",
        f"  mlim run {name}      everything, through to the report: {span(low, high)} on {machine}",
    ]
    return "\n".join(
        [
            *(f"# {line}".rstrip() for line in head),
            "",
            *_catalog(sight, recipe["catalog"]),
            *_fetch(sight, recipe),
            *_sizes(sight, sized),
            *_tasks(wished),
        ]
    )


def _catalog(sight: Sight, catalog: Mapping[str, Any]) -> Iterator[str]:
    feed = catalog["feeds"][0]
    notes = {column.word: column for column in sight.columns}
    yield "catalog:"
    if "language" in catalog:
        yield _line(2, "language", catalog["language"], "which of the feed's languages is read")
    yield "  feeds:"
    comments = {"feed": "told by its header (docs/feeds.md)", "pictures": "a folder, .zip or .tar, read in place"}
    for i, key in enumerate(key for key in feed if key != "columns"):
        yield _line(4, key, feed[key], comments.get(key, ""), "- " if i == 0 else "  ")
    yield "      columns:"
    for role, word in feed["columns"].items():
        if isinstance(word, dict):
            yield f"        {role}: {SECTIONS[role]}"
            yield from (_line(10, name, each, _note(notes.get(each))) for name, each in word.items())
        else:
            note = _note(notes.get(word)) if isinstance(word, str) else "further pictures"
            yield _line(8, role, word, ROLES.get(role, "") or note)
    read = feed["columns"].get("text", {}).values()
    for column in sight.columns:
        if column.role.startswith("text ") and column.word not in read:
            name = column.role.removeprefix("text ")
            yield f"        # text {_plain(f'{name}: {column.word}')} says what the model is to tell: not read"
    unused = [column.word for column in sight.columns if not column.role]
    if unused:
        yield f"      # not read: {_plain(', '.join(unused))}"
    yield ""


SECTIONS = {
    "text": "# what the model reads beside the title",
    "labels": "# what it may learn to say, and never reads",
}
ROLES = {
    "group": "listings of one product: never on both sides of the split",
    "code": "GTIN: listings of one code are one product",
    "price": "shown, never read",
    "split": "the feed's own split is kept; `split: {given: ignore}` makes another",
}


def _note(column: Column | None) -> str:
    if column is None:
        return ""
    if column.role.startswith("label"):
        most = ", ".join(f"{e} ({n})" for e, n in zip(column.examples, column.counts, strict=True))
        return f"{column.filled:.0%} filled, {column.values:,} values: {most}"
    return f"{column.filled:.0%} filled, as {' | '.join(column.examples[:2])}" if column.examples else "empty"


def _fetch(sight: Sight, recipe: Mapping[str, Any]) -> Iterator[str]:
    hosts, many = ", ".join(sight.pictures.hosts), f"{sight.web:,}"
    if "fetch" in recipe:
        yield f"fetch: # download the {many} pictures that are web addresses, at {hosts} (docs/fetch.md)"
        yield _line(2, "most_bytes", recipe["fetch"]["most_bytes"], "a run that would take more stops and says so")
        yield _line(2, "contact", "", "your e-mail or web address, told to those servers")
        if own := sight.pictures.own:
            named = recipe["fetch"].get("allow_hosts")
            line = _line(2, "allow_hosts", [*own], "of your own network; no other host there is asked")
            yield line if named else line.replace("  ", "  # ", 1)
        yield ""
    elif sight.pictures.web:
        yield f"# fetch: {{}} # would download the {many} pictures that are web addresses, at {hosts} (docs/fetch.md)"
        yield ""


def _sizes(sight: Sight, sized: Sized) -> Iterator[str]:
    tree = sized.tree
    side = sight.pictures.side
    yield f"images: {_flow(tree['images'])} # pixels" + (f"; half of the pictures have {side} and more" if side else "")
    yield f"tokens: {_flow(tree['tokens'])} # the longest texts have {sight.words[1]:.0f} words"
    patches = (tree["model"]["image_side"] // tree["model"]["patch"]) ** 2
    yield f"model: {_flow(tree['model'])} # {patches} image tokens; sizes: tiny, small, base, large"
    yield f"pretrain: {_flow(tree['pretrain'])}"
    yield ""


def _tasks(wished: Sequence[Wish]) -> Iterator[str]:
    if not wished:
        yield "# finetune: # no task yet; docs/tasks.md has match, classify, retrieve and fill"
    else:
        yield "finetune:"
        yield from (f"  {wish.task}: {_flow(wish.section)} # {wish.why}" for wish in wished)
    yield ""


def _line(indent: int, key: str, value: Any, comment: str, mark: str = "") -> str:
    entry = _flow({key: value})[1:-1]
    if entry.startswith("? "):  # a word of several lines, or a very long one
        entry = f"{_quoted(key)}: {_quoted(value)}"
    line = f"{' ' * indent}{mark}{entry}"
    return f"{line:<{WIDTH}} # {_plain(comment)}" if comment else line


def _quoted(text: str) -> str:
    """In double quotes, which YAML has from JSON."""
    return re.sub("[\x85\u2028\u2029]", lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(text, ensure_ascii=False))


def _plain(comment: str) -> str:
    """On one line, of characters that YAML takes."""
    return "".join(c for c in " ".join(comment.split()) if c.isprintable())


def _flow(tree: Mapping[str, Any]) -> str:
    """In braces, on one line."""
    return to_yaml(tree, flow=True)
