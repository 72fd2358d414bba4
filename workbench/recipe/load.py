"""YAML -> Recipe: `extends`, `--set a.b=c`, `${ENV}`, YAML 1.2 scalars, and errors that name file, line and key.

PyYAML follows YAML 1.1, where `1e-4` is text, `no` is False and `12:30` is 750; so only its parser is used here and
scalars are resolved by the core schema of YAML 1.2 (section 10.3.2).
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from workbench.errors import RecipeError
from workbench.recipe.places import READ, WRITTEN, is_url, path_of, url_of, usual_scratch
from workbench.recipe.schema import IS_WRITTEN, ON_HUB, Recipe, check_side, fields, sections

KeyPath = tuple[str | int, ...]
Bring = Callable[[Path], object]

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Origin:
    """Where a key was written: a line of a file, or a `--set`."""

    where: str
    folder: Path  # relative paths in the value are relative to it


@dataclass(frozen=True)
class _Late:
    """A scalar with `${ENV}` in it, filled in when all files are merged: one that is overridden needs no variable."""

    text: str
    quoted: bool


@dataclass
class _Source:
    """A tree of plain values and the origin of every key in it."""

    tree: dict[str, Any]
    origins: dict[KeyPath, Origin]


def load_recipe(path: Path, sets: Sequence[str] = (), bring: Bring = lambda path: None) -> Recipe:
    """Read a recipe file, lay the `--set` values over it, and check every key; `bring` copies what it extends, if that
    is in object storage.

    Raises RecipeError naming file, line and key of everything wrong at once.
    """
    source = _read(path, bring)
    for text in sets:
        _set(source, text)
    top = Origin(str(path), path.absolute().parent)
    source.tree.setdefault("name", path.stem)
    return _validate(source, top)


def recipe_from_tree(tree: dict[str, Any], folder: Path, sets: Sequence[str] = ()) -> Recipe:
    """A recipe from plain values (the one guessed for a bare feed); relative paths are relative to `folder`."""
    source = _Source(tree, {})
    for text in sets:
        _set(source, text)
    return _validate(source, Origin("the guessed recipe", folder.absolute()))


def to_yaml(tree: Mapping[str, Any], flow: bool = False) -> str:
    """The YAML of plain values, in their order, such that `load_recipe` reads the same values back; `flow`: in braces,
    on one line."""
    width = float("inf") if flow else 120
    written: str = yaml.dump(
        tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width, default_flow_style=flow
    )
    return written.strip() if flow else written


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 would take for something else than text."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    plain = parse_scalar(text) is text
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else "'")


_Dumper.add_representer(str, _represent_text)


def parse_scalar(text: str) -> bool | int | float | str | None:
    """A plain scalar by the core schema of YAML 1.2 (section 10.3.2)."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if re.fullmatch(r"[-+]?\.(inf|Inf|INF)", text):
        return float(text.replace(".", ""))
    if text in (".nan", ".NaN", ".NAN"):
        return float("nan")
    return text


def _read(path: Path, bring: Bring, named_by: str = "", seen: tuple[Path, ...] = ()) -> _Source:
    """A recipe file laid over those it extends; `named_by` is the line that asked for it."""
    if path.resolve() in seen:
        raise RecipeError(f"{named_by}extends itself by way of {' -> '.join(p.name for p in (*seen, path))}")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: byte {error.start} is not UTF-8; save the recipe as UTF-8") from None
    except OSError as error:
        raise RecipeError(f"{named_by}{path}: {error.strerror}; expected the path of a recipe file") from None
    own = _parse(text, str(path), path.parent.absolute())
    parent = _fill_in(own.tree.pop("extends", None), ("extends",), own.origins)
    if parent is None:
        return own
    where = _where(own.origins, ("extends",))
    if not isinstance(parent, str):
        raise RecipeError(f"{where}: extends is {parent!r}; expected the path of one recipe file")
    base = _read(_beside(path, parent, where, bring), bring, f"{where}: extends: ", (*seen, path.resolve()))
    _merge(base, own)
    return base


