"""The files a recipe names, and what stands in for those that are not on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.artifacts.key import Digests
from workbench.artifacts.mirror import bring
from workbench.artifacts.pushed import Pushed, push
from workbench.artifacts.remote import Remote, Sent
from workbench.artifacts.stage import Stage
from workbench.artifacts.store import Artifact
from workbench.catalog.feeds.layouts import is_joined, source_files
from workbench.errors import DataError
from workbench.recipe.places import WRITTEN, is_url, path_of, url_of, usual_scratch
from workbench.recipe.published import check_fits, folder_of, no_weights, no_words
from workbench.recipe.schema import Feed, Model, Recipe, Runtime, Tokens

# Ends of names that no picture has: of feeds and answers, of recipes, models, logs and pages.
TABLES = ".csv .tsv .txt .json .jsonl .ndjson .xml .parquet .arrow .xlsx .xls .gz .zst"
OTHERS = tuple(f"{TABLES} .yaml .yml .index .safetensors .onnx .py .ipynb .log .html .md .tmp".split())


class Sources:
    """The files a recipe names, by recipe key, and the digests of their content, made only when asked for.

    Of data that is not on this machine they are those that were pushed; `elsewhere` tells of which.
    """

    def __init__(self, recipe: Recipe, digests: Digests, remote: Remote | None = None) -> None:
        self.digests, self.remote = digests, remote
        self.elsewhere: dict[str, Path | str] = {}
        self._written = _written(recipe.runtime)
        for feed in recipe.catalog.feeds:
            bring_feed(feed, self._written)
        self._recipe, self._paths = recipe, _source_paths(recipe)
        others = (path for key, path in self._paths.items() if not key.endswith(".pictures"))
        scratch = recipe.runtime.scratch or usual_scratch()
        copies = (path_of(url, scratch) for url in self._written if is_url(url))  # which others may have made
        self._own = {str(path) for path in (recipe.runtime.cache, recipe.runtime.reports, *copies, *others)}

    def of(self, end: str) -> dict[str, str]:
        """Digest of each source whose recipe key ends so; DataError for one that can't be read."""
        return {key: self._digest(key, path) for key, path in self._paths.items() if key.endswith(end)}

    def of_tasks(self, *tasks: str) -> dict[str, str]:
        """Digests of what these tasks read beside the catalog; and of the published models they are held against."""
        ours = tuple(f"finetune.{name}." for name in (*tasks, "baselines"))
        return {key: self._digest(key, path) for key, path in self._paths.items() if key.startswith(ours)}

    def tokens(self) -> Tokens:
        """The recipe's section, its tokenizer in a folder of this machine."""
        tokens = self._recipe.tokens
        folder = self._published("tokens.tokenizer", tokens.tokenizer)
        return tokens.model_copy(update={"tokenizer": folder})

    def model(self) -> Model:
        """The recipe's section, its published weights in a folder of this machine; RecipeError where they don't fit."""
        model = self._recipe.model
        folder = self._published("model.bert", model.bert)
        if folder:
            check_fits(model, folder, self._recipe.tokens.max_length)
        return model.model_copy(update={"bert": folder})

    def _published(self, key: str, named: Path | None) -> Path | None:
        if not named:
            return None
        bring(named)
        self._paths[key] = folder = folder_of(key, named)
        return folder

    @cached_property
    def pushed(self) -> Pushed | None:
        return Pushed.load(self.remote, self._recipe.name) if self.remote else None

    def read_elsewhere(self, number: int) -> Mapping[str, Any] | None:
        """How the push read a feed that is not here, or whose pictures are not; None for another one."""
        feed, key = self._recipe.catalog.feeds[number], f"catalog.feeds.{number}"
        gone = [k for k in (f"{key}.path", f"{key}.pictures") if k in self._paths and not self._is_here(k)]
        if (feed.path and not gone) or not self.pushed:
            return None
        path = self._paths.get(f"{key}.path")
        if path and self._digest(f"{key}.path", path) != self.pushed.digest(f"{key}.path", path.name):
            return None  # another feed than was pushed: its pictures are missing
        self.elsewhere.update({k: self._paths[k] for k in gone} if gone else {key: feed.dataset or "a database"})
        return self.pushed.read(number, self._recipe.catalog)

    def gone(self, stage: Stage) -> list[str]:
        """The recipe keys of what a stage reads that is elsewhere."""
        ours = ("catalog.",) if stage.name == "ingest" else tuple(stage.sources)
        return [key for key in self.elsewhere if ours and key.startswith(ours)]

    def push(self, remote: Remote, artifacts: Mapping[str, Artifact], tell: Callable[[str], None]) -> dict[str, Sent]:
        """Copy the recipe's artifacts, by stage, to an object store, with what stands in for these sources."""
        digests = {key: digest for a in artifacts.values() for key, digest in a.ingredients["sources"].items()}
        named = {key: {"name": self._name(key), "sha256": digest} for key, digest in digests.items()}
        return push(remote, self._recipe.name, self._recipe.catalog, named, artifacts, tell)

    def _digest(self, key: str, path: Path) -> str:
        if not key.startswith("catalog."):
            bring(path, self._written)
        if not self._is_here(key) and self.pushed and (known := self.pushed.digest(key, self._name(key))):
            self.elsewhere[key] = path
            return known
        try:
            if path.is_dir() and key.endswith((".pairs", ".labels")):
                raise DataError(f"{key}: {path} is a folder; expected a file")
            if key.endswith(".path"):
                files = {str(file) for file in source_files(path)}
                folder = path if path.is_dir() else path.parent
                whole = path if files == {str(path)} else folder
                return self.digests.of(whole, lambda name: name not in files and os.path.isfile(name))
            skips = {"pictures": self._no_picture, "tokenizer": no_words, "bert": no_weights}
            return self.digests.of(path, skips.get(key.rpartition(".")[2]))
        except OSError as error:
            also = f", or push {self._recipe.name} to {self.remote.shown} from where it is" if self.remote else ""
            raise DataError(f"{key}: {path}: {error.strerror}; correct the path in the recipe{also}") from None

    def _is_here(self, key: str) -> bool:
        """Whether the file is; pictures that are looked for beside their feed are where that is."""
        return all(os.path.exists(self._paths[k]) for k in {key, self._beside(key)})

    def _name(self, key: str) -> str:
        return self._paths[self._beside(key)].name

    def _beside(self, key: str) -> str:
        feed = key.removesuffix(".pictures")
        if feed == key or self._recipe.catalog.feeds[int(feed.rpartition(".")[2])].pictures:
            return key
        return f"{feed}.path"

    def _no_picture(self, path: str) -> bool:
        """Pictures may lie beside the recipe, the feed, the cache, reports, models and answers, whose changes are not
        theirs."""
        return path in self._own or path.lower().endswith(OTHERS)


