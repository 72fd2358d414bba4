"""A trained model, asked from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from workbench.answers.answers import Answers
from workbench.answers.embed import embedding
from workbench.answers.index import Index
from workbench.answers.of_recipe import NEEDED, goal_of, model_of
from workbench.answers.predict import predicting
from workbench.answers.web import Web
from workbench.errors import DataError, RecipeError
from workbench.notebook import show
from workbench.notebook.answered import Embeddings, Matches, Neighbours, Predictions
from workbench.notebook.ask import Told, ask
from workbench.notebook.given import Given, One, asked
from workbench.notebook.recipe import Recipe, console_for, here
from workbench.recipe.schema import Fetch

SHOWN, MATCHED = 24, 5000  # listings whose pictures are kept, of predictions and of matches


def load_model(
    model: str | Path | Recipe,
    task: str | None = None,
    device: str = "auto",
    threads: int = 0,
    fetch: bool = False,
    quiet: bool = False,
    **sets: Any,
) -> Model:
    """A model to be asked: of a folder that `mlim export` wrote, or of a recipe, which is run first where it must be.

    `task`: whose network, where a recipe has several (match, classify, retrieve, fill; pretrain: the bare encoder);
    `device`: auto (the first GPU if there is one), cpu, cuda; `threads`: 0 for all cores; `fetch`: read pictures by web
    address, which else count as absent; `quiet`: nothing is printed; `sets` change keys of a recipe (`Recipe.load`).

    Raises DataError for a folder without a model, RecipeError for a recipe without that task or a GPU that isn't there,
    ArtifactError for a damaged model.
    """
    folder = _folder(model, task, quiet, sets)
    answers = Answers.open(folder, device, threads)
    if fetch:
        answers.preparation.fetch = Web(Fetch(), answers.preparation.images.max_pixels)
    return Model(answers, quiet)


def _folder(model: str | Path | Recipe, task: str | None, quiet: bool, sets: Mapping[str, Any]) -> Path:
    if isinstance(model, Recipe) or Path(model).suffix.lower() in (".yaml", ".yml"):
        recipe = model if isinstance(model, Recipe) else Recipe.load(model, **sets)
        goal = goal_of(recipe.settings, task)
        made = recipe.run([*NEEDED, goal], quiet=quiet)
        return model_of({name: each.artifact for name, each in made.items()}, goal, recipe.settings.runtime.cache)
    if sets:
        raise RecipeError(f"{', '.join(sets)}: keys of a recipe, and this model is a folder")
    folder = here(model)
    if not (folder / "about.json").is_file():
        found = "no model" if folder.is_dir() else "no such folder"
        raise DataError(f"{model}: {found}; give a folder that mlim export wrote, or a recipe")
    return folder


class Model:
    """A trained model. What it is asked about (`listings`) is the path of a feed, a recipe, a data frame of polars or
    pandas, or a list of dicts such as `{"title": "red mug", "picture": "mug.jpg"}`; see docs/api.md."""

    def __init__(self, answers: Answers, quiet: bool = False) -> None:
        self._answers, self._quiet = answers, quiet

    @property
    def folder(self) -> Path:
        return self._answers.folder

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it was trained for."""
        return tuple(self._answers.tasks)

    @property
    def fields(self) -> tuple[str, ...]:
        """The texts of a listing that it reads."""
        return tuple(self._answers.preparation.fields)

    @property
    def about(self) -> Mapping[str, Any]:
        """Its recipe, catalog, figures and versions."""
        return self._answers.about

    def predict(
        self,
        listings: Given,
        task: str | None = None,
        top: int = 0,
        columns: Mapping[str, str] | None = None,
        pictures: str | Path | None = None,
        batch: int = 64,
    ) -> Predictions:
        """Classes by name, or missing attributes, with probabilities: a line for each listing.

        `task`: classify or fill, by default the first that the model has; `top`: also so many of the most probable
        classes; `columns`: header words by role, as `{"title": "name"}`, where they are guessed wrong; `pictures`: the
        folder, .zip or .tar in which they lie. Raises DataError for what can't be read or isn't answered by this model.
        """
        how = predicting(self._answers, task, top, batch=batch)
        return Predictions(self._ask(listings, how, columns, pictures, SHOWN))

    def match(
        self,
        listings: Given,
        pairs: pl.DataFrame | str | Path | Sequence[tuple[str, str]] | None = None,
        columns: Mapping[str, str] | None = None,
        pictures: str | Path | None = None,
        batch: int = 64,
    ) -> Matches:
        """Which of the listings are the same product: of each of `pairs` (ids left and right) the probability, or
        without `pairs` the clusters of all. Raises DataError for a model that wasn't trained for matches."""
        if pairs is None:
            how = predicting(self._answers, "match", clusters=True, batch=batch)
            return Matches(self._ask(listings, how, columns, pictures, MATCHED))
        with TemporaryDirectory(prefix="mlim-") as folder:
            how = predicting(self._answers, "match", pairs=_pairs(pairs, Path(folder)), batch=batch)
            return Matches(self._ask(listings, how, columns, pictures, MATCHED))

    def embed(
        self,
        listings: Given,
        columns: Mapping[str, str] | None = None,
        pictures: str | Path | None = None,
        batch: int = 64,
    ) -> Embeddings:
        """Each listing as a point of length 1, near those that are alike; those with nothing to read are left out."""
        how = embedding(self._answers, batch=batch)
        return Embeddings(self._ask(listings, how, columns, pictures, most=1 << 31), self._answers.key)

    def search(self, index: Embeddings | str | Path, query: str | One, k: int = 10) -> Neighbours:
        """The `k` nearest listings to words, or to a listing as `{"title": "red mug", "picture": "mug.jpg"}`; `index`:
        what `embed` gave, or the folder OUT.index of `mlim embed --index`.

        Raises DataError for a query of which nothing can be read, and for an index that another model made.
        """
        with asked({"title": query} if isinstance(query, str) else query, self._answers) as what:
            listing = next(what.parts).listings[0]
        prepared = self._answers.preparation.prepare([listing])
        state = prepared.pictures[0]
        if listing.picture is not None and state != "present":
            raise DataError(f"the query's picture: {state}; give one that can be read, or leave it out")
        if not (prepared.batch.has_text_B | prepared.batch.has_image_B).any():
            raise DataError("nothing to look for: give words, a picture or both")
        point_D: NDArray[np.float32] = self._answers.points(prepared.batch)[0]
        found = index if isinstance(index, Embeddings) else Index.open(Path(index), self._answers.key)
        if isinstance(found, Embeddings) and found.model != self._answers.key:
            raise DataError("the index was made by another model: embed the listings with this one")
        return Neighbours.of(found, point_D, k, listing)

    def _ask(
        self,
        listings: Given,
        how: Any,
        columns: Mapping[str, str] | None,
        pictures: str | Path | None,
        most: int,
    ) -> Told:
        with asked(listings, self._answers, columns, pictures) as what:
            console = console_for(self._quiet)
            for line in what.said:
                console.print(f"  {line}", soft_wrap=True, markup=False)
            return ask(self._answers, what, how, console, most)

    def __repr__(self) -> str:
        return f"Model({str(self.folder)!r}, tasks={list(self.tasks)}, fields={list(self.fields)})"

    def _repr_html_(self) -> str:
        about = {"answers": ", ".join(self.tasks) or "nothing yet: a bare encoder", "reads": ", ".join(self.fields)}
        return show.facts(f"Model {self.folder.name}", {**about, "folder": str(self.folder)})


def _pairs(pairs: Any, folder: Path) -> Path:
    if isinstance(pairs, str | Path):
        return Path(pairs)
    if not isinstance(pairs, pl.DataFrame):
        pairs = pl.DataFrame(list(pairs), {"left": pl.String, "right": pl.String}, orient="row")
    pairs.write_csv(file := folder / "pairs.csv")
    return file
