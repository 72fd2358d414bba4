"""The one shape of a stage: a name, a hand-written version, what goes into its key, and a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.artifacts.executor import Executor, Threads

if TYPE_CHECKING:
    from rich.console import Console

    from workbench.artifacts.store import Artifact
    from workbench.progress import Progress
    from workbench.recipe.schema import Runtime
    from workbench.train.world import World


@dataclass(frozen=True)
class Work:
    """What a running stage gets. It writes into `folder` only, which may hold what a killed run left behind."""

    folder: Path
    inputs: Mapping[str, Artifact]
    runtime: Runtime
    console: Console
    log: Path  # a file for what differs from run to run (times); no part of the artifact
    earlier: Artifact | None = None  # the newest artifact of the same stage, version and section: what it holds of
    # unchanged listings may be taken over, the bytes written being the same as if it weren't there
    ingredients: Mapping[str, Any] = field(default_factory=dict)  # what its key is made of
    resume: bool = True  # else what an unfinished run left, also outside of the folder, is thrown away
    executor: Executor = field(default_factory=Threads)  # that does the pieces of its work
    world: World | None = None  # the processes that run this stage together; None: it is alone
    rows: float | None = None  # of the feeds, guessed by their size

    def warn(self, line: str) -> None:
        """Tell the user what to look at; --quiet shows it, too."""
        from workbench.progress import WARNING

        self.console.print(line, style=WARNING, soft_wrap=True, markup=False)

    def progress(
        self, what: str, total: float | None = None, unit: str = "listings", done: float = 0, guessed: bool = False
    ) -> Progress:
        """How far it is, shown while it runs."""
        from workbench.progress import Progress  # rich

        return Progress(self.console, what, total, unit, done, guessed)


@dataclass(frozen=True)
class Stage:
    """A box of the house. `run` returns the summary kept in the manifest: small, JSON, no times."""

    name: str
    version: int  # raise it whenever the bytes written change for the same ingredients
    section: Mapping[str, Any]  # its recipe sections by path, defaults written out, no file paths
    run: Callable[[Work], Mapping[str, Any]]
    needs: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)  # recipe key of a file -> digest of its content
    together: bool = False  # run by all processes of a world, each in a folder of its own; the first one's is kept
    streams: str = ""  # pattern of the files that may stay in an object store, to be read while they are needed