def bring_feed(feed: Feed, leave: Collection[str] = ()) -> None:
    """Copy a feed from object storage, and what is read with it: its pictures, and tables that are joined to it."""
    from workbench.images.origin import place_of

    if feed.path:
        bring(feed.path, leave)
        if is_joined(feed.path):
            bring(feed.path.parent, leave)
    if feed.columns is None or feed.columns.picture:
        bring(place_of(feed), leave)


def bring_bare(path: Path, pictures: Path | None = None) -> None:
    """The same for a feed of which nobody said whether it has pictures: its header does."""
    from workbench.catalog.dialects.look import look

    bring(path)
    if url_of(path) and not pictures and path.exists():
        feed = Feed(path=path)
        with suppress(DataError):
            bring_feed(feed.model_copy(update={"columns": look(feed, "feed").columns}))


def guessed(feed: Path) -> tuple[dict[str, Any], tuple[str, ...], Path]:
    """The recipe for a bare feed as plain values, how it was guessed, and the folder that its paths are relative to.

    Raises DataError as `look` does.
    """
    from workbench.catalog.dialects.look import recipe_tree

    bring_bare(feed)
    tree, said = recipe_tree(feed)
    folder = feed.absolute().parent
    if url := url_of(folder):
        folder, entry = Path.cwd(), tree["catalog"]["feeds"][0]
        entry |= {key: f"{url}/{entry[key]}".removesuffix("/.") for key in ("path", "pictures") if key in entry}
    return tree, said, folder


def _written(runtime: Runtime) -> list[str]:
    """Addresses of what runs write, which may lie beside the pictures."""
    paths, urls = (runtime.cache, runtime.reports), (runtime.remote, runtime.checkpoints.remote)
    return [url for url in (*(url_of(path, WRITTEN) for path in paths), *urls) if url]


def _source_paths(recipe: Recipe) -> dict[str, Path]:
    from workbench.images.origin import place_of

    tuned = recipe.finetune
    paths: dict[str, Path | None] = {
        "tokens.tokenizer": recipe.tokens.tokenizer,
        "model.bert": recipe.model.bert,
        "model.checkpoint": recipe.model.checkpoint,
        "finetune.match.pairs": tuned.match.pairs if tuned.match else None,
        "finetune.classify.labels": tuned.classify.labels if tuned.classify else None,
        "finetune.retrieve.pairs": tuned.retrieve.pairs if tuned.retrieve else None,
        "probes.checkpoint": recipe.probes.checkpoint,
        "audit.checkpoint": recipe.audit.checkpoint,
    }
    for i, named in enumerate(tuned.baselines.embeddings):
        paths[f"finetune.baselines.embeddings.{i}"] = named if named.is_absolute() else None  # else a name on the hub
    for i, feed in enumerate(recipe.catalog.feeds):
        paths[f"catalog.feeds.{i}.path"] = feed.path
        if feed.columns is None or feed.columns.picture:
            paths[f"catalog.feeds.{i}.pictures"] = feed.pictures or (feed.path and place_of(feed))
    return {key: path for key, path in paths.items() if path}