def _beside(path: Path, named: str, where: str, bring: Bring) -> Path:
    """The path of what a recipe file extends; of an address, which one beside an address is, too, that of its copy."""
    found = path.parent / os.path.expanduser(named)
    try:
        if url := named if is_url(named) else url_of(os.path.normpath(found)):
            bring(found := path_of(url, usual_scratch()))
    except ValueError as error:
        raise RecipeError(f"{where}: extends: {error}") from None
    return found


def _parse(text: str, name: str, folder: Path) -> _Source:
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark else name
        raise RecipeError(f"{place}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{name}: not valid YAML: {error}") from None
    source = _Source({}, {})
    if root is None:
        return source
    if not isinstance(root, yaml.MappingNode):
        raise RecipeError(f"{name}, line 1: expected keys such as `catalog:`, found {_kind(root)}")
    source.tree = _construct(root, (), source.origins, name, folder)
    return source


def _kind(node: yaml.Node) -> str:
    return "keys" if isinstance(node, yaml.MappingNode) else "a list" if isinstance(node, yaml.SequenceNode) else "text"


def _construct(node: yaml.Node, path: KeyPath, origins: dict[KeyPath, Origin], name: str, folder: Path) -> Any:
    where = f"{name}, line {node.start_mark.line + 1}" if node.start_mark else name
    origins.setdefault(path, Origin(where, folder))
    if isinstance(node, yaml.MappingNode):
        tree: dict[str, Any] = {}
        for key_node, value in node.value:
            key_where = f"{name}, line {key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError(f"{key_where}: a key must be a word, found {_kind(key_node)}")
            key = key_node.value
            if key in tree:
                raise RecipeError(f"{key_where}: {_dotted((*path, key))} is given twice; keep one of them")
            origins[(*path, key)] = Origin(key_where, folder)
            tree[key] = _construct(value, (*path, key), origins, name, folder)
        return tree
    if isinstance(node, yaml.SequenceNode):
        return [_construct(child, (*path, i), origins, name, folder) for i, child in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    if _ENV.search(node.value):
        return _Late(node.value, quoted=bool(node.style))
    return node.value if node.style else parse_scalar(node.value)


def _fill_in(value: Any, path: KeyPath, origins: Mapping[KeyPath, Origin]) -> Any:
    """The value with its environment variables filled in."""
    if isinstance(value, dict):
        return {key: _fill_in(inner, (*path, key), origins) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill_in(inner, (*path, i), origins) for i, inner in enumerate(value)]
    if not isinstance(value, _Late):
        return value
    unset = next((name for name in _ENV.findall(value.text) if name not in os.environ), None)
    if unset:
        raise RecipeError(
            f"{_where(origins, path)}: {_dotted(path)} uses ${{{unset}}}, and the environment variable {unset} is "
            f"not set; set it, for example: export {unset}=..."
        )
    text = _ENV.sub(lambda m: os.environ[m[1]], value.text)
    return text if value.quoted else parse_scalar(text)


def _set(base: _Source, text: str) -> None:
    """Lay one `--set a.b=value` over the tree, in place; the value is a scalar, or YAML in [], {} or quotes."""
    key, equals, value = (part.strip() for part in text.partition("="))
    parts = key.split(".")
    if not equals or not all(parts):
        raise RecipeError(f"--set {text}: expected a.b=value, for example --set pretrain.epochs=3")
    origin = Origin(f"--set {text}", Path.cwd())
    path: KeyPath = ()
    node: Any = base.tree
    for part in parts:
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                raise RecipeError(f"--set {text}: {_dotted(path)} is a list of {len(node)}, counted from 0")
            path, node = (*path, int(part)), node[int(part)]
        else:
            path, node = (*path, part), node.get(part) if isinstance(node, dict) else None
    origins = {path[:i]: origin for i in range(1, len(path) + 1)}
    tree: Any
    if value[:1] in ("[", "{", '"', "'"):
        parsed = _parse(f"value: {value}", f"--set {text}", Path.cwd())
        tree = parsed.tree["value"]
        origins |= {(*path, *inner[1:]): origin for inner in parsed.origins if inner}
    else:
        tree = _Late(value, quoted=False) if _ENV.search(value) else parse_scalar(value)
    for step in reversed(path):
        tree = {step: tree}
    _merge(base, _Source(tree, origins))


def _merge(base: _Source, over: _Source) -> None:
    """Lay `over` on `base`, in place: sections merge key by key, lists and values are replaced whole."""
    base.tree = _overlay(base.tree, over.tree)
    base.origins.update(over.origins)


def _overlay(old: Any, new: Any) -> Any:
    if isinstance(old, list) and isinstance(new, dict) and new and all(isinstance(k, int) for k in new):
        return [_overlay(value, new[i]) if i in new else value for i, value in enumerate(old)]  # --set feeds.0.path
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    if "policy" in new and new["policy"] != old.get("policy"):
        return new  # another masking policy has other keys: nothing of the old one applies
    return old | {key: _overlay(old.get(key), value) for key, value in new.items()}


def _validate(source: _Source, top: Origin) -> Recipe:
    source.tree = {"runtime": {}, **_fill_in(source.tree, (), source.origins)}  # its paths have defaults to resolve
    _resolve_paths(Recipe, source.tree, (), source.origins, top, _scratch(source, top))
    try:
        recipe = Recipe.model_validate_json(json.dumps(source.tree), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        # A list with a bad entry is also reported as too short: only the innermost error helps.
        inner = [d for d in details if not any(_lies_within(other["loc"], d["loc"]) for other in details)]
        lines = dict.fromkeys(_explain(detail, source, top) for detail in inner)
        raise RecipeError("\n".join(lines)) from None
    _check_tasks(recipe, source, top)
    _check_sampling(recipe, source, top)
    if not (recipe.model.size or recipe.model.bert or recipe.model.checkpoint):
        where = _where(source.origins, ("model", "size")) or top.where
        raise RecipeError(f"{where}: model.size is null without model.bert; give one of the two")
    return _with_words_of_bert(recipe)


def _check_tasks(recipe: Recipe, source: _Source, top: Origin) -> None:
    """A label that no feed has would only be noticed after pre-training; one that the model reads, never."""
    tuned, key = recipe.finetune, ("finetune",)
    if tuned.classify and not tuned.classify.labels:
        for label in [tuned.classify.label] if isinstance(tuned.classify.label, str) else tuned.classify.label:
            _check_known(recipe, source, top, (*key, "classify", "label"), label)
            _check_unread(recipe, source, top, (*key, "classify"), "labels", label)
    for i, name in enumerate(tuned.fill.attributes if tuned.fill else ()):
        kinds = ("text",) if tuned.fill and tuned.fill.answer == "words" else ("labels", "text")
        _check_known(recipe, source, top, (*key, "fill", "attributes", i), name, kinds)
        for kind in kinds:
            _check_unread(recipe, source, top, (*key, "fill"), kind, name)
    if tuned.match:
        _check_product(recipe, source, top, (*key, "match", "mine", "by"), tuned.match.mine.by, tuned.match.pairs)
    if tuned.retrieve:
        _check_product(recipe, source, top, (*key, "retrieve", "by"), tuned.retrieve.by, tuned.retrieve.pairs)
    if tuned.retrieve and tuned.retrieve.across not in (None, "feed"):
        _check_known(recipe, source, top, (*key, "retrieve", "across"), tuned.retrieve.across)


def _check_product(recipe: Recipe, source: _Source, top: Origin, key: KeyPath, by: str, pairs: Path | None) -> None:
    """What tells which listings are one product must be there; groups and codes only where no pairs tell it."""
    if by not in ("group", "code"):
        return _check_known(recipe, source, top, key, by)
    columns = [feed.columns for feed in recipe.catalog.feeds]
    if not pairs and all(roles and not getattr(roles, by) for roles in columns):
        raise RecipeError(
            f"{_where(source.origins, key) or top.where}: {_dotted(key)}: {by}: no feed names columns.{by}, so no two "
            f"listings would be one product; name it, give a label's name here, or give {_dotted(key[:2])}.pairs"
        )


def _check_unread(recipe: Recipe, source: _Source, top: Origin, task: KeyPath, kind: str, name: str) -> None:
    """What a task asks for, the model must not read under another name."""
    for i, roles in enumerate(feed.columns for feed in recipe.catalog.feeds):
        if not roles or (word := getattr(roles, kind).get(name)) is None:
            continue
        read: dict[KeyPath, str] = {("title",): roles.title, **{("text", role): c for role, c in roles.text.items()}}
        for role in (role for role, column in read.items() if column == word and role != (kind, name)):
            at = ("catalog", "feeds", i, "columns", *role)
            asked = "label" if kind == "labels" else f"attribute {name!r}"
            raise RecipeError(
                f"{_where(source.origins, at) or top.where}: {_dotted(at)} is the column {word!r}, which is also the "
                f"{asked} of {_dotted(task)}: the model would read the answer; take it out of one of them"
            )


def _check_sampling(recipe: Recipe, source: _Source, top: Origin) -> None:
    """What only the other sections tell: labels, and the side of a patch."""
    key: KeyPath = ("pretrain", "sampling")
    for name in ("balance", "weights"):
        if how := getattr(recipe.pretrain.sampling, name):
            _check_known(recipe, source, top, (*key, name, "label"), how.label)
    for i, (_, side) in enumerate(recipe.pretrain.sampling.sides):
        at = (*key, "sides", i)
        try:
            check_side(_dotted(at), side, "model.patch", recipe.model.patch)
        except ValueError as error:
            raise RecipeError(f"{_where(source.origins, at) or top.where}: {error}") from None


def _check_known(
    recipe: Recipe, source: _Source, top: Origin, key: KeyPath, name: str, kinds: Sequence[str] = ("labels",)
) -> None:
    """`kinds` of columns, of which one must have the name."""
    columns = [feed.columns for feed in recipe.catalog.feeds]
    known = {word for roles in columns if roles for kind in kinds for word in getattr(roles, kind)}
    if None not in columns and name not in known:
        wanted = "a label" if kinds == ("labels",) else "an attribute"
        raise RecipeError(
            f"{_where(source.origins, key) or top.where}: {_dotted(key)}: no feed has {wanted} {name!r} in "
            f"{' or '.join(f'columns.{kind}' for kind in kinds)}; "
            f"{'it has: ' + ', '.join(sorted(known)) if known else 'add it there'}"
        )


def _with_words_of_bert(recipe: Recipe) -> Recipe:
    """Published weights are those of published words."""
    if not recipe.model.bert or recipe.tokens.tokenizer:
        return recipe
    return recipe.model_copy(update={"tokens": recipe.tokens.model_copy(update={"tokenizer": recipe.model.bert})})


def _lies_within(loc: KeyPath, outer: KeyPath) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _explain(detail: Any, source: _Source, top: Origin) -> str:
    path, section = _locate(detail["loc"])
    place = f"{_where(source.origins, path) or top.where}: "
    kind, found = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return f"{place}unknown key {_dotted(path)}; {_nearest(path, section)}"
    if kind == "missing":
        return f"{place}{_dotted(path)} is missing; add it (docs/recipe.md tells what it means)"
    if kind == "union_tag_invalid":
        context = detail["ctx"]
        return f"{place}{_dotted(path)}.policy: expected one of {context['expected_tags']}, found '{context['tag']}'"
    message = detail["msg"].removeprefix("Value error, ")
    if kind == "model_type":
        message = "expected keys below it (leave it out for its defaults)"
    shown = "" if isinstance(found, dict) else f", found {'nothing' if found is None else repr(found)}"
    return f"{place}{_dotted(path)}: {message[:1].lower()}{message[1:]}{shown}"


def _nearest(path: KeyPath, section: type[BaseModel]) -> str:
    """The right key for a wrong one: the most alike of its section, else the same word in another section."""
    name = str(path[-1])
    near = difflib.get_close_matches(name.lower(), section.model_fields, n=1, cutoff=0.5)
    elsewhere = [key for key in fields(Recipe) if key.rpartition(".")[2] == name and key != _dotted(path)]
    elsewhere.sort(key=lambda key: (not key.startswith(f"{path[0]}."), len(key)))
    if near or elsewhere:
        return f"did you mean `{_dotted((*path[:-1], near[0])) if near else elsewhere[0]}`?"
    return f"known keys here: {', '.join(section.model_fields)}"


def _locate(loc: KeyPath) -> tuple[KeyPath, type[BaseModel]]:
    """The recipe path of a pydantic location (which also names branches of unions), and the section it lies in."""
    path: KeyPath = ()
    section: type[BaseModel] = Recipe
    models = [section]
    for part in loc:
        branch = [model for model in models if _policy(model) == part]
        if branch and len(models) > 1:
            models = branch
            continue
        path = (*path, part)
        if isinstance(part, str) and models:
            section = models[0]
            field = section.model_fields.get(part)
            models = list(sections(field.annotation)) if field else []
    return path, section


def _policy(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("policy")
    return get_args(field.annotation)[0] if field else None


def _scratch(source: _Source, top: Origin) -> Path:
    runtime = source.tree["runtime"]
    given = runtime.get("scratch") if isinstance(runtime, dict) else None
    folder = source.origins.get(("runtime", "scratch"), top).folder
    return Path(_absolute(folder, given)) if isinstance(given, str) else usual_scratch()


def _resolve_paths(
    model: type[BaseModel], tree: Any, path: KeyPath, origins: Mapping[KeyPath, Origin], top: Origin, scratch: Path
) -> None:
    """Make every value of a `Path` field absolute, in place, by the folder of the file that wrote it, and addresses in
    object storage paths below `scratch`; what may be a name on the Hugging Face hub, and is no path of this machine,
    stays as it is."""
    if isinstance(tree, list):
        for i, child in enumerate(tree):
            _resolve_paths(model, child, (*path, i), origins, top, scratch)
    if not isinstance(tree, dict):
        return
    for name, field in model.model_fields.items():
        value, key = tree.get(name, field.default), (*path, name)
        if _is_path(field.annotation) and isinstance(value, (str, Path)):
            tree[name] = _resolved(value, field.json_schema_extra, key, origins, top, scratch)
        elif get_args(field.annotation)[:1] == (Path,) and isinstance(value, list):
            tree[name] = [
                _resolved(each, field.json_schema_extra, (*key, i), origins, top, scratch)
                if isinstance(each, str)
                else each
                for i, each in enumerate(value)
            ]
        for inner in sections(field.annotation):
            _resolve_paths(inner, tree.get(name), (*path, name), origins, top, scratch)


def _resolved(
    value: str | Path, mark: Any, key: KeyPath, origins: Mapping[KeyPath, Origin], top: Origin, scratch: Path
) -> str:
    resolved = _absolute(origins.get(key, top).folder, value)
    try:
        if url := str(value) if is_url(str(value)) else url_of(resolved):
            return str(path_of(url, scratch, WRITTEN if mark == IS_WRITTEN else READ))
    except ValueError as error:
        raise RecipeError(f"{_where(origins, key) or top.where}: {_dotted(key)}: {error}") from None
    on_hub = mark == ON_HUB and _HUB_NAME.fullmatch(str(value))
    return str(value) if on_hub and not os.path.exists(resolved) else resolved


def _absolute(folder: Path, value: str | Path) -> str:
    return os.path.normpath(folder / os.path.expanduser(value))


def _is_path(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return any(_is_path(a) for a in get_args(annotation))
    return annotation is Path


def _where(origins: Mapping[KeyPath, Origin], path: KeyPath) -> str:
    """Origin of the key, or of the nearest section around it."""
    return next((origins[path[:end]].where for end in range(len(path), 0, -1) if path[:end] in origins), "")


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)
