"""A model and a feed as the commands that answer are given them, and the run of what they ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import command, terminal
from workbench.errors import DataError, RecipeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.answers.answers import Answers
    from workbench.answers.feeds import Opened
    from workbench.answers.run import How
    from workbench.recipe.schema import Fetch, Recipe

PLACES = ("retrieve", "match", "classify", "fill")  # tasks in the order in which they are wanted for points


def model_folder(model: Path, task: str | None = None, sets: Sequence[str] = (), wanted: Sequence[str] = ()) -> Path:
    """The portable folder of a model. `task` says which of a recipe's; by default the first that it has of `wanted`.

    Raises RecipeError for a recipe without that task, DataError for a folder that holds no model.
    """
    if model.suffix.lower() in (".yaml", ".yml"):
        return _of_recipe(command.load(model, sets), task, wanted)
    if sets:
        raise RecipeError("--set changes a recipe, and this model is a folder")
    if not (model / "about.json").is_file():
        found = "no model" if model.is_dir() else "no such folder"
        raise DataError(f"{model}: {found}; give a folder that mlim export wrote, or a recipe")
    return model


def _of_recipe(recipe: Recipe, task: str | None, wanted: Sequence[str]) -> Path:
    from workbench.answers.of_recipe import NEEDED, PREDICTS, goal_of, model_of

    goal = goal_of(recipe, task, wanted or PREDICTS)
    made = {name: each.artifact for name, each in command.run(recipe, [*NEEDED, goal]).items()}
    return model_of(made, goal, recipe.runtime.cache)


def fetching(fetch: bool, own: Sequence[str] | None) -> Fetch | None:
    """How pictures by web address are had; `own` hosts may be inside the network. Raises RecipeError for no host."""
    if not (fetch or own):
        return None
    from pydantic import ValidationError

    from workbench.recipe.schema import Fetch

    try:
        return Fetch(allow_hosts=tuple(own or ()))
    except ValidationError:
        raise RecipeError(
            f"--fetch-from {', '.join(own or ())}: expected HOST or HOST:PORT, as cdn.intern:8080"
        ) from None


@contextmanager
def opened_model(
    model: Path,
    task: str | None,
    sets: Sequence[str],
    device: str,
    threads: int,
    fetch: Fetch | None = None,
    wanted: Sequence[str] = (),
) -> Iterator[Answers]:
    """The model of a command."""
    from workbench.answers.answers import Answers  # torch
    from workbench.answers.web import Web

    answers = Answers.open(model_folder(model, task, sets, wanted), device, threads)
    web = Web(fetch, answers.preparation.images.max_pixels) if fetch else None
    answers.preparation.fetch = web
    try:
        yield answers
    finally:
        if web:
            web.close()


def open_feeds(path: Path, answers: Answers, columns: Sequence[str], pictures: Path | None) -> list[Opened]:
    """The feed of a command, or those of a recipe; what plays which role is printed."""
    from workbench.answers.feeds import open_feed
    from workbench.recipe.schema import Feed
    from workbench.sources import bring_bare, bring_feed

    given = dict(_role(text) for text in columns)
    preparation = answers.preparation
    if path.suffix.lower() in (".yaml", ".yml"):
        feeds = list(command.load(path, ()).catalog.feeds)
        for feed in feeds:
            bring_feed(feed)
    else:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; give the path of a feed or of a recipe (.yaml)")
        bring_bare(path, pictures)
        feeds = [Feed(path=path.absolute(), pictures=pictures.absolute() if pictures else None)]
    found = [open_feed(feed, preparation.told["feeds"], preparation.fields, given) for feed in feeds]
    for each in found:
        terminal.note(each.feed.path or each.feed.dataset or "query", *(f"  {line}" for line in each.said))
    return found


def _role(text: str) -> tuple[str, str]:
    role, equals, word = text.partition("=")
    if not equals or not role.strip():
        raise RecipeError(f"--column {text}: expected ROLE=WORD, for example --column title=name")
    return role.strip(), word


def answer(answers: Answers, feeds: Sequence[Opened], out: Path, how: How, resume: bool) -> None:
    """Run, with progress; the counts and the files at the end."""
    from workbench.answers.out import beside
    from workbench.answers.run import run
    from workbench.progress import Progress

    with Progress(terminal.console(), "answers", unit="listings") as progress:
        counts = run(answers, feeds, out, how, resume, progress.advance)
    joined = f", {counts.joined:,} joined to one of them" if counts.joined else ""
    terminal.told(rows=counts.rows, **asdict(counts))
    terminal.note(f"{counts.rows:,} rows: {counts.answered:,} listings answered{joined}, {counts.dropped:,} dropped")
    if not counts.pictures and any(feed.reading.columns.picture for feed in feeds):
        terminal.note(
            "no picture was read: --pictures says where they lie, --fetch downloads web addresses, --fetch-from HOST "
            "also those of your own network; the column picture of the answers says what was wrong"
        )
    terminal.tell(answers=out, drops=beside(out, "drops.csv"))


def query(answers: Answers, text: str | None, picture: str | None) -> NDArray[np.float32]:
    """(D,) the point of what is looked for. Raises DataError where there is nothing to read of it."""
    from workbench.answers.listing import Listing

    prepared = answers.preparation.prepare([Listing("the query", {"title": text}, picture)])
    state = prepared.pictures[0]
    if picture and state != "present":
        raise DataError(f"--picture {picture}: {state}; give a picture that can be read, or leave it out")
    if not (prepared.batch.has_text_B | prepared.batch.has_image_B).any():
        raise DataError("nothing to look for: give --text, --picture or both")
    point_D: NDArray[np.float32] = answers.points(prepared.batch)[0]
    return point_D
