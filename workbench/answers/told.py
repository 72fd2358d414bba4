"""What the commands of this room do, with what they tell at the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from workbench import command, terminal
from workbench.answers.answers import Answers
from workbench.answers.feeds import Opened, open_feed
from workbench.answers.listing import Listing
from workbench.answers.model import model_folder
from workbench.answers.out import beside
from workbench.answers.run import How, run
from workbench.answers.web import Web
from workbench.errors import DataError, RecipeError
from workbench.recipe.schema import Feed, Fetch


@contextmanager
def opened(
    model: Path, task: str | None, sets: Sequence[str], device: str, threads: int, fetch: bool = False
) -> Iterator[Answers]:
    """The model of a command."""
    answers = Answers.open(model_folder(model, task, sets), device, threads)
    web = Web(Fetch(), answers.preparation.images.max_pixels) if fetch else None
    answers.preparation.fetch = web
    try:
        yield answers
    finally:
        if web:
            web.close()


def open_feeds(path: Path, answers: Answers, columns: Sequence[str], pictures: Path | None) -> list[Opened]:
    """The feed of a command, or those of a recipe; what plays which role is printed."""
    given = dict(_role(text) for text in columns)
    preparation = answers.preparation
    if path.suffix.lower() in (".yaml", ".yml"):
        feeds = list(command.load(path, ()).catalog.feeds)
    else:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; give the path of a feed or of a recipe (.yaml)")
        feeds = [Feed(path=path.absolute(), pictures=pictures.absolute() if pictures else None)]
    found = [open_feed(feed, preparation.told["feeds"], preparation.fields, given) for feed in feeds]
    for each in found:
        print(each.feed.path or each.feed.dataset or "query", *(f"  {line}" for line in each.said), sep="\n")
    return found


def _role(text: str) -> tuple[str, str]:
    role, equals, word = text.partition("=")
    if not equals or not role.strip():
        raise RecipeError(f"--column {text}: expected ROLE=WORD, for example --column title=name")
    return role.strip(), word


def answer(answers: Answers, feeds: Sequence[Opened], out: Path, how: How, resume: bool) -> None:
    """Run, with progress; the counts and the files at the end."""
    columns = (TextColumn("answered {task.completed:,} listings"), TimeElapsedColumn())
    console = terminal.console()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        counts = run(answers, feeds, out, how, resume, lambda listings: progress.advance(task, listings))
    joined = f", {counts.joined:,} joined to one of them" if counts.joined else ""
    print(f"{counts.rows:,} rows: {counts.answered:,} listings answered{joined}, {counts.dropped:,} dropped")
    print(f"answers: {out}\ndropped: {beside(out, 'drops.csv')}")


def query(answers: Answers, text: str | None, picture: str | None) -> NDArray[np.float32]:
    """(D,) the point of what is looked for. Raises DataError where there is nothing to read of it."""
    prepared = answers.preparation.prepare([Listing("the query", {"title": text}, picture)])
    state = prepared.pictures[0]
    if picture and state != "present":
        raise DataError(f"--picture {picture}: {state}; give a picture that can be read, or leave it out")
    if not (prepared.batch.has_text_B | prepared.batch.has_image_B).any():
        raise DataError("nothing to look for: give --text, --picture or both")
    point_D: NDArray[np.float32] = answers.points(prepared.batch)[0]
    return point_D
